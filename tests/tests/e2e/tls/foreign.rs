//! Clients of other projects over TLS: OpenSSL, curl, grpcurl, grpcio.

use std::path::Path;
use std::process::{Command, Stdio};

use motet_tests::repository;

use super::Served;
use crate::clients::{find, run};

impl Served {
    /// Writes a client's certificate, and returns the path of a file in the folder.
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write_client(&self) {
        let client = self.authority.client("spiffe://motet/tests", "tests");
        client.write(&self.folder.path().join("client"));
    }
}

/// Runs `openssl s_client` to the end of the handshake, and returns what it printed.
fn s_client(openssl: &Path, served: &Served, flags: &[&str]) -> String {
    let address = served.ready.grpc.to_string();
    let output = Command::new(openssl)
        .args(["s_client", "-connect", &address, "-servername", "localhost"])
        .args([
            "-CAfile",
            &served.path("ca.crt"),
            "-verify_hostname",
            "localhost",
        ])
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (output.stdout, output.stderr);
    String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl() {
    let Some(openssl) = find("MOTET_OPENSSL", "openssl", &["version"]) else {
        return;
    };
    let served = Served::start("", "").await;
    for (flags, expected) in [
        (
            &["-tls1_3", "-alpn", "h2"][..],
            &["TLSv1.3", "ALPN protocol: h2", "return code: 0"][..],
        ),
        (
            &["-tls1_2", "-alpn", "h2"],
            &["TLSv1.2", "ALPN protocol: h2", "return code: 0"],
        ),
        (&["-alpn", "http/1.1"], &["alert no application protocol"]),
        (
            &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
            &["no protocols available", "alert"],
        ),
        (
            &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
            &["no protocols available", "alert"],
        ),
    ] {
        let printed = s_client(&openssl, &served, flags);
        match flags[0].starts_with("-tls1_1") || flags[0] == "-tls1" {
            // OpenSSL itself may lack what it is asked for.
            true => {
                let refused = expected.iter().any(|part| printed.contains(part));
                assert!(
                    refused && !printed.contains("return code: 0 (ok)\n---\nread R"),
                    "{printed}"
                );
                assert!(!printed.contains("New, TLSv1"), "{printed}");
            }
            false => {
                for part in expected {
                    assert!(printed.contains(part), "{flags:?} {part}\n{printed}");
                }
            }
        }
    }
    served.stop().await;
    let served = Served::start(", client_ca: ./ca.crt", "").await;
    served.write_client();
    let printed = s_client(&openssl, &served, &["-tls1_2", "-alpn", "h2"]);
    assert!(printed.contains("alert"), "{printed}");
    assert!(
        printed.contains("Acceptable client certificate CA names"),
        "{printed}"
    );
    let (cert, key) = (served.path("client/tls.crt"), served.path("client/tls.key"));
    let flags = ["-tls1_2", "-alpn", "h2", "-cert", &cert, "-key", &key];
    let printed = s_client(&openssl, &served, &flags);
    assert!(printed.contains("return code: 0"), "{printed}");
    assert!(!printed.contains("alert"), "{printed}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_on_the_http_port() {
    let Some(curl) = find("MOTET_CURL", "curl", &["--version"]) else {
        return;
    };
    let served = Served::start("", "").await;
    let url = format!("https://localhost:{}/healthz", served.http().port());
    let ca = served.path("ca.crt");
    for version in ["--http1.1", "--http2", "--tlsv1.3"] {
        assert_eq!(run(&curl, &["-sS", version, "--cacert", &ca, &url]), "ok\n");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl() {
    let Some(grpcurl) = find("MOTET_GRPCURL", "grpcurl", &["-version"]) else {
        return;
    };
    let served = Served::start(", client_ca: ./ca.crt", "").await;
    served.write_client();
    let address = format!("localhost:{}", served.ready.grpc.port());
    let (ca, cert) = (served.path("ca.crt"), served.path("client/tls.crt"));
    let key = served.path("client/tls.key");
    let files = ["-cacert", &ca, "-cert", &cert, "-key", &key];
    let data = [
        "-d",
        r#"{"text": "hello"}"#,
        &address,
        "motet.pipeline.Echo/Run",
    ];
    let answer = run(&grpcurl, &[&files[..], &data].concat());
    assert!(answer.contains(r#""text": "hello""#), "{answer}");
    // Without a certificate, and in plain text.
    for flags in [&["-cacert", &ca][..], &["-plaintext"]] {
        let output = Command::new(&grpcurl)
            .args(flags)
            .args(["-max-time", "5", &address, "list"])
            .output()
            .unwrap();
        assert!(!output.status.success(), "{flags:?}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcio() {
    let modules = ["-c", "import grpc"];
    let Some(python) = find("MOTET_PYTHON", "python3", &modules) else {
        return;
    };
    let served = Served::start(", client_ca: ./ca.crt", "").await;
    served.write_client();
    let script = repository().join("tests/clients/over_tls.py");
    let address = format!("localhost:{}", served.ready.grpc.port());
    let folder = served.folder.path().display().to_string();
    let printed = run(&python, &[script.to_str().unwrap(), &address, &folder]);
    assert_eq!(printed.trim(), "ok");
    served.stop().await;
}

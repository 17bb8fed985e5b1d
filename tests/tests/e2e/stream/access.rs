//! Brokers that ask for TLS and for credentials, which nothing shows.

use motet_tests::brokers::Broker;
use motet_tests::certificates::Authority;
use motet_tests::http::get;
use motet_tests::temp_dir::TempDir;
use motet_tests::wait::until;

use super::SHOUT;
use crate::motet;

const PASSWORD: &str = "planted-secret-4711";

/// Runs a stream, and returns what the program says until it is told to stop. `connected` if its
/// broker lets it in.
async fn said(folder: &TempDir, from: &str, targets: &str, connected: bool) -> String {
    let stream = format!("  - stream: t\n    pipeline: shout\n    from: {from}\n{targets}");
    let file = folder.file("streams.yaml", format!("{SHOUT}streams:\n{stream}"));
    let file = file.to_str().expect("ASCII");
    let checked = motet(["check", file])
        .env("BROKER_PASSWORD", PASSWORD)
        .run()
        .await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let program = motet(["stream", file, "--http", "127.0.0.1:0"]);
    let program = program
        .env("BROKER_PASSWORD", PASSWORD)
        .env("RUST_LOG", "trace,h2=info");
    let mut process = program.start();
    let http = process.ready_http().await;
    match connected {
        true => {
            until("a connection", async || {
                get(http, "/readyz").await.filter(|page| page.0 == 200)
            })
            .await;
        }
        false => process.says("a stream gets no messages").await,
    }
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let config = motet(["config", file])
        .env("BROKER_PASSWORD", PASSWORD)
        .run()
        .await;
    let all = format!("{}{}{}", ended.stdout, ended.stderr, config.stdout);
    assert!(!all.contains(PASSWORD), "the password is shown");
    all
}

/// Returns a folder with `tls.crt` and `tls.key` of `localhost`, and `ca.crt`.
fn certificates() -> TempDir {
    let (folder, authority) = (TempDir::new(), Authority::new("the tests"));
    authority
        .server(&["localhost", "127.0.0.1"])
        .write(folder.path());
    folder.file("ca.crt", authority.pem());
    folder
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("ASCII").to_owned()
}

#[tokio::test]
async fn nats_with_tls_and_a_password() {
    let folder = certificates();
    let (cert, key) = (path(&folder, "tls.crt"), path(&folder, "tls.key"));
    let tls = ["--tls", "--tlscert", &cert, "--tlskey", &key];
    let args = [&tls[..], &["--user", "me", "--pass", PASSWORD]].concat();
    let Some(broker) = Broker::with(false, &args).await else {
        return;
    };
    let port = broker.address.port();
    let targets = "    to: { subject: a.done }\n    dead: { subject: a.dead }\n";
    let access = "user: me, password: \"${env:BROKER_PASSWORD}\", tls: { ca: ./ca.crt }";
    let from = format!("{{ nats: \"tls://localhost:{port}\", stream: A, {access} }}");
    // It is let in: what it lacks is the stream.
    let text = said(&folder, &from, targets, false).await;
    assert!(
        text.contains("no stream keeps the subject `a.done`"),
        "{text}"
    );
    let from = from.replace("user: me", "user: you");
    let text = said(&folder, &from, targets, false).await;
    assert!(
        text.contains("cannot be reached: authorization violation"),
        "{text}"
    );
    let from = from.replace(", tls: { ca: ./ca.crt }", "");
    let text = said(&folder, &from, targets, false).await;
    assert!(text.contains("cannot be reached"), "{text}");
}

#[tokio::test]
async fn redis_with_tls_and_a_password() {
    let folder = certificates();
    let (cert, key) = (path(&folder, "tls.crt"), path(&folder, "tls.key"));
    let tls = [
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ];
    let Some(broker) = Broker::with(true, &["--requirepass", PASSWORD]).await else {
        return;
    };
    let port = broker.address.port();
    let targets = "    to: { key: done }\n    dead: { key: dead }\n";
    let from = format!(
        "{{ redis: \"redis://localhost:{port}\", key: a, password: \"${{env:BROKER_PASSWORD}}\" }}"
    );
    said(&folder, &from, targets, true).await;
    let in_url = from.replace("//localhost", "//:${env:BROKER_PASSWORD}@localhost");
    let in_url = in_url.replace(", password: \"${env:BROKER_PASSWORD}\"", "");
    said(&folder, &in_url, targets, true).await;
    let without = from.replace(", password: \"${env:BROKER_PASSWORD}\"", "");
    let text = said(&folder, &without, targets, false).await;
    assert!(text.contains("NOAUTH"), "{text}");

    let tls_port = motet_tests::brokers::free_address().port().to_string();
    let args = [
        &tls[..],
        &["--requirepass", PASSWORD, "--tls-port", &tls_port],
    ]
    .concat();
    let Some(_broker) = Broker::with(true, &args).await else {
        return;
    };
    let (plain, tls) = (
        format!("redis://localhost:{port}"),
        format!("rediss://localhost:{tls_port}"),
    );
    let from = from.replace(&plain, &tls);
    let trusted = from.replace(" }", ", tls: { ca: ./ca.crt } }");
    said(&folder, &trusted, targets, true).await;
    let text = said(&folder, &from, targets, false).await;
    assert!(text.contains("cannot be reached"), "{text}");
}

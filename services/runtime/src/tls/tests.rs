//! Files of ports: what is refused and in which words, and what a change of them does.

use std::fs;
use std::path::{Path, PathBuf};

use motet_config::{Span, Spanned};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};

use super::server::Look;
use super::{PeerName, ServerTls, names_of};
use crate::config::{ClientAuth, TlsSpec};
use crate::serve::Protocol;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("motet-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        set_mode(&path, mode);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

fn params(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

/// Returns certificate and key in PEM.
fn self_signed(params: &CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    (cert.pem(), key.serialize_pem())
}

fn spec(cert: &Path, key: &Path, client_ca: Option<&Path>) -> TlsSpec {
    let spanned = |path: &Path| Spanned::new(path.to_owned(), Span::default());
    TlsSpec {
        cert: spanned(cert),
        key: spanned(key),
        client_ca: client_ca.map(spanned),
        client_auth: ClientAuth::Required,
    }
}

#[test]
fn every_file_that_cannot_be_used_is_told_with_its_key_and_reason() {
    let folder = Folder::new("bad");
    let (cert, key) = self_signed(&params("localhost"));
    let (_, other_key) = self_signed(&params("localhost"));
    let mut old = params("localhost");
    old.not_after = date_time_ymd(2001, 1, 1);
    old.not_before = date_time_ymd(2000, 1, 1);
    let mut future = params("localhost");
    future.not_before = date_time_ymd(2900, 1, 1);
    future.not_after = date_time_ymd(2901, 1, 1);
    let mut nameless = CertificateParams::new(Vec::new()).unwrap();
    nameless
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let mut spiffe = CertificateParams::new(Vec::new()).unwrap();
    let uri = "spiffe://motet/gateway".try_into().unwrap();
    spiffe.subject_alt_names = vec![SanType::URI(uri)];
    let (spiffe_cert, spiffe_key) = self_signed(&spiffe);

    let good = folder.write("good.crt", &cert, 0o644);
    let good_key = folder.write("good.key", &key, 0o640);
    let pair = |name: &str, params: &CertificateParams| {
        let (cert, key) = self_signed(params);
        let cert = folder.write(&format!("{name}.crt"), cert, 0o644);
        (cert, folder.write(&format!("{name}.key"), key, 0o600))
    };
    let old = pair("old", &old);
    let future = pair("future", &future);
    let nameless = pair("nameless", &nameless);
    let other_key = folder.write("other.key", other_key, 0o600);
    let open_key = folder.write("open.key", &key, 0o644);
    let text = folder.write("text.pem", "hello", 0o600);
    let half = folder.write("half.pem", &cert[..cert.len() / 2], 0o600);
    let der = folder.write("der.crt", [&[0x30, 0x82][..], &[1; 600]].concat(), 0o600);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE \
                     KEY-----\n";
    let encrypted = folder.write("encrypted.key", encrypted, 0o600);
    let missing = folder.0.join("missing.pem");

    for (cert, key, client_ca, expected) in [
        (
            &good,
            &other_key,
            None,
            &["`key`", "is not the key of the certificate"][..],
        ),
        (
            &old.0,
            &old.1,
            None,
            &["`cert`", "expired at 2001-01-01T00:00:00Z"],
        ),
        (
            &future.0,
            &future.1,
            None,
            &["`cert`", "is not valid before 2900-01-01T00:00:00Z"],
        ),
        (
            &nameless.0,
            &nameless.1,
            None,
            &["`cert`", "names no host", "subjectAltName"],
        ),
        (
            &text,
            &good_key,
            None,
            &["`cert`", "has no certificate in PEM", "-----BEGIN"],
        ),
        (&half, &good_key, None, &["`cert`", "is no PEM file"]),
        (
            &der,
            &good_key,
            None,
            &["`cert`", "is in DER", "openssl x509 -inform der"],
        ),
        (&good, &text, None, &["`key`", "has no private key in PEM"]),
        (
            &good,
            &encrypted,
            None,
            &["`key`", "needs a pass phrase", "openssl pkey"],
        ),
        (
            &good,
            &good,
            None,
            &["`key`", "may be read by everybody (mode 0644)"],
        ),
        (
            &good,
            &open_key,
            None,
            &["`key`", "may be read by everybody", "chmod 640"],
        ),
        (
            &missing,
            &good_key,
            None,
            &["`cert`", "missing.pem", "no such file"],
        ),
        (&good, &folder.0, None, &["`key`", "it is a folder"]),
        (
            &good,
            &good_key,
            Some(&text),
            &["`client_ca`", "has no certificate in PEM"],
        ),
        (
            &good,
            &good_key,
            Some(&good_key),
            &["`client_ca`", "has no certificate"],
        ),
        (
            &missing,
            &missing,
            Some(&missing),
            &["`cert`", "`key`", "`client_ca`"],
        ),
    ] {
        if !cfg!(unix) && expected[1].contains("everybody") {
            continue;
        }
        let spec = spec(cert, key, client_ca.map(PathBuf::as_path));
        let problems = ServerTls::load(&spec, None).expect_err(&format!("{expected:?}"));
        let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        for part in expected {
            assert!(text.contains(part), "{spec:?}\nlacks: {part}\n{text}");
        }
        assert_eq!(ServerTls::check(&spec), problems);
    }
    assert_eq!(ServerTls::check(&spec(&good, &good_key, Some(&good))), []);
    let spiffe_cert = folder.write("spiffe.crt", spiffe_cert, 0o644);
    let spiffe_key = folder.write("spiffe.key", spiffe_key, 0o600);
    assert_eq!(ServerTls::check(&spec(&spiffe_cert, &spiffe_key, None)), []);
}

#[test]
fn files_that_change_are_used_and_files_that_break_change_nothing() {
    let folder = Folder::new("change");
    let (first, second) = (params("localhost"), params("localhost"));
    let (cert, key) = self_signed(&first);
    let (next_cert, next_key) = self_signed(&second);
    let cert_path = folder.write("tls.crt", &cert, 0o644);
    let key_path = folder.write("tls.key", &key, 0o600);
    let tls = ServerTls::load(&spec(&cert_path, &key_path, None), None).unwrap();
    let port = tls.port(Protocol::Grpc, true);
    let before = port.config();
    assert_eq!(tls.look(), Ok(Look::Same));
    // A key that is not that of the certificate: half of a rotation.
    folder.write("tls.key", &next_key, 0o600);
    let problem = tls.look().unwrap_err();
    assert_eq!(problem.key, "key");
    assert!(std::sync::Arc::ptr_eq(&before, &port.config()));
    folder.write("tls.crt", &next_cert, 0o644);
    assert_eq!(tls.look(), Ok(Look::Renewed));
    assert!(!std::sync::Arc::ptr_eq(&before, &port.config()));
    assert_eq!(tls.look(), Ok(Look::Same));
    fs::remove_file(&cert_path).unwrap();
    assert_eq!(tls.look().unwrap_err().key, "cert");
    folder.write("tls.crt", &next_cert, 0o644);
    assert_eq!(tls.look(), Ok(Look::Same));
}

/// As Kubernetes mounts secrets: files are links into a folder that a link names.
#[cfg(unix)]
#[test]
fn a_link_that_is_swapped_is_a_change() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new("links");
    for version in ["one", "two"] {
        let (cert, key) = self_signed(&params("localhost"));
        fs::create_dir_all(folder.0.join(version)).unwrap();
        folder.write(&format!("{version}/tls.crt"), cert, 0o644);
        folder.write(&format!("{version}/tls.key"), key, 0o640);
    }
    let data = folder.0.join("..data");
    symlink("one", &data).unwrap();
    for file in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), folder.0.join(file)).unwrap();
    }
    let spec = spec(&folder.0.join("tls.crt"), &folder.0.join("tls.key"), None);
    let tls = ServerTls::load(&spec, None).unwrap();
    let next = folder.0.join("..data_tmp");
    symlink("two", &next).unwrap();
    fs::rename(&next, &data).unwrap();
    assert_eq!(tls.look(), Ok(Look::Renewed));
}

#[test]
fn names_of_a_client_are_its_uris_then_hosts_then_the_common_name() {
    let authority = KeyPair::generate().unwrap();
    let mut authority_params = params("ca");
    authority_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority_params, authority);
    let mut client = params("gateway.motet");
    let uri = "spiffe://motet/gateway".try_into().unwrap();
    client.subject_alt_names.push(SanType::URI(uri));
    client.distinguished_name = rcgen::DistinguishedName::new();
    client
        .distinguished_name
        .push(DnType::CommonName, "the gateway");
    let key = KeyPair::generate().unwrap();
    let cert = client.signed_by(&key, &issuer).unwrap();
    let expected = [
        PeerName::Uri("spiffe://motet/gateway".to_owned()),
        PeerName::Dns("gateway.motet".to_owned()),
        PeerName::CommonName("the gateway".to_owned()),
    ];
    assert_eq!(names_of(cert.der()), expected);
    assert_eq!(names_of(b"no certificate"), []);
}

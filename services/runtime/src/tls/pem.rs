//! Certificates, keys and authorities in PEM files.

use std::sync::Arc;
use std::time::SystemTime;

use motet_config::files;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::certificate::{Contents, OutOfTime};
use super::file::TlsFile;
use super::problem::TlsProblem;

/// Most bytes of a file: a bundle of all authorities of the web has about 250 KB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Bits of a file's mode that let those read it who are neither its owner nor of its group.
#[cfg(unix)]
const READ_BY_OTHERS: u32 = 0o004;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    key: CertifiedKey,
    pub(super) contents: Contents,
}

/// Reads a file.
pub(super) fn read(file: TlsFile<'_>) -> Result<Vec<u8>, TlsProblem> {
    files::read(file.path, FILE_BYTES_MAX)
        .map_err(|error| file.problem(format!("cannot be read: {error}")))
}

/// Reads the file of a key, which others may not read.
pub(super) fn read_secret(file: TlsFile<'_>) -> Result<Vec<u8>, TlsProblem> {
    let bytes = read(file)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file.path).map(|found| found.permissions().mode());
        let mode = mode.map_err(|error| file.problem(format!("cannot be read: {error}")))?;
        if mode & READ_BY_OTHERS != 0 {
            let reason = format!("may be read by everybody (mode {:04o})", mode & 0o7777);
            let help = format!(
                "write `chmod 640 {}`; of a Kubernetes secret, give its volume \
                 `defaultMode: 0440` and the pod an `fsGroup`",
                file.path.display()
            );
            return Err(file.problem(reason).help(help));
        }
    }
    Ok(bytes)
}

impl Identity {
    /// Returns what shows this certificate to everybody.
    pub(super) fn resolver(&self) -> SingleCertAndKey {
        self.key.clone().into()
    }

    /// Makes an identity of the contents of two files.
    pub(super) fn new(
        cert: (TlsFile<'_>, &[u8]),
        key: (TlsFile<'_>, &[u8]),
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<Self, TlsProblem> {
        let (cert_file, key_file) = (cert.0, key.0);
        let chain = certificates(cert_file, cert.1)?;
        let private = private_key(key_file, key.1)?;
        let contents = Contents::read(&chain[0]).map_err(|reason| cert_file.problem(reason))?;
        let key =
            CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key_file
                    .problem(format!(
                        "is not the key of the certificate {}",
                        cert_file.path.display()
                    ))
                    .help(
                        "give both files of one request; the server's own certificate comes first",
                    ),
                Error::InvalidCertificate(error) => {
                    cert_file.problem(format!("has a certificate that cannot be used: {error:?}"))
                }
                error => key_file.problem(format!("has a key that cannot be used: {error}")),
            })?;
        let renew = "renew it; the file is read again when it changes";
        match contents.out_of_time(now) {
            None => Ok(Self { key, contents }),
            Some(OutOfTime::Expired(at)) => Err(cert_file
                .problem(format!("expired at {}", rfc3339(at)))
                .help(renew)),
            Some(OutOfTime::NotYet(at)) => Err(cert_file
                .problem(format!("is not valid before {}", rfc3339(at)))
                .help("wait, or set this machine's clock")),
        }
    }
}

/// Reads the certificates of a PEM file, at least one.
fn certificates(
    file: TlsFile<'_>,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(without(file, bytes, "certificate", "x509")),
        Err(error) => Err(file.problem(format!("is no PEM file: {error:?}"))),
    }
}

fn private_key(file: TlsFile<'_>, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok(key),
        Err(_) if bytes.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) => {
            let path = file.path.display();
            Err(file
                .problem("has a key that needs a pass phrase")
                .help(format!(
                    "take it off: `openssl pkey -in {path} -out plain.key`"
                )))
        }
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(without(file, bytes, "private key", "pkey"))
        }
        Err(error) => Err(file.problem(format!("is no PEM file: {error:?}"))),
    }
}

/// Returns the problem of a file that has nothing of what is needed.
fn without(file: TlsFile<'_>, bytes: &[u8], what: &str, command: &str) -> TlsProblem {
    // DER, too, begins with a sequence of more than 255 bytes.
    if bytes.starts_with(&[0x30, 0x82]) {
        let path = file.path.display();
        return file.problem("is in DER, not in PEM").help(format!(
            "convert it: `openssl {command} -inform der -in {path} -out file.pem`"
        ));
    }
    file.problem(format!("has no {what} in PEM"))
        .help("PEM begins with a line such as `-----BEGIN CERTIFICATE-----`")
}

/// Reads the authorities of a PEM file.
pub(super) fn authorities(
    file: TlsFile<'_>,
    bytes: &[u8],
) -> Result<Arc<RootCertStore>, TlsProblem> {
    let mut store = RootCertStore::empty();
    for (at, certificate) in certificates(file, bytes)?.into_iter().enumerate() {
        store.add(certificate).map_err(|error| {
            let number = at + 1;
            file.problem(format!(
                "has as certificate {number} none of an authority: {error}"
            ))
        })?;
    }
    Ok(Arc::new(store))
}

/// Returns a time for people, in UTC.
pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

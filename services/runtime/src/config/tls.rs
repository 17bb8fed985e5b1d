//! TLS of a process' ports: the key `tls` of `server`.

use std::path::{Path, PathBuf};

use motet_config::values::{non_empty, word};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};
use serde_json::{Value, json};

use crate::tls::ServerTls;

/// Files with which a process' ports speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSpec {
    /// File with the certificate and those between it and its authority, PEM.
    pub cert: Spanned<PathBuf>,
    /// File with the certificate's key, PEM.
    pub key: Spanned<PathBuf>,
    /// File with the authorities of clients' certificates, PEM; without one, clients are not asked
    /// for any.
    pub client_ca: Option<Spanned<PathBuf>>,
    /// Need of a certificate for clients.
    pub client_auth: ClientAuth,
}

/// Need of a certificate for clients: the key `client_auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// A client without one is refused.
    #[default]
    Required,
    /// A client may have one, which is then verified.
    Optional,
}

impl ClientAuth {
    /// The values by their words in a configuration.
    pub const WORDS: [(&str, Self); 2] =
        [("required", Self::Required), ("optional", Self::Optional)];
}

/// An example, for messages.
const EXAMPLE: &str = "write `tls: { cert: ./tls.crt, key: ./tls.key }`, for client certificates \
                       also `client_ca: ./ca.crt`";

/// Reports an entry `tls` in a build that has none.
pub(super) fn refuse_without_tls(entry: &Entry, diagnostics: &mut Diagnostics) {
    if !cfg!(feature = "tls") {
        let message = "this build of motet has no TLS";
        let help = "build it with the Cargo feature `tls`, which is on by default";
        diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
    }
}

impl TlsSpec {
    /// Reads the entry `tls`. Mistakes are added to `diagnostics`.
    pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        refuse_without_tls(entry, diagnostics);
        let mut map = MapReader::new(&entry.node, "`tls`", entry.key.span, diagnostics)?;
        let cert = map.required("cert", EXAMPLE);
        let key = map.required("key", EXAMPLE);
        let client_ca = map.get("client_ca");
        let client_auth = map.get("client_auth");
        map.finish(diagnostics);
        let mut path = |entry: &Entry| Some(non_empty(entry, diagnostics)?.map(PathBuf::from));
        let (cert, key) = (cert.and_then(&mut path), key.and_then(&mut path));
        let client_ca = client_ca.and_then(&mut path);
        if let Some(entry) = client_auth
            && client_ca.is_none()
        {
            let message = "`client_auth` needs `client_ca`: the authorities of clients' \
                           certificates";
            diagnostics.push(Diagnostic::error(entry.key.span, message));
        }
        let client_auth = client_auth.and_then(|e| word(e, &ClientAuth::WORDS, diagnostics));
        Some(Self {
            cert: cert?,
            key: key?,
            client_ca,
            client_auth: client_auth.map(|word| word.value).unwrap_or_default(),
        })
    }

    /// Makes relative paths start from `folder`.
    pub(super) fn start_from(&mut self, folder: &Path) {
        let paths = [&mut self.cert, &mut self.key];
        for path in paths.into_iter().chain(&mut self.client_ca) {
            path.value = folder.join(&path.value);
        }
    }

    /// Reports every problem of the files.
    pub fn check(&self, diagnostics: &mut Diagnostics) {
        for problem in ServerTls::check(self) {
            let span = match (problem.key, &self.client_ca) {
                ("key", _) => self.key.span,
                ("client_ca", Some(path)) => path.span,
                _ => self.cert.span,
            };
            diagnostics.push(problem.diagnostic(span));
        }
    }

    /// Returns whether every client is asked for a certificate and refused without one.
    pub fn requires_clients(&self) -> bool {
        self.client_ca.is_some() && self.client_auth == ClientAuth::Required
    }

    /// Returns the JSON schema of the key.
    pub(super) fn schema() -> Value {
        let path = || json!({ "type": "string" });
        let words = ClientAuth::WORDS.map(|(word, _)| word);
        let properties = json!({
            "cert": path(),
            "key": path(),
            "client_ca": path(),
            "client_auth": { "enum": words },
        });
        motet_config::schema::object_with(&["cert", "key"], properties)
    }
}

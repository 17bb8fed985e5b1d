//! TLS to a server: the key `tls` of an endpoint or a model.

use std::path::{Path, PathBuf};

use motet_config::values::non_empty;
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader};
use serde_json::{Value, json};

use super::tls::refuse_without_tls;

/// Files and names with which a server is spoken to in TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientTlsSpec {
    /// File with the authorities of the server's certificate, PEM; `None` for the system's.
    pub ca: Option<PathBuf>,
    /// Files with the certificate that is shown to the server, and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Name that the server's certificate must have, and that it is asked for; `None` for the host
    /// of its address.
    pub server_name: Option<String>,
}

impl ClientTlsSpec {
    /// Reads the entry `tls` of a server that is called. Mistakes are added to `diagnostics`.
    pub fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        refuse_without_tls(entry, diagnostics);
        let mut map = MapReader::new(&entry.node, "`tls`", entry.key.span, diagnostics)?;
        let (ca, cert, key) = (map.get("ca"), map.get("cert"), map.get("key"));
        let server_name = map.get("server_name");
        map.finish(diagnostics);
        if cert.is_some() != key.is_some() {
            let message = "`tls` needs both `cert` and `key`, or neither";
            diagnostics.push(Diagnostic::error(entry.key.span, message));
        }
        let mut path = |entry: &Entry| Some(PathBuf::from(non_empty(entry, diagnostics)?.value));
        let ca = ca.and_then(&mut path);
        let identity = cert.and_then(&mut path).zip(key.and_then(&mut path));
        let server_name = server_name.and_then(|entry| {
            let name = non_empty(entry, diagnostics)?;
            if !is_host(&name.value) {
                let message = "`server_name` must be a host name or an IP address";
                diagnostics.push(Diagnostic::error(name.span, message));
            }
            Some(name.value)
        });
        Some(Self {
            ca,
            identity,
            server_name,
        })
    }

    /// Makes relative paths start from `folder`.
    pub fn start_from(&mut self, folder: &Path) {
        let identity = self.identity.iter_mut().flat_map(|(cert, key)| [cert, key]);
        for path in self.ca.iter_mut().chain(identity) {
            *path = folder.join(&*path);
        }
    }

    /// Returns the JSON schema of the key.
    pub fn schema() -> Value {
        let text = || json!({ "type": "string" });
        motet_config::schema::object(json!({
            "ca": text(),
            "cert": text(),
            "key": text(),
            "server_name": text(),
        }))
    }
}

/// Returns whether a text is a host name or an IP address.
fn is_host(text: &str) -> bool {
    let is_name = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    is_name || text.parse::<std::net::IpAddr>().is_ok()
}

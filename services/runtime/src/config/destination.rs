//! A server in another process, and how it is spoken to.

use std::path::Path;

use motet_config::{Diagnostic, Diagnostics, MapReader, Span, Spanned};
use serde_json::{Value, json};

use super::Endpoint;
use super::client_tls::ClientTlsSpec;
use super::headers::{self, HeaderSpec};
use crate::tls::ClientTls;

/// TLS and headers of connections to a server: keys of an endpoint or a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessSpec {
    /// The key `tls`.
    pub tls: Option<Spanned<ClientTlsSpec>>,
    /// The key `headers`.
    pub headers: Vec<HeaderSpec>,
    /// The position of the key `headers`.
    headers_at: Span,
    /// The key `forward`: names of headers.
    pub forward: Vec<String>,
}

/// A server in another process, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// Its address.
    pub endpoint: Endpoint,
    /// TLS; `None` for plain text.
    pub tls: Option<ClientTlsSpec>,
    /// Headers of every call.
    pub headers: Vec<HeaderSpec>,
    /// Names of the caller's headers that go along.
    pub forward: Vec<String>,
}

impl AccessSpec {
    /// The keys.
    pub const KEYS: [&str; 3] = ["tls", "headers", "forward"];

    /// Reads the keys of an endpoint or a model. Mistakes are added to `diagnostics`.
    pub fn read(map: &mut MapReader<'_>, diagnostics: &mut Diagnostics) -> Self {
        let tls = map.get("tls").and_then(|entry| {
            let tls = ClientTlsSpec::read(entry, diagnostics)?;
            Some(Spanned::new(tls, entry.key.span))
        });
        let headers = map.get("headers");
        let headers_at = headers.map_or_else(Span::default, |entry| entry.key.span);
        let headers = headers.map(|entry| headers::read(entry, diagnostics));
        let forward = map.get("forward");
        let forward = forward.map(|entry| headers::read_forward(entry, diagnostics));
        Self {
            tls,
            headers: headers.unwrap_or_default(),
            headers_at,
            forward: forward.unwrap_or_default(),
        }
    }

    /// Makes relative paths start from `folder`.
    pub fn start_from(&mut self, folder: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.value.start_from(folder);
        }
        for header in &mut self.headers {
            header.start_from(folder);
        }
    }

    /// Reports every problem of the files and of the values of headers.
    pub fn check(&self, diagnostics: &mut Diagnostics) {
        for header in &self.headers {
            if let Err(error) = header.value(|name| std::env::var(name).ok()) {
                diagnostics.push(Diagnostic::error(self.headers_at, error.to_string()));
            }
        }
        let Some(tls) = &self.tls else {
            return;
        };
        for problem in ClientTls::check(&tls.value) {
            let path = problem.path.display();
            let message = format!("`{}` {path} {}", problem.key, problem.reason);
            let diagnostic = Diagnostic::error(tls.span, message);
            diagnostics.push(match problem.help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            });
        }
    }

    /// Returns the JSON schemas of the keys, by key.
    pub fn schema() -> Value {
        json!({
            "tls": ClientTlsSpec::schema(),
            "headers": headers::schema(),
            "forward": headers::forward_schema(),
        })
    }
}

impl From<Endpoint> for Destination {
    /// Speaks to the server as its address says; in TLS with the system's authorities.
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint, &AccessSpec::default())
    }
}

impl Destination {
    /// Speaks TLS to the server where its address says so, or where there is a key `tls`.
    pub fn new(endpoint: Endpoint, access: &AccessSpec) -> Self {
        let tls = access.tls.as_ref().map(|tls| tls.value.clone());
        let tls = tls.or_else(|| endpoint.is_tls().then(ClientTlsSpec::default));
        let endpoint = match tls {
            Some(_) => endpoint.with_tls(),
            None => endpoint,
        };
        Self {
            endpoint,
            tls,
            headers: access.headers.clone(),
            forward: access.forward.clone(),
        }
    }

    /// Forwards headers of these names, too.
    #[must_use]
    pub fn forwarding(mut self, names: &[String]) -> Self {
        for name in names {
            if !self.forward.contains(name) {
                self.forward.push(name.clone());
            }
        }
        self
    }

    /// Speaks TLS to the server where its address says so, or where `tls` is not empty.
    pub fn with_tls(endpoint: Endpoint, tls: ClientTlsSpec) -> Self {
        let is_empty = tls == ClientTlsSpec::default();
        let tls = (!is_empty).then(|| Spanned::new(tls, Span::default()));
        let access = AccessSpec {
            tls,
            ..AccessSpec::default()
        };
        Self::new(endpoint, &access)
    }
}

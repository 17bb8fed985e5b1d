//! The key `endpoints` of a configuration: gRPC servers whose methods pipelines call, by name.

use std::path::{Path, PathBuf};

use motet_config::values::{non_empty, string, word};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value, truncated};
use motet_runtime::config::{AccessSpec, Endpoint, ErrorWords, NameRule};

/// Most endpoints of a configuration.
pub const ENDPOINTS_MAX: usize = 1000;

/// A gRPC server of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSpec {
    /// Name, `[a-z][a-z0-9_-]*`.
    pub name: Spanned<String>,
    /// Address; `None` if it could not be read, which was reported.
    pub url: Option<Spanned<Endpoint>>,
    /// File with the descriptors of the server's services; server reflection is used without one.
    pub descriptor: Option<Spanned<PathBuf>>,
    /// Visibility of the words of the server's errors.
    pub errors: ErrorWords,
    /// TLS and headers of its connections.
    pub access: AccessSpec,
}

/// Reference to a gRPC server from a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointRef {
    /// An endpoint of the configuration, by name.
    Name(String),
    /// Written out.
    Address(Endpoint),
}

impl std::fmt::Display for EndpointRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(endpoint) => endpoint.fmt(f),
        }
    }
}

/// Reads the entry `endpoints`. Relative paths in it start from `folder`; `models` are the names of
/// the models, which endpoints may not have.
pub(super) fn read_all(
    entry: &Entry,
    folder: &Path,
    models: &[&Spanned<String>],
    diagnostics: &mut Diagnostics,
) -> Vec<EndpointSpec> {
    let entries = match &entry.node.value {
        Value::Null => return Vec::new(),
        Value::Map(map) => &map.entries,
        _ => {
            let kind = entry.node.kind();
            let message = format!("`endpoints` must be a map of names and servers, not {kind}");
            let example = "write `endpoints: { ocr: { url: grpc://ocr:50051 } }`";
            diagnostics.push(Diagnostic::error(entry.node.span, message).help(example));
            return Vec::new();
        }
    };
    if entries.len() > ENDPOINTS_MAX {
        let found = entries.len();
        let message = format!("{found} endpoints are more than the limit of {ENDPOINTS_MAX}");
        diagnostics.push(Diagnostic::error(entry.key.span, message));
    }
    let endpoints: Vec<EndpointSpec> = entries
        .iter()
        .take(ENDPOINTS_MAX)
        .map(|e| read(e, folder, diagnostics))
        .collect();
    for EndpointSpec { name, .. } in &endpoints {
        let shown = truncated(&name.value);
        if let Some(model) = models.iter().find(|m| m.value == name.value) {
            let message = format!("a model and an endpoint are both named `{shown}`");
            diagnostics.push(
                Diagnostic::error(name.span, message)
                    .also(model.span, "the model")
                    .help("`--endpoint` sets the address of either by its name: rename one"),
            );
        }
    }
    endpoints
}

/// Reads `NAME: URL`, or `NAME: { url, descriptor, errors, tls }`.
fn read(entry: &Entry, folder: &Path, diagnostics: &mut Diagnostics) -> EndpointSpec {
    NameRule::Endpoint.check("an endpoint", &entry.key, diagnostics);
    let mut spec = EndpointSpec {
        name: entry.key.clone(),
        url: None,
        descriptor: None,
        errors: ErrorWords::default(),
        access: AccessSpec::default(),
    };
    if entry.node.as_str().is_some() {
        spec.url = url(entry, diagnostics);
        return spec;
    }
    let what = format!("endpoint `{}`", truncated(&entry.key.value));
    let Some(mut map) = MapReader::new(&entry.node, what, entry.key.span, diagnostics) else {
        return spec;
    };
    spec.url = map
        .required("url", "for example `url: grpc://host:port`")
        .and_then(|e| url(e, diagnostics));
    spec.descriptor = map.get("descriptor").and_then(|e| {
        let path = non_empty(e, diagnostics)?;
        Some(path.map(|path| folder.join(path)))
    });
    let errors = map.get("errors");
    let errors = errors.and_then(|e| word(e, &ErrorWords::WORDS, diagnostics));
    spec.errors = errors.map(|word| word.value).unwrap_or_default();
    spec.access = AccessSpec::read(&mut map, diagnostics);
    spec.access.start_from(folder);
    map.finish(diagnostics);
    spec
}

fn url(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Endpoint>> {
    let text = string(entry, diagnostics)?;
    match Endpoint::parse(&text.value) {
        Ok(url) => Some(Spanned::new(url, text.span)),
        Err(error) => {
            let name = truncated(&entry.key.value);
            diagnostics.push(Diagnostic::error(text.span, format!("`{name}` {error}")));
            None
        }
    }
}

//! `endpoints:`: gRPC servers whose methods pipelines call, each once, by name.

use std::path::{Path, PathBuf};

use super::endpoint::Endpoint;
use super::model::ModelSpec;
use super::names::NameRule;
use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value, truncated,
    values::{non_empty, string},
};

/// The most endpoints of one configuration.
pub const ENDPOINTS_MAX: usize = 1000;

/// A gRPC server, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSpec {
    /// The name, `[a-z][a-z0-9_-]*`.
    pub name: Spanned<String>,
    /// Where the server is; `None` where it could not be read, which was reported.
    pub url: Option<Spanned<Endpoint>>,
    /// The file with the descriptors of its services, from the folder of the configuration; the
    /// server is asked by reflection where there is none.
    pub descriptor: Option<Spanned<PathBuf>>,
}

/// Reads the section. Paths in it start from `folder`.
pub(super) fn read_all(
    entry: &Entry,
    folder: &Path,
    models: &[ModelSpec],
    diagnostics: &mut Diagnostics,
) -> Vec<EndpointSpec> {
    let entries = match &entry.node.value {
        Value::Null => return Vec::new(),
        Value::Map(map) => &map.entries,
        _ => {
            diagnostics.push(
                Diagnostic::error(
                    entry.node.span,
                    format!(
                        "`endpoints` must be a map of names and servers, not {}",
                        entry.node.kind()
                    ),
                )
                .help("write `endpoints: { ocr: { url: grpc://ocr:50051 } }`"),
            );
            return Vec::new();
        }
    };
    if entries.len() > ENDPOINTS_MAX {
        diagnostics.push(Diagnostic::error(
            entry.key.span,
            format!(
                "{} endpoints are more than the limit of {ENDPOINTS_MAX}",
                entries.len()
            ),
        ));
    }
    let endpoints: Vec<EndpointSpec> = entries
        .iter()
        .take(ENDPOINTS_MAX)
        .map(|e| read(e, folder, diagnostics))
        .collect();
    for endpoint in &endpoints {
        let name = &endpoint.name;
        if let Some(model) = models.iter().find(|m| m.name.value == name.value) {
            diagnostics.push(
                Diagnostic::error(
                    name.span,
                    format!(
                        "a model and an endpoint are both named `{}`",
                        truncated(&name.value)
                    ),
                )
                .also(model.name.span, "the model")
                .help("`--endpoint` tells either where it is by its name: rename one of them"),
            );
        }
    }
    endpoints
}

/// `NAME: URL`, or `NAME: { url, descriptor }`.
fn read(entry: &Entry, folder: &Path, diagnostics: &mut Diagnostics) -> EndpointSpec {
    NameRule::Endpoint.check("an endpoint", &entry.key, diagnostics);
    let mut spec = EndpointSpec {
        name: entry.key.clone(),
        url: None,
        descriptor: None,
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

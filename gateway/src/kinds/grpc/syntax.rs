//! `grpc`: a method of a gRPC server outside.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value as Yaml, values};
use motet_runtime::config::{Endpoint, NameRule};

use crate::syntax::parse::within;
use crate::syntax::{CallTarget, EndpointRef, KindSyntax, Named, NodeName, OUTPUTS_MAX, ReadKind};

/// The most of `max_items`.
pub(crate) const MESSAGES_MAX: usize = 1 << 20;

/// `grpc`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The full name of the service, such as `ocr.v1.Ocr`.
    pub service: String,
    /// The method.
    pub method: String,
    /// Where the service is.
    pub endpoint: Spanned<EndpointRef>,
    /// The node's outputs, each with a path of fields of the answer; `None` if the file has no
    /// `out`, and then every field is an output.
    pub out: Option<Vec<Named<Spanned<String>>>>,
    /// The most messages of an answer that is a stream.
    pub max_items: Option<Spanned<usize>>,
}

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        node: &mut MapReader<'_>,
        _: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        grpc(entry, node, diagnostics)
    }
}

impl KindSyntax for Spec {
    fn target(&self) -> Option<CallTarget<'_>> {
        Some(CallTarget::Service {
            endpoint: &self.endpoint.value,
            service: &self.service,
        })
    }
}

fn grpc(
    entry: &Entry,
    map: &mut MapReader<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<Spec>> {
    let method = method(entry, diagnostics);
    let endpoint = map
        .required(
            "endpoint",
            "name one of `endpoints:`, or write where the server is: `endpoint: grpc://host:port`",
        )
        .and_then(|e| endpoint(e, diagnostics));
    let written = map.get("out").map(|e| out(e, diagnostics));
    let max_items = map
        .get("max_items")
        .and_then(|e| values::count(e, 1..=MESSAGES_MAX, diagnostics));
    let out = match written {
        Some(out) => Some(out?),
        None => None,
    };
    let method = method?;
    let (service, name) = method.value;
    Some(Spanned::new(
        Spec {
            service,
            method: name,
            endpoint: endpoint?,
            out,
            max_items,
        },
        method.span,
    ))
}

/// `package.Service/Method`.
fn method(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<(String, String)>> {
    let text = values::string(entry, diagnostics)?;
    let is_name = |name: &str| {
        let mut parts = name.split('.');
        parts.all(|part| {
            !part.is_empty()
                && !part.starts_with(|c: char| c.is_ascii_digit())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    let path = text.value.strip_prefix('/').unwrap_or(&text.value);
    match path.split_once('/') {
        Some((service, method)) if is_name(service) && is_name(method) && !method.contains('.') => {
            let parts = (service.to_owned(), method.to_owned());
            Some(Spanned::new(parts, text.span))
        }
        _ => {
            diagnostics.push(
                Diagnostic::error(
                    text.span,
                    format!("`{}` is not a method", motet_config::truncated(&text.value)),
                )
                .help("write `grpc: package.Service/Method`, such as `ocr.v1.Ocr/Read`"),
            );
            None
        }
    }
}

fn endpoint(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<EndpointRef>> {
    let text = values::string(entry, diagnostics)?;
    if !text.value.contains("://") {
        let fits = NameRule::Endpoint.check("an endpoint", &text, diagnostics);
        return fits.then(|| text.map(EndpointRef::Name));
    }
    match Endpoint::parse(&text.value) {
        Ok(endpoint) => Some(Spanned::new(EndpointRef::Address(endpoint), text.span)),
        Err(error) => {
            diagnostics.push(Diagnostic::error(text.span, format!("`endpoint` {error}")));
            None
        }
    }
}

/// Outputs by name, each with the field that it comes from.
fn out(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Vec<Named<Spanned<String>>>> {
    let Yaml::Map(map) = &entry.node.value else {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!(
                    "`out` must be a map of outputs and fields of the answer, not {}",
                    entry.node.kind()
                ),
            )
            .help("write `out: { text: result.text }`"),
        );
        return None;
    };
    let count = map.entries.len();
    within(
        "outputs in `out`",
        count,
        OUTPUTS_MAX,
        entry.key.span,
        diagnostics,
    );
    let mut outputs = Vec::with_capacity(count.min(OUTPUTS_MAX));
    for output in map.entries.iter().take(OUTPUTS_MAX) {
        NameRule::Identifier.check("an output", &output.key, diagnostics);
        let field = values::string(output, diagnostics)?;
        if field.value.starts_with('$') {
            diagnostics.push(
                Diagnostic::error(
                    field.span,
                    "`out` names fields of the answer, not references",
                )
                .help("`in` is where references go"),
            );
            return None;
        }
        outputs.push(Named {
            name: output.key.clone(),
            value: field,
        });
    }
    Some(outputs)
}

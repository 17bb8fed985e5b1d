//! `grpc`: a method of a gRPC server outside.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value as Yaml, values};
use motet_runtime::config::{Endpoint, NameRule};

use super::own_name;
use crate::syntax::parse::within;
use crate::syntax::{EndpointRef, GrpcSpec, Named, OUTPUTS_MAX};

/// The most of `max_items`.
pub(crate) const MESSAGES_MAX: usize = 1 << 20;

pub(super) fn grpc(
    entry: &Entry,
    map: &mut MapReader<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<GrpcSpec>> {
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
        GrpcSpec {
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
        own_name(&output.key, "an output", diagnostics);
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

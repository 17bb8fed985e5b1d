//! Names that must not meet: within a pipeline, and among the pipelines of a configuration.

use motet_config::{Diagnostic, Diagnostics, Spanned};
use motet_proto::oip::split_version;

use crate::syntax::{OutputValue, PipelineSpec};

/// The name of the gRPC service of a pipeline, without its package: `my_rag` is `MyRag`.
pub fn pascal_case(pipeline: &str) -> String {
    pipeline
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters)
        })
        .collect()
}

/// The gRPC service and messages that two pipelines would both declare, without their package:
/// `rag` has the messages `RagRequest` and `RagResponse`, and `rag_request` would be a service of
/// that name.
pub fn shared_symbol(a: &str, b: &str) -> Option<String> {
    let symbols = |pipeline| {
        let service = pascal_case(pipeline);
        ["", "Request", "Response"].map(|end| format!("{service}{end}"))
    };
    let others = symbols(b);
    symbols(a).into_iter().find(|name| others.contains(name))
}

/// The JSON name that protobuf gives to a field.
fn json_name(field: &str) -> String {
    let mut name = String::with_capacity(field.len());
    let mut upper = false;
    for c in field.chars() {
        if c == '_' {
            upper = true;
        } else {
            name.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    name
}

/// Reports pipelines of one name, or whose gRPC declarations would share one, or that are named
/// like a model, since both are reached by name over the Open Inference Protocol.
pub fn check_names<'a>(
    pipelines: &[PipelineSpec],
    models: impl IntoIterator<Item = &'a Spanned<String>>,
    diagnostics: &mut Diagnostics,
) {
    let models: Vec<&Spanned<String>> = models.into_iter().collect();
    for (i, pipeline) in pipelines.iter().enumerate() {
        let name = &pipeline.name;
        if name.value.is_empty() {
            continue;
        }
        if let Some((first, symbol)) = pipelines[..i]
            .iter()
            .find_map(|p| Some((p, shared_symbol(&p.name.value, &name.value)?)))
        {
            let same = first.name.value == name.value;
            let message = if same {
                format!("two pipelines are named `{}`", name.value)
            } else {
                format!(
                    "the pipelines `{}` and `{}` would both declare `{symbol}` in gRPC",
                    first.name.value, name.value,
                )
            };
            diagnostics.push(
                Diagnostic::error(name.span, message)
                    .also(first.name.span, "the other")
                    .help("rename one of them"),
            );
        }
        if let Some(model) = models
            .iter()
            .find(|m| split_version(&m.value).0 == name.value)
        {
            diagnostics.push(
                Diagnostic::error(
                    name.span,
                    format!("a pipeline and a model are both named `{}`", name.value),
                )
                .also(model.span, "the model")
                .help(
                    "both are reached by name over the Open Inference Protocol: rename one of them",
                ),
            );
        }
    }
}

/// Names within a pipeline.
pub(crate) fn within_pipeline(spec: &PipelineSpec, diagnostics: &mut Diagnostics) {
    for node in &spec.nodes {
        if let Some(input) = spec.inputs.iter().find(|i| i.name.value == node.name.value) {
            diagnostics.push(
                Diagnostic::error(
                    node.name.span,
                    format!("`{}` is both a node and an input", node.name.value),
                )
                .also(input.name.span, "the input")
                .help("rename one of them: `$name` would mean either"),
            );
        }
    }
    fields("inputs", spec.inputs.iter().map(|i| &i.name), diagnostics);
    fields("outputs", spec.outputs.iter().map(|o| &o.name), diagnostics);
    for output in &spec.outputs {
        if let Some(OutputValue::Records(columns)) = &output.value {
            fields("columns", columns.iter().map(|c| &c.name), diagnostics);
        }
    }
}

fn fields<'a>(
    what: &str,
    names: impl Iterator<Item = &'a Spanned<String>>,
    diagnostics: &mut Diagnostics,
) {
    let mut seen: Vec<(String, &Spanned<String>)> = Vec::new();
    for name in names {
        let json = json_name(&name.value);
        match seen.iter().find(|(other, _)| *other == json) {
            Some((_, first)) if first.value != name.value => diagnostics.push(
                Diagnostic::error(
                    name.span,
                    format!(
                        "the {what} `{}` and `{}` are both `{json}` in JSON",
                        first.value, name.value
                    ),
                )
                .also(first.span, "the other")
                .help("rename one of them"),
            ),
            _ => seen.push((json, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_turn_into_protobuf_names() {
        for (name, service, json) in [
            ("rag", "Rag", "rag"),
            ("my_rag", "MyRag", "myRag"),
            ("a__b", "AB", "aB"),
            ("a_1", "A1", "a1"),
            ("x_", "X", "x"),
        ] {
            assert_eq!(pascal_case(name), service);
            assert_eq!(json_name(name), json);
        }
    }

    #[test]
    fn pipelines_share_no_protobuf_names() {
        for (a, b, shared) in [
            ("rag", "rags", None),
            ("rag", "rag_", Some("Rag")),
            ("rag", "rag_request", Some("RagRequest")),
            ("rag_response", "rag", Some("RagResponse")),
            ("rag_request", "rag_response", None),
        ] {
            assert_eq!(shared_symbol(a, b).as_deref(), shared, "{a}, {b}");
        }
    }
}

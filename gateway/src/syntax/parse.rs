//! The top level of a pipeline file.

use std::time::Duration;

use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Node, Span, Spanned, Value as Yaml, values,
};
use motet_runtime::config::NameRule;

use super::{
    DESCRIPTION_BYTES_MAX, DeadlineSpec, INPUTS_MAX, NODES_MAX, NodeSpec, OUTPUTS_MAX,
    PipelineSpec, RESERVED_NAMES, input, node, output,
};
use crate::call::layers::deadline::DEADLINE_RANGE;

/// Timeout of a request when neither pipeline nor client states one.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// Longest timeout when the pipeline states none.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60);

/// Reads one pipeline.
///
/// As much as can be made out is returned even when there are errors, so that the check reports
/// its own in the same run. `None` when there is not even a name or a map to go on with.
pub fn parse(root: &Node, diagnostics: &mut Diagnostics) -> Option<PipelineSpec> {
    let at = match &root.value {
        Yaml::Map(map) => map.entries.first().map_or(root.span, |e| e.key.span),
        _ => root.span,
    };
    let mut map = MapReader::new(root, "a pipeline", at, diagnostics)?;
    let name = map
        .required("pipeline", "start with `pipeline: NAME`")
        .and_then(|e| values::string(e, diagnostics));
    if let Some(name) = &name {
        NameRule::Identifier.check("a pipeline", name, diagnostics);
    }
    let at = name.as_ref().map_or(at, |n| n.span);
    let version = map
        .get("version")
        .and_then(|e| values::int(e, 1..=i64::from(u32::MAX), diagnostics))
        .map_or(1, |v| u32::try_from(v.value).unwrap_or(u32::MAX));
    let description = map
        .get("description")
        .and_then(|e| values::string(e, diagnostics));
    if let Some(text) = &description {
        within(
            "bytes in `description`",
            text.value.len(),
            DESCRIPTION_BYTES_MAX,
            text.span,
            diagnostics,
        );
    }
    let inputs = section(map.get("inputs"), "inputs", INPUTS_MAX, diagnostics)
        .iter()
        .map(|e| input::input(e, diagnostics))
        .collect();
    let deadline = deadline(map.get("deadline"), diagnostics);
    let nodes: Vec<_> = section(map.get("nodes"), "nodes", NODES_MAX, diagnostics)
        .iter()
        .map(|e| {
            NameRule::Identifier.check("a node", &e.key, diagnostics);
            node::node(&e.key, &e.node, diagnostics)
        })
        .collect();
    let outputs_entry = map.required("outputs", "for example `outputs: { score: $rank.score }`");
    let outputs: Vec<_> = section(outputs_entry, "outputs", OUTPUTS_MAX, diagnostics)
        .iter()
        .map(|e| output::output(e, diagnostics))
        .collect();
    if let Some(entry) = outputs_entry
        && outputs.is_empty()
        && (entry.node.is_null() || entry.node.as_map().is_some())
    {
        diagnostics.push(Diagnostic::error(
            entry.key.span,
            "a pipeline needs at least one output",
        ));
    }
    map.finish(diagnostics);
    let inside = nodes.iter().map(NodeSpec::count).sum();
    if nodes.len() <= NODES_MAX {
        let what = "nodes, with those inside others,";
        within(what, inside, NODES_MAX, at, diagnostics);
    }
    Some(PipelineSpec {
        name: name.unwrap_or_else(|| Spanned::new(String::new(), at)),
        version,
        description: description.map(|d| d.value),
        inputs,
        deadline,
        nodes,
        outputs,
    })
}

/// The entries of `inputs`, `nodes` or `outputs`.
pub(super) fn section<'n>(
    entry: Option<&'n Entry>,
    what: &str,
    most: usize,
    diagnostics: &mut Diagnostics,
) -> &'n [Entry] {
    let Some(entry) = entry else { return &[] };
    match &entry.node.value {
        Yaml::Null => &[],
        Yaml::Map(map) => {
            within(what, map.entries.len(), most, entry.key.span, diagnostics);
            &map.entries[..map.entries.len().min(most)]
        }
        _ => {
            diagnostics.push(Diagnostic::error(
                entry.node.span,
                format!(
                    "`{what}` must be a map of names and values, not {}",
                    entry.node.kind()
                ),
            ));
            &[]
        }
    }
}

fn deadline(entry: Option<&Entry>, diagnostics: &mut Diagnostics) -> DeadlineSpec {
    let mut spec = DeadlineSpec {
        default: DEADLINE_DEFAULT,
        default_span: None,
        max: DEADLINE_MAX,
        max_span: None,
    };
    let Some(entry) = entry else { return spec };
    if entry.node.as_str().is_some() {
        diagnostics.push(
            Diagnostic::error(entry.node.span, "the deadline of a pipeline has two parts")
                .help("write `deadline: { default: 2s, max: 30s }`"),
        );
        return spec;
    }
    let Some(mut map) = MapReader::new(&entry.node, "`deadline`", entry.key.span, diagnostics)
    else {
        return spec;
    };
    let mut part = |key: &'static str| {
        map.get(key)
            .and_then(|e| values::duration(e, DEADLINE_RANGE.0..=DEADLINE_RANGE.1, diagnostics))
    };
    let (default, max) = (part("default"), part("max"));
    map.finish(diagnostics);
    spec.default_span = default.map(|d| d.span);
    spec.max_span = max.map(|m| m.span);
    match (default, max) {
        (Some(default), Some(max)) if default.value > max.value => {
            diagnostics.push(
                Diagnostic::error(
                    default.span,
                    format!(
                        "the default deadline ({}) is longer than the maximum ({})",
                        humantime::format_duration(default.value),
                        humantime::format_duration(max.value)
                    ),
                )
                .also(max.span, "the maximum"),
            );
        }
        (Some(default), Some(max)) => (spec.default, spec.max) = (default.value, max.value),
        // The half that is not said follows the half that is.
        (Some(default), None) => {
            (spec.default, spec.max) = (default.value, DEADLINE_MAX.max(default.value));
        }
        (None, Some(max)) => {
            (spec.default, spec.max) = (DEADLINE_DEFAULT.min(max.value), max.value);
        }
        (None, None) => {}
    }
    spec
}

/// Reports a name that the typed API uses itself.
pub(super) fn not_reserved(what: &str, name: &Spanned<String>, diagnostics: &mut Diagnostics) {
    if let Some((reserved, why)) = RESERVED_NAMES.iter().find(|(r, _)| *r == name.value) {
        diagnostics.push(
            Diagnostic::error(name.span, format!("no {what} can be named `{reserved}`")).note(
                format!("every pipeline's gRPC messages have a field `{reserved}`: it {why}"),
            ),
        );
    }
}

/// Reports more than `most` of something.
pub(crate) fn within(
    what: &str,
    count: usize,
    most: usize,
    at: Span,
    diagnostics: &mut Diagnostics,
) {
    if count > most {
        diagnostics.push(Diagnostic::error(
            at,
            format!("{count} {what} are more than the limit of {most}"),
        ));
    }
}

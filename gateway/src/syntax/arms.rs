//! Parts that several kinds of nodes share: lists of arms, and names of things that are called.

use motet_config::{Diagnostic, Diagnostics, Entry, Node, Spanned, Value as Yaml, values};

use super::parse::within;
use super::{ARMS_MAX, BodySpec, NodeName, body};

/// Reads the items of a list of arms, of which there must be at least `least`.
pub(crate) fn arms<'n>(
    entry: &'n Entry,
    least: usize,
    diagnostics: &mut Diagnostics,
) -> Option<&'n [Node]> {
    let Yaml::List(items) = &entry.node.value else {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!(
                    "`{}` must be a list of arms, not {}",
                    entry.key.value,
                    entry.node.kind()
                ),
            )
            .help("an arm is what a node is, such as `{ model: NAME, in: { ... } }`"),
        );
        return None;
    };
    if items.len() < least {
        let arms = if least == 1 { "arm" } else { "arms" };
        diagnostics.push(Diagnostic::error(
            entry.key.span,
            format!(
                "`{}` needs at least {least} {arms}, but has {}",
                entry.key.value,
                items.len()
            ),
        ));
        return None;
    }
    within("arms", items.len(), ARMS_MAX, entry.key.span, diagnostics);
    Some(&items[..items.len().min(ARMS_MAX)])
}

/// Reads a list of arms without keys of their own, of which there must be at least two.
pub(crate) fn plain_arms(
    entry: &Entry,
    name: NodeName<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<BodySpec>> {
    arms(entry, 2, diagnostics)?
        .iter()
        .zip(1..)
        .map(|(item, i)| body::body(item, name.arm(i, item.span), diagnostics))
        .collect()
}

/// Reads the name of what a node calls: `model`, `op` and `pipeline`.
pub(crate) fn callee_name(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<String>> {
    let what = &entry.key.value;
    let text = values::string(entry, diagnostics)?;
    if text.value.contains('@') && what != "model" {
        diagnostics.push(
            Diagnostic::error(
                text.span,
                format!("`{what}` has no versions to choose from"),
            )
            .note("`name@version` is for models"),
        );
        return None;
    }
    if text.value.starts_with('$') {
        diagnostics.push(
            Diagnostic::error(text.span, format!("`{what}` is a name, not a reference"))
                .help("which model or op a node runs is fixed when the pipeline is loaded"),
        );
        return None;
    }
    Some(text)
}

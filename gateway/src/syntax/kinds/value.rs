//! `value`: written out, or taken from elsewhere.

use motet_config::{Diagnostic, Diagnostics, Entry, Spanned};
use motet_runtime::config::NameRule;

use crate::syntax::input::tensor_type;
use crate::syntax::node::value as any_value;
use crate::syntax::parse::within;
use crate::syntax::{ARGUMENTS_MAX, ValueSpec};

pub(super) fn value(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Vec<ValueSpec>> {
    let Some(map) = entry.node.as_map().filter(|m| !m.entries.is_empty()) else {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!(
                    "`value` must be a map of names and values, not {}",
                    entry.node.kind()
                ),
            )
            .help("write for example `value: { text: \"\", score: 0.0 }`"),
        );
        return None;
    };
    let count = map.entries.len();
    within("values", count, ARGUMENTS_MAX, entry.key.span, diagnostics);
    let values = map.entries.iter().take(ARGUMENTS_MAX).map(|e| {
        NameRule::Identifier.check("a value", &e.key, diagnostics);
        let typed = e.node.as_map().filter(|m| m.get("type").is_some());
        let (ty, written) = match typed {
            Some(typed) => (typed.get("type"), typed.get("value").unwrap_or(e)),
            None => (None, e),
        };
        ValueSpec {
            name: e.key.clone(),
            ty: ty.and_then(|ty| tensor_type(ty, diagnostics)),
            value: Spanned::new(
                any_value(&written.node, &e.key.value, diagnostics),
                written.node.span,
            ),
        }
    });
    Some(values.collect())
}

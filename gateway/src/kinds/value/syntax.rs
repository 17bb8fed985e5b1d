//! `value`: written out, or taken from elsewhere.

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};
use motet_proto::types::TensorType;
use motet_runtime::config::NameRule;

use crate::syntax::input::tensor_type;
use crate::syntax::node::value as any_value;
use crate::syntax::parse::within;
use crate::syntax::{ARGUMENTS_MAX, KindSyntax, NodeName, ReadKind, Value, WrittenReference};

/// `value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The values, in the file's order.
    pub values: Vec<ValueSpec>,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueSpec {
    /// The name.
    pub name: Spanned<String>,
    /// The type, where it is written.
    pub ty: Option<Spanned<TensorType>>,
    /// The value.
    pub value: Spanned<Value>,
}

impl ReadKind for Spec {
    fn read(
        entry: &Entry,
        _: &mut MapReader<'_>,
        _: NodeName<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let values = values(entry, diagnostics)?;
        Some(Spanned::new(Self { values }, entry.key.span))
    }
}

impl KindSyntax for Spec {
    fn has_arguments(&self) -> bool {
        false
    }

    fn references(&self) -> Vec<WrittenReference<'_>> {
        self.values
            .iter()
            .filter_map(|value| match &value.value.value {
                Value::Reference(reference) => Some(WrittenReference {
                    reference,
                    span: value.value.span,
                }),
                Value::Literal(_) | Value::Broken => None,
            })
            .collect()
    }

    fn has_errors(&self) -> bool {
        self.values.iter().any(|v| v.value.value == Value::Broken)
    }

    fn takes_types_of_arms(&self) -> bool {
        true
    }
}

fn values(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Vec<ValueSpec>> {
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

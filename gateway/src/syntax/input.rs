//! `inputs:`: what a request carries.

use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Spanned, Value as Yaml, nearest, values,
};
use motet_proto::types::{ElementType, TensorType, TypeError};
use motet_runtime::config::NameRule;

use super::InputSpec;
use super::literal::{is_reference, literal, scalar};
use crate::scalar::Scalar;

/// The most of `max_items`.
pub(super) const ITEMS_MAX: usize = 1 << 28;
/// The most of `max_bytes`.
pub(super) const BYTES_MAX: usize = 1 << 30;

pub(super) fn input(entry: &Entry, diagnostics: &mut Diagnostics) -> InputSpec {
    let mut spec = InputSpec {
        name: entry.key.clone(),
        ty: None,
        default: None,
        min: None,
        max: None,
        max_items: None,
        max_bytes: None,
        optional: None,
    };
    NameRule::Identifier.check("an input", &entry.key, diagnostics);
    super::parse::not_reserved("input", &entry.key, diagnostics);
    match &entry.node.value {
        Yaml::String(_) => spec.ty = tensor_type(entry, diagnostics),
        Yaml::Map(_) => {
            let what = format!("input `{}`", entry.key.value);
            let Some(mut map) = MapReader::new(&entry.node, what, entry.key.span, diagnostics)
            else {
                return spec;
            };
            spec.ty = map
                .required("type", "for example `type: string`")
                .and_then(|e| tensor_type(e, diagnostics));
            spec.default = map.get("default").and_then(|e| {
                if is_reference(&e.node) {
                    diagnostics.push(Diagnostic::error(
                        e.node.span,
                        "a default is a value, not a reference",
                    ));
                    return None;
                }
                let literal = literal(&e.node, "`default`", diagnostics)?;
                Some(Spanned::new(literal, e.node.span))
            });
            spec.min = map.get("min").and_then(|e| bound(e, diagnostics));
            spec.max = map.get("max").and_then(|e| bound(e, diagnostics));
            spec.max_items = map
                .get("max_items")
                .and_then(|e| values::count(e, 1..=ITEMS_MAX, diagnostics));
            spec.max_bytes = map
                .get("max_bytes")
                .and_then(|e| values::size(e, 1..=BYTES_MAX, diagnostics));
            spec.optional = map
                .get("optional")
                .and_then(|e| values::boolean(e, diagnostics))
                .filter(|optional| optional.value)
                .map(|optional| optional.span);
            if let (Some(optional), Some(default)) = (spec.optional, &spec.default) {
                diagnostics.push(
                    Diagnostic::error(
                        optional,
                        format!(
                            "input `{}` has a default, so it is always there",
                            entry.key.value
                        ),
                    )
                    .also(default.span, "the default"),
                );
            }
            map.finish(diagnostics);
        }
        _ => diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                match &entry.node.value {
                    Yaml::Null => format!("input `{}` has no type", entry.key.value),
                    _ => format!("an input must have a type, not {}", entry.node.kind()),
                },
            )
            .help(
                "write a type such as `string` or `float[N,384]`, or `{ type: int, default: 5, \
                 min: 1, max: 100 }`",
            ),
        ),
    }
    spec
}

fn bound(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Scalar>> {
    match scalar(&entry.node) {
        Some(value @ (Scalar::Int(_) | Scalar::Float(_))) => {
            Some(Spanned::new(value, entry.node.span))
        }
        _ => {
            diagnostics.push(Diagnostic::error(
                entry.node.span,
                format!(
                    "`{}` must be a number, not {}",
                    entry.key.value,
                    entry.node.kind()
                ),
            ));
            None
        }
    }
}

pub(crate) fn tensor_type(
    entry: &Entry,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<TensorType>> {
    let text = values::string(entry, diagnostics)?;
    match text.value.parse::<TensorType>() {
        Ok(ty) => Some(Spanned::new(ty, text.span)),
        Err(error) => {
            let mut diagnostic = Diagnostic::error(text.span, error.to_string());
            if let TypeError::UnknownElement(name) = &error {
                let names = ElementType::ALL.map(ElementType::name);
                let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
                diagnostic = match alias {
                    Some((_, proper)) => diagnostic.help(format!("write `{proper}`")),
                    None => match nearest(name, names) {
                        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                        None => {
                            diagnostic.help(format!("there are {}", motet_config::list_of(&names)))
                        }
                    },
                };
            }
            diagnostics.push(diagnostic);
            None
        }
    }
}

/// Names that other systems have for our element types.
const ALIASES: [(&str, &str); 14] = [
    ("str", "string"),
    ("text", "string"),
    ("String", "string"),
    ("BYTES", "bytes"),
    ("binary", "bytes"),
    ("boolean", "bool"),
    ("integer", "int"),
    ("int64", "int"),
    ("int32", "i32"),
    ("number", "float"),
    ("float32", "float"),
    ("fp32", "float"),
    ("double", "f64"),
    ("float16", "f16"),
];

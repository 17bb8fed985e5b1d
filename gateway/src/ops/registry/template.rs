//! `template`: fills placeholders in a text.

use motet_config::{Diagnostic, truncated};
use motet_proto::tensor::{StringsBuilder, Tensor};
use motet_proto::types::{ElementType, TensorType};

use crate::compute::cancel::Cancel;
use crate::ops::convert::cast;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{ArgumentId, OUTPUT_BYTES_MAX, OpError, OpErrorKind};
use crate::ops::op::{CompileContext, Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, port_like, symbol, text};
use crate::ops::work;

pub(super) struct Template;
pub(super) const OP: Template = Template;

/// Index of the parameter with the text. Compiled, its placeholders are indices of inputs.
const TEXT: &str = "text";

static DOCS: OpDocs = OpDocs {
    name: "template",
    aliases: &[],
    summary: "Fills a text with values.",
    forms: &[Form {
        inputs: "any names: single values or T[N]",
        outputs: "out: string or string[N]",
        about: "`{name}` in the text is a placeholder for an input, `{{` a brace. With a list \
                among the inputs the output is a list, and single values are in each of its texts.",
        example: &[("question", "string"), ("passage", "string[N]")],
        settings: &[("text", "\"{question}: {passage}\"")],
    }],
};

impl Op for Template {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let inputs = arguments.inputs.iter().map(|argument| {
            let ty = argument.ty.map(|(element, rank)| {
                let dims = (0..rank.min(1)).map(|_| symbol("N"));
                TensorType::new(element, dims.collect())
            });
            port_like(argument.name, ty)
        });
        let is_list = |a: &crate::ops::ports::ArgumentType<'_>| a.ty.is_some_and(|(_, r)| r > 0);
        let dims = if arguments.inputs.iter().any(is_list) {
            vec![symbol("N")]
        } else {
            Vec::new()
        };
        Ok(Signature {
            form: 0,
            inputs: inputs.collect(),
            outputs: vec![port("out", ElementType::String, dims)],
            parameters: vec![text(TEXT, None)],
        })
    }

    fn compiled_parameter(&self) -> Option<(&'static str, &'static str)> {
        let why = "its placeholders are checked when the pipeline is loaded; a text of a request \
                   can be the value of one";
        Some((TEXT, why))
    }

    fn compile(&self, text: &str, context: &mut CompileContext<'_, '_>) -> Option<String> {
        let names: Vec<&str> = context.arguments.inputs.iter().map(|a| a.name).collect();
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(brace) => {
                let sign = if text[brace..].starts_with('{') {
                    "not closed"
                } else {
                    "not opened"
                };
                let message = format!("the brace after {brace} bytes is {sign}");
                (context.report)(
                    Diagnostic::error(context.span, message)
                        .help("write `{name}` for a value, and `{{` or `}}` for a brace"),
                );
                return None;
            }
        };
        let mut used = vec![false; names.len()];
        let mut compiled = Some(String::with_capacity(text.len()));
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    if let Some(compiled) = &mut compiled {
                        compiled.push_str(&text.replace('{', "{{").replace('}', "}}"));
                    }
                }
                Piece::Placeholder(name) => match names.iter().position(|n| *n == name) {
                    Some(input) => {
                        used[input] = true;
                        if let Some(compiled) = &mut compiled {
                            compiled.push_str(&format!("{{{input}}}"));
                        }
                    }
                    None => {
                        compiled = None;
                        let message = format!(
                            "the text has a placeholder `{{{}}}`, but `in` has no such value",
                            truncated(name)
                        );
                        (context.report)(
                            Diagnostic::error(context.span, message)
                                .suggest(name, names.iter().copied()),
                        );
                    }
                },
            }
        }
        for (name, used) in names.iter().zip(used) {
            if !used && let Some(span) = (context.span_of)(name) {
                let message = format!("the text has no placeholder `{{{name}}}`");
                (context.report)(Diagnostic::warning(span, message));
            }
        }
        compiled
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        // A single value is written once for each row.
        let rows = call
            .inputs
            .iter()
            .flatten()
            .filter(|t| !t.shape().is_empty());
        let rows = rows.map(Tensor::rows).max().unwrap_or(1);
        let values = call.inputs.iter().flatten().map(|t| {
            let times = if t.shape().is_empty() { rows } else { 1 };
            work::as_texts(t).saturating_add(work::texts(t.data().len(), times))
        });
        let text = work::texts(call.text(0).map_or(0, str::len), rows);
        let rows = (rows as u64).saturating_mul(work::HASH);
        values.fold(text.saturating_add(rows), u64::saturating_add)
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        outputs([fill(call.text(0)?, &call.all()?, cancel)?])
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'t> {
    /// Literal text.
    Text(&'t str),
    /// A placeholder for a value, by name.
    Placeholder(&'t str),
}

/// Parses a template: `{name}` is a placeholder, `{{` and `}}` are braces.
///
/// # Errors
/// The byte at which a brace is not closed, or not opened.
fn pieces(template: &str) -> Result<Vec<Piece<'_>>, usize> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(found) = template[at..].find(['{', '}']) {
        let brace = at + found;
        let sign = &template[brace..=brace];
        pieces.push(Piece::Text(&template[start..brace]));
        if template[brace + 1..].starts_with(sign) {
            pieces.push(Piece::Text(sign));
            at = brace + 2;
        } else if sign == "{" {
            let length = template[brace..].find('}').ok_or(brace)?;
            let name = template[brace + 1..brace + length].trim();
            pieces.push(Piece::Placeholder(name));
            at = brace + length + 1;
        } else {
            return Err(brace);
        }
        start = at;
    }
    pieces.push(Piece::Text(&template[start..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

/// Fills a compiled template. Returns a string, or a list of strings if one of the values is a
/// list.
fn fill(template: &str, values: &[&Tensor], cancel: &Cancel) -> Result<Tensor, OpError> {
    let bad_text = || OpErrorKind::Argument.caused_by([ArgumentId::Setting(0)]);
    let pieces = pieces(template).map_err(|_| bad_text())?;
    let texts = values
        .iter()
        .enumerate()
        .map(|(input, value)| {
            cast(value, ElementType::String).map_err(|error| error.in_input(input))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let lists: Vec<Vec<&str>> = texts
        .iter()
        .map(|text| Ok(text.as_strings()?.texts().collect()))
        .collect::<Result<_, OpError>>()?;
    let rows = values
        .iter()
        .find(|v| !v.shape().is_empty())
        .map(|v| v.rows());
    let mut meter = cancel.meter();
    let mut out = StringsBuilder::default();
    let mut bytes = 0usize;
    for row in 0..rows.unwrap_or(1) {
        let mut filled = String::new();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Placeholder(input) => {
                    let at: usize = input.parse().map_err(|_| bad_text())?;
                    let (Some(value), Some(list)) = (values.get(at), lists.get(at)) else {
                        return Err(bad_text());
                    };
                    let index = if value.shape().is_empty() { 0 } else { row };
                    filled.push_str(list.get(index).copied().unwrap_or_default());
                }
            }
        }
        meter.spend(filled.len())?;
        bytes = bytes.saturating_add(filled.len());
        if bytes > OUTPUT_BYTES_MAX {
            return Err(OpErrorKind::OutputTooLarge.into());
        }
        out.push(filled.as_bytes());
    }
    let shape = rows.map_or_else(Vec::new, |n| vec![n]);
    Ok(Tensor::from_raw(ElementType::String, shape, out.finish())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{run, text};

    #[test]
    fn placeholders_are_filled() {
        let one = Tensor::scalar_string("x");
        let many = Tensor::strings(["a", "b"]);
        let number = Tensor::scalar(2i64);
        for (template, values, expected) in [
            (
                "{0}: {1}!",
                vec![one.clone(), number],
                Tensor::scalar_string("x: 2!"),
            ),
            ("{{{0}}}", vec![one.clone()], Tensor::scalar_string("{x}")),
            (
                "{1} {0}",
                vec![one.clone(), many],
                Tensor::strings(["a x", "b x"]),
            ),
            ("", vec![one], Tensor::scalar_string("")),
            (
                "{0}",
                vec![Tensor::strings::<&str>([])],
                Tensor::strings::<&str>([]),
            ),
        ] {
            let filled = run(&OP, 0, &values, &[text(template)]);
            assert_eq!(filled, Ok(vec![expected]), "{template}");
        }
        assert_eq!(pieces("a {b"), Err(2));
        assert_eq!(pieces("a } b"), Err(2));
    }
}

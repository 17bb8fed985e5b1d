//! Documentation of ops, generated from the registry: the output of `motet check --ops`, and the
//! page `docs/ops.md`.

use std::fmt::Write as _;

use motet_proto::signature::Parameter;
use motet_proto::types::{ElementType, TensorType};

use super::op::{Op, signature};
use super::ports::{ArgumentType, Arguments, FormError, Signature};
use super::registry::OPS;

/// Documentation of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpDocs {
    /// Name in a pipeline file.
    pub name: &'static str,
    /// Other names, each with its use in a sentence.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Summary in a sentence.
    pub summary: &'static str,
    /// Forms of the arguments; those of a node select one.
    pub forms: &'static [Form],
}

/// One form of the arguments of an op. The signature of the op has the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Inputs as text: `query: float[D], keys: float[N,D]`.
    pub inputs: &'static str,
    /// Outputs as text.
    pub outputs: &'static str,
    /// Details of the form, in whole sentences.
    pub about: &'static str,
    /// Names and types of the inputs of an example.
    pub example: &'static [(&'static str, &'static str)],
    /// Names and values of the settings of the example, as a file writes them.
    pub settings: &'static [(&'static str, &'static str)],
}

/// Longest line of a paragraph of [`markdown`].
const COLUMNS: usize = 100;

/// Returns all ops and their aliases as plain text, for a terminal.
pub fn text() -> String {
    let mut page = String::new();
    for op in OPS {
        let docs = op.docs();
        let _ = writeln!(page, "{}: {}", docs.name, docs.summary);
        for form in docs.forms {
            let line = parts(*op, form).join(" ");
            let _ = writeln!(page, "    {line}\n        {}", form.about);
        }
        for (alias, about) in docs.aliases {
            let _ = writeln!(page, "{alias}: The same as `{}`. {about}", docs.name);
        }
    }
    page
}

/// Returns all ops and their aliases as a page of Markdown.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for op in OPS {
        let docs = op.docs();
        let _ = writeln!(page, "\n## `{}`\n", docs.name);
        page.push_str(&paragraph(docs.summary));
        for (alias, about) in docs.aliases {
            let _ = writeln!(page, "\n`{alias}` is another name of it. {about}");
        }
        for form in docs.forms {
            let signature = parts(*op, form).join("\n");
            let node = form.node(docs.name);
            let _ = writeln!(page, "\n```text\n{signature}\n```\n");
            page.push_str(&paragraph(form.about));
            let _ = writeln!(page, "\n```yaml\n{node}\n```");
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Ops

Steps that run inside the gateway: `{ op: topk, in: { score: $rank.score }, with: { k: 5 } }`. This
page is generated from the ops themselves; `motet check --ops` prints it as text.

The inputs of a node choose the form of its op. A capital letter is a length, and one letter is one
length wherever a form names it; `T` is any element type. A parameter without a default (`= ...`) is
required. The example below each form is a node of a pipeline.
";

/// Wraps a text at [`COLUMNS`] columns.
fn paragraph(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        let separator = match column {
            0 => "",
            n if n + 1 + width > COLUMNS => "\n",
            _ => " ",
        };
        lines.push_str(separator);
        lines.push_str(word);
        column = match separator {
            " " => column + 1 + width,
            _ => width,
        };
    }
    lines.push('\n');
    lines
}

impl Form {
    /// Returns the example as a node of a pipeline file, whose inputs are pipeline inputs of the
    /// same names.
    pub fn node(&self, op: &str) -> String {
        let list = |pairs: &[(&str, &str)], sign: &str| {
            let items: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{name}: {sign}{value}"))
                .collect();
            items.join(", ")
        };
        let inputs: Vec<(&str, &str)> = self.example.iter().map(|(n, _)| (*n, *n)).collect();
        let mut node = format!("{{ op: {op}, in: {{ {} }}", list(&inputs, "$"));
        if !self.settings.is_empty() {
            let _ = write!(node, ", with: {{ {} }}", list(self.settings, ""));
        }
        node.push_str(" }");
        node
    }

    /// Returns the signature of the op for the example.
    ///
    /// # Errors
    /// When the example does not fit the op.
    pub fn signature(&self, op: &dyn Op) -> Result<Signature, FormError> {
        self.signature_with(op, &|_| false)
    }

    /// Returns the signature for the example, of which the types of some arguments are unknown.
    ///
    /// # Errors
    /// As [`Form::signature`].
    pub(super) fn signature_with(
        &self,
        op: &dyn Op,
        is_unknown: &dyn Fn(usize) -> bool,
    ) -> Result<Signature, FormError> {
        let types = self.example.iter().enumerate();
        let types = types.map(|(at, (_, ty))| match is_unknown(at) {
            true => None,
            false => ty.parse().ok(),
        });
        let types: Vec<Option<TensorType>> = types.collect();
        let inputs = self.example.iter().zip(&types);
        let inputs = inputs.map(|((name, _), ty)| ArgumentType {
            name,
            ty: ty.as_ref().map(|ty| (ty.element, ty.rank())),
            literal: false,
        });
        signature(
            op,
            &Arguments {
                inputs: inputs.collect(),
                settings: self
                    .settings
                    .iter()
                    .map(|(name, _)| (*name, None))
                    .collect(),
            },
        )
    }
}

/// Formats inputs, parameters and outputs of a form.
fn parts(op: &dyn Op, form: &Form) -> Vec<String> {
    let signature = form.signature(op);
    let parameters = signature.map_or_else(|_| Vec::new(), |signature| signature.parameters);
    let parameters: Vec<String> = parameters.iter().map(show_parameter).collect();
    let mut parts = vec![format!("in {{ {} }}", form.inputs)];
    if !parameters.is_empty() {
        parts.push(format!("with {{ {} }}", parameters.join(", ")));
    }
    parts.push(format!("-> {{ {} }}", form.outputs));
    parts
}

fn show_parameter(parameter: &Parameter) -> String {
    let kind = if parameter.one_of.is_empty() {
        parameter.ty.to_string()
    } else {
        parameter.one_of.join(" | ")
    };
    let range = match (parameter.min, parameter.max) {
        (Some(min), Some(max)) => format!(" ({min} to {max})"),
        _ => String::new(),
    };
    let default = parameter.default.as_ref().map_or(String::new(), |default| {
        match (default.as_str(), parameter.ty.element) {
            (Some(word), ElementType::String) if !parameter.one_of.is_empty() => {
                format!(" = {word}")
            }
            _ => format!(" = {default}"),
        }
    });
    format!("{}: {kind}{range}{default}", parameter.name)
}

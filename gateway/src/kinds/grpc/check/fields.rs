//! The fields of messages that a node names, as ports.

use motet_config::{Diagnostic, Spanned, nearest, truncated};
use motet_proto::types::{Dim, TensorType};
use prost_reflect::MessageDescriptor;

use crate::check::callee::CalleePort;
use crate::check::checker::Checker;
use crate::kinds::grpc::syntax::Spec;
use crate::protobuf::{FieldPath, PathError};
use crate::scalar::Scalar;
use crate::syntax::{Named, NodeSpec, Value, part_span};

/// A field that a node names, and where.
pub(super) struct Field {
    pub(super) name: Spanned<String>,
    pub(super) path: FieldPath,
    pub(super) optional: bool,
}

impl Checker<'_> {
    /// The fields of the request that `in` sets.
    pub(super) fn request_fields(
        &mut self,
        node: &NodeSpec,
        request: &MessageDescriptor,
    ) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for argument in &node.inputs {
            let name = &argument.name;
            let path = match FieldPath::find(request, &name.value) {
                Ok(path) => path,
                Err(error) => {
                    self.no_field(name, error);
                    continue;
                }
            };
            let mut wrong = None;
            for other in &fields {
                if other.path == path {
                    wrong = Some(format!(
                        "`{}` and `{}` are one field",
                        other.name.value, name.value
                    ));
                } else if let Some(oneof) = other.path.shared_oneof(&path) {
                    wrong = Some(format!(
                        "`{}` and `{}` are both of the oneof `{oneof}`, of which only one can be \
                         set",
                        other.name.value, name.value
                    ));
                }
                if let Some(why) = wrong.take() {
                    self.incomplete = true;
                    self.diagnostics
                        .push(Diagnostic::error(name.span, why).also(other.name.span, "the other"));
                }
            }
            self.check_enum_values(argument, &path);
            fields.push(Field {
                name: name.clone(),
                path,
                optional: false,
            });
        }
        fields
    }

    /// The fields of the answer that are outputs: those of `out`, or all that have a tensor form.
    /// Beside them the names of outputs whose fields could not be found, which was reported.
    pub(super) fn response_fields(
        &mut self,
        grpc: &Spec,
        response: &MessageDescriptor,
        streaming: bool,
    ) -> (Vec<Field>, Vec<String>) {
        let Some(out) = &grpc.out else {
            let all = response.fields().filter_map(|field| {
                Some(Field {
                    name: Spanned::new(field.name().to_owned(), grpc.endpoint.span),
                    path: FieldPath::find(response, field.name()).ok()?,
                    optional: false,
                })
            });
            return (all.collect(), Vec::new());
        };
        let mut fields = Vec::with_capacity(out.len());
        let mut unknown = Vec::new();
        for output in out {
            let written = &output.value;
            let (text, optional) = match written.value.strip_suffix('?') {
                Some(text) => (text, true),
                None => (written.value.as_str(), false),
            };
            let path = match FieldPath::find(response, text) {
                Ok(path) => path,
                Err(error) => {
                    self.no_field(written, error);
                    unknown.push(output.name.value.clone());
                    continue;
                }
            };
            if optional && (streaming || !path.can_be_absent()) {
                let why = match (streaming, path.is_list()) {
                    (true, _) => "it has one element for each message of the stream",
                    (false, true) => "it is a list, which is empty then",
                    (false, false) => {
                        "an answer does not tell whether it is set: where it is not, it has its \
                         default"
                    }
                };
                self.incomplete = true;
                self.diagnostics.push(
                    Diagnostic::error(written.span, format!("`{text}` is never absent"))
                        .note(path.describe())
                        .note(why)
                        .help(format!("write `{text}`")),
                );
            }
            fields.push(Field {
                name: output.name.clone(),
                path,
                optional,
            });
        }
        (fields, unknown)
    }

    fn no_field(&mut self, written: &Spanned<String>, error: PathError) {
        self.incomplete = true;
        let text = &written.value;
        let at = part_span(written.span, text, error.at.start, error.at.len());
        let mut diagnostic = Diagnostic::error(at, error.message);
        if !error.known.is_empty() {
            let name = &text[error.at];
            diagnostic = diagnostic.suggest(name, error.known.iter().map(String::as_str));
        }
        if let Some(help) = error.help {
            diagnostic = diagnostic.help(help);
        }
        self.diagnostics.push(diagnostic);
    }

    /// A text that is written out for an enum must be one of its words.
    fn check_enum_values(&mut self, argument: &Named<Spanned<Value>>, path: &FieldPath) {
        let (Value::Literal(literal), Some(words)) = (&argument.value.value, path.enum_values())
        else {
            return;
        };
        for value in &literal.values {
            let Scalar::String(word) = &value.value else {
                continue;
            };
            if words.contains(word) {
                continue;
            }
            self.incomplete = true;
            let upper = word.to_uppercase();
            let diagnostic = Diagnostic::error(
                value.span,
                format!(
                    "`{}` is no value of `{}`",
                    truncated(word),
                    argument.name.value
                ),
            )
            .note(path.describe());
            // Enum values are written in upper case, mostly behind the name of the enum.
            let near = nearest(&upper, words.iter().map(String::as_str)).or_else(|| {
                words
                    .iter()
                    .map(String::as_str)
                    .find(|w| w.ends_with(&upper))
            });
            self.diagnostics.push(match near {
                Some(near) if !word.is_empty() => {
                    diagnostic.help(format!("did you mean `{near}`?"))
                }
                _ => diagnostic.suggest(word, words.iter().map(String::as_str)),
            });
        }
    }
}

/// Every list of a request has a length of its own: `N`, `N2`, `N3`.
pub(super) fn input_ports(fields: &[Field]) -> Vec<CalleePort> {
    let mut lists: Vec<String> = Vec::new();
    let ports = fields.iter().map(|field| {
        let symbol = field.path.list_path().map(|list| {
            let at = lists.iter().position(|l| *l == list).unwrap_or_else(|| {
                lists.push(list);
                lists.len() - 1
            });
            if at == 0 {
                "N".to_owned()
            } else {
                format!("N{}", at + 1)
            }
        });
        CalleePort {
            name: field.name.value.clone(),
            ty: Some(ty(&field.path, symbol)),
            required: false,
            // A field whose argument is absent is not set.
            optional: !field.path.is_column(),
            about: Some(field.path.describe()),
        }
    });
    ports.collect()
}

/// Every list of an answer has a length of its own, named as the list; what has one element for
/// each message of a stream has the length `M`.
pub(super) fn output_ports(
    fields: &[Field],
    inputs: &[CalleePort],
    streaming: bool,
) -> Vec<CalleePort> {
    let of_inputs: Vec<String> = inputs
        .iter()
        .filter_map(|port| match port.ty.as_ref()?.dims.first()? {
            Dim::Symbol(symbol) => Some(symbol.clone()),
            Dim::Fixed(_) => None,
        })
        .collect();
    let lists: Vec<String> = fields.iter().filter_map(|f| f.path.list_path()).collect();
    // No length of an answer is one of the request, whatever its fields are called.
    let apart = |mut name: String, others: &[&[String]]| {
        while others.iter().any(|names| names.contains(&name)) {
            name.push('_');
        }
        name
    };
    let messages = apart("M".to_owned(), &[&of_inputs, &lists]);
    let ports = fields.iter().map(|field| {
        let list = field
            .path
            .list_path()
            .map(|list| apart(list, &[&of_inputs]));
        CalleePort {
            name: field.name.value.clone(),
            ty: Some(ty(
                &field.path,
                list.or_else(|| streaming.then(|| messages.clone())),
            )),
            required: true,
            optional: field.optional,
            about: Some(field.path.describe()),
        }
    });
    ports.collect()
}

fn ty(path: &FieldPath, symbol: Option<String>) -> TensorType {
    let dims = symbol.map(Dim::Symbol).into_iter().collect();
    TensorType::new(path.element(), dims)
}

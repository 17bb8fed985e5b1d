//! `concat`: lists or strings joined.

use motet_proto::tensor::Tensor;
use motet_proto::types::{ElementType, TensorType};

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{OpError, within_output_limit};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{
    Arguments, FormError, OpPort, Signature, port, port_like, symbol, symbols, text,
};
use crate::ops::work;

pub(super) struct Concat;
pub(super) const OP: Concat = Concat;

/// The index of the form of lists; the other is of strings.
const LISTS: usize = 0;

static DOCS: OpDocs = OpDocs {
    name: "concat",
    aliases: &[],
    summary: "Joins values in the order in which `in` names them.",
    forms: &[
        Form {
            inputs: "any names: T[N1,...], T[N2,...]",
            outputs: "out: T[N,...]",
            about: "Lists of one element type, one after the other. The other dimensions agree.",
            example: &[("a", "float[N,3]"), ("b", "float[M,3]")],
            settings: &[],
        },
        Form {
            inputs: "any names: string",
            outputs: "out: string",
            about: "Strings, one after the other.",
            example: &[("a", "string"), ("b", "string")],
            settings: &[("separator", "\", \"")],
        },
    ],
};

impl Op for Concat {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        if arguments.inputs.is_empty() {
            return Err(FormError::inputs("`concat` needs at least one input"));
        }
        let known: Vec<(&str, ElementType, usize)> = arguments
            .inputs
            .iter()
            .filter_map(|a| a.ty.map(|(element, rank)| (a.name, element, rank)))
            .collect();
        let scalar = known.iter().find(|(_, _, rank)| *rank == 0);
        let list = known.iter().find(|(_, _, rank)| *rank > 0);
        match (scalar, list) {
            (Some((scalar, ..)), Some(_)) => Err(FormError {
                help: Some("write all inputs as lists, or all as strings"),
                ..FormError::input(
                    scalar,
                    format!(
                        "`concat` joins lists, or strings, but not both: `{scalar}` is no list"
                    ),
                )
            }),
            (Some((_, ElementType::String, _)), None) => Ok(strings(arguments)),
            (Some((name, element, _)), None) => Err(FormError::input(
                name,
                format!("`concat` joins strings or lists, but `{name}` is a single {element}"),
            )),
            // The first list determines the type of the others.
            (None, list) => Ok(lists(arguments, list.map(|(_, e, rank)| (*e, *rank)))),
        }
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        work::elements(call.bytes())
    }

    fn run(&self, call: &OpCall<'_>, _: &Cancel) -> Result<Outputs, OpError> {
        let parts = call.all()?;
        if call.form == LISTS {
            within_output_limit(parts.iter().map(|p| p.data().len()))?;
            return outputs([Tensor::concat(&parts)?]);
        }
        let texts = parts
            .iter()
            .map(|part| part.as_text())
            .collect::<Result<Vec<_>, _>>()?;
        let separator = call.text(0)?;
        within_output_limit(texts.iter().map(|t| t.len() + separator.len()))?;
        outputs([Tensor::scalar_string(&texts.join(separator))])
    }
}

fn strings(arguments: &Arguments<'_>) -> Signature {
    let port = |name| port(name, ElementType::String, Vec::new());
    Signature {
        form: LISTS + 1,
        inputs: arguments.inputs.iter().map(|a| port(a.name)).collect(),
        outputs: vec![port("out")],
        parameters: vec![text("separator", Some(""))],
    }
}

fn lists(arguments: &Arguments<'_>, ty: Option<(ElementType, usize)>) -> Signature {
    let ports = |name: &str, rows: &str| -> OpPort {
        let ty = ty.map(|(element, rank)| {
            let mut dims = vec![symbol(rows)];
            dims.extend(symbols("D", 1..rank));
            TensorType::new(element, dims)
        });
        port_like(name, ty)
    };
    let inputs = (1..).zip(&arguments.inputs);
    Signature {
        form: LISTS,
        inputs: inputs
            .map(|(number, a)| ports(a.name, &format!("N{number}")))
            .collect(),
        outputs: vec![ports("out", "N")],
        parameters: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::error::{OUTPUT_BYTES_MAX, OpErrorKind};
    use crate::ops::testing::{run, text};

    #[test]
    fn texts_and_lists_are_joined() {
        let joined = run(
            &OP,
            LISTS + 1,
            &[Tensor::scalar_string("a"), Tensor::scalar_string("b")],
            &[text(", ")],
        );
        assert_eq!(joined, Ok(vec![Tensor::scalar_string("a, b")]));
        let lists = run(
            &OP,
            LISTS,
            &[Tensor::strings(["a"]), Tensor::strings(["b"])],
            &[],
        );
        assert_eq!(lists, Ok(vec![Tensor::strings(["a", "b"])]));
    }

    #[test]
    fn a_result_over_the_limit_is_refused() {
        let part = Tensor::scalar_string(&"x".repeat(OUTPUT_BYTES_MAX / 255));
        let parts = vec![part; 256];
        let joined = run(&OP, LISTS + 1, &parts, &[text("")]);
        assert_eq!(joined, Err(OpErrorKind::OutputTooLarge.into()));
        let lists: Vec<Tensor> = parts
            .into_iter()
            .map(|t| t.reshape(vec![1]).unwrap())
            .collect();
        let joined = run(&OP, LISTS, &lists, &[]);
        assert_eq!(joined, Err(OpErrorKind::OutputTooLarge.into()));
    }
}

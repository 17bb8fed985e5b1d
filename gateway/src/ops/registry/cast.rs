//! `cast`: conversion to another element type.

use motet_proto::signature::Parameter;
use motet_proto::types::{ElementType, TensorType};

use crate::compute::cancel::Cancel;
use crate::ops::convert::cast;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{ArgumentId, OpError, OpErrorKind};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port_like, symbols, words};
use crate::ops::work;

pub(super) struct Cast;
pub(super) const OP: Cast = Cast;

static DOCS: OpDocs = OpDocs {
    name: "cast",
    aliases: &[],
    summary: "Converts values to another element type.",
    forms: &[Form {
        inputs: "value: T[...]",
        outputs: "out: TO[...]",
        about: "`to` is written in the file. A number outside the range of the type becomes its \
                nearest end. Texts are parsed, and numbers formatted as texts.",
        example: &[("value", "string[N]")],
        settings: &[("to", "int")],
    }],
};

impl Op for Cast {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let value = arguments.type_of("value");
        let to = arguments.word("to").and_then(named);
        let of_type = |name, element: Option<ElementType>| {
            let rank = value.map(|(_, rank)| rank);
            let ty = rank.zip(element);
            port_like(
                name,
                ty.map(|(rank, element)| TensorType::new(element, symbols("D", 0..rank))),
            )
        };
        Ok(Signature {
            form: 0,
            inputs: vec![of_type("value", value.map(|(element, _)| element))],
            outputs: vec![of_type("out", to)],
            parameters: vec![Parameter {
                default: None,
                ..words("to", &ElementType::ALL.map(ElementType::name))
            }],
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        let is_text = |element: ElementType| element.size().is_none();
        let value = call.inputs.first().and_then(Option::as_ref);
        let from_text = value.is_some_and(|v| is_text(v.element()));
        let to_text = call.text(0).ok().and_then(named).is_some_and(is_text);
        let each = match (from_text, to_text) {
            (true, true) | (false, false) => work::CONVERT,
            _ => work::PARSE,
        };
        let each = each.saturating_mul(call.len(0) as u64);
        each.saturating_add(work::elements(call.bytes()))
    }

    fn run(&self, call: &OpCall<'_>, _: &Cancel) -> Result<Outputs, OpError> {
        let bad_type = || OpErrorKind::Argument.caused_by([ArgumentId::Setting(0)]);
        let to = named(call.text(0)?).ok_or_else(bad_type)?;
        outputs([cast(call.input(0)?, to).map_err(|e| e.in_input(0))?])
    }
}

/// Returns the element type of this name.
fn named(name: &str) -> Option<ElementType> {
    ElementType::ALL.into_iter().find(|e| e.name() == name)
}

//! `length`: the number of rows of a list.

use motet_proto::tensor::Tensor;
use motet_proto::types::{ElementType, TensorType};

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, port_like, symbols};

pub(super) struct Length;
pub(super) const OP: Length = Length;

static DOCS: OpDocs = OpDocs {
    name: "length",
    aliases: &[],
    summary: "Counts the rows of a list.",
    forms: &[Form {
        inputs: "of: T[N,...]",
        outputs: "out: int",
        about: "For lists of any type.",
        example: &[("of", "string[N]")],
        settings: &[],
    }],
};

impl Op for Length {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let ty = arguments
            .type_of("of")
            .map(|(element, rank)| TensorType::new(element, symbols("D", 0..rank.max(1))));
        Ok(Signature {
            form: 0,
            inputs: vec![port_like("of", ty)],
            outputs: vec![port("out", ElementType::I64, Vec::new())],
            parameters: Vec::new(),
        })
    }

    fn work(&self, _: &OpCall<'_>) -> u64 {
        0
    }

    fn run(&self, call: &OpCall<'_>, _: &Cancel) -> Result<Outputs, OpError> {
        let rows = i64::try_from(call.input(0)?.rows()).unwrap_or(i64::MAX);
        outputs([Tensor::scalar(rows)])
    }
}

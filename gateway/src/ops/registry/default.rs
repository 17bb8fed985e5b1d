//! `default`: a value, or a default if it is absent.

use motet_proto::types::TensorType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs};
use crate::ops::ports::{Arguments, FormError, OpPort, Signature, port_like, symbols};

pub(super) struct Default;
pub(super) const OP: Default = Default;

static DOCS: OpDocs = OpDocs {
    name: "default",
    aliases: &[],
    summary: "Returns a value, or a default if it is absent.",
    forms: &[Form {
        inputs: "value: T[...] (may be absent), default: T[...]",
        outputs: "out: T[...]",
        about: "Both have one type and shape. A single value may be written in the file.",
        example: &[("value", "string"), ("default", "string")],
        settings: &[],
    }],
};

impl Op for Default {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        // The value determines the type of the default, or the reverse if only the type of the
        // default is known.
        let ty = arguments
            .type_of("value")
            .or_else(|| arguments.type_of("default"))
            .map(|(element, rank)| TensorType::new(element, symbols("D", 0..rank)));
        Ok(Signature {
            form: 0,
            inputs: vec![
                OpPort {
                    optional: true,
                    ..port_like("value", ty.clone())
                },
                port_like("default", ty.clone()),
            ],
            outputs: vec![port_like("out", ty)],
            parameters: Vec::new(),
        })
    }

    fn work(&self, _: &OpCall<'_>) -> u64 {
        0
    }

    fn run(&self, call: &OpCall<'_>, _: &Cancel) -> Result<Outputs, OpError> {
        Ok(vec![call.inputs.iter().flatten().next().cloned()])
    }
}

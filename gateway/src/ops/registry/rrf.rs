//! `rrf`: ranked lists fused into one.

use motet_proto::signature::Parameter;
use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, K_MAX, Signature, index_and_score, port, symbol};
use crate::ops::scoring::fuse;
use crate::ops::work;

pub(super) struct Rrf;
pub(super) const OP: Rrf = Rrf;

static DOCS: OpDocs = OpDocs {
    name: "rrf",
    aliases: &[],
    summary: "Fuses ranked lists of indices into one (reciprocal rank fusion).",
    forms: &[Form {
        inputs: "any names: i32[K1], i32[K2]",
        outputs: "index: i32[K], score: float[K]",
        about: "The score of an index is the sum of 1 / (k + rank) over the lists that have it. \
                The best `top` are kept.",
        example: &[("a", "i32[K]"), ("b", "i32[L]")],
        settings: &[("top", "10")],
    }],
};

impl Op for Rrf {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        if arguments.inputs.is_empty() {
            return Err(FormError::inputs("`rrf` needs at least one input"));
        }
        let list = |(number, name): (usize, &str)| {
            let dims = vec![symbol(&format!("K{number}"))];
            port(name, ElementType::I32, dims)
        };
        let names = arguments.inputs.iter().map(|a| a.name);
        Ok(Signature {
            form: 0,
            inputs: (1..).zip(names).map(list).collect(),
            outputs: index_and_score("K"),
            parameters: vec![
                Parameter::int("k", 60, 1, 1_000_000),
                Parameter::int("top", K_MAX, 1, K_MAX),
            ],
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        work::elements(call.bytes()).saturating_mul(work::HASH)
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let k = i64::try_from(call.count(0)?).unwrap_or(i64::MAX);
        let top = call.count(1)?;
        outputs(fuse(&call.all()?, k, Some(top), &mut cancel.meter())?)
    }
}

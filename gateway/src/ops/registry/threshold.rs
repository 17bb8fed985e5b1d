//! `threshold`: the scores of at least a minimum.

use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, float, index_and_score, port, symbol};
use crate::ops::{scoring, work};

pub(super) struct Threshold;
pub(super) const OP: Threshold = Threshold;

static DOCS: OpDocs = OpDocs {
    name: "threshold",
    aliases: &[],
    summary: "Keeps the scores of at least `min`.",
    forms: &[Form {
        inputs: "score: float[N]",
        outputs: "index: i32[K], score: float[K]",
        about: "In the order of the list. K is the number of scores that are kept.",
        example: &[("score", "float[N]")],
        settings: &[("min", "0.5")],
    }],
};

impl Op for Threshold {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, _: &Arguments<'_>) -> Result<Signature, FormError> {
        Ok(Signature {
            form: 0,
            inputs: vec![port("score", ElementType::F32, vec![symbol("N")])],
            outputs: index_and_score("K"),
            parameters: vec![float("min", None, None)],
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        work::elements(call.bytes())
    }

    fn run(&self, call: &OpCall<'_>, _: &Cancel) -> Result<Outputs, OpError> {
        let min = call.float(0)?;
        let scores = call.input(0)?.values::<f32>()?;
        let kept: Vec<usize> = (0..scores.len())
            .filter(|i| f64::from(scores[*i]) >= min)
            .collect();
        outputs(scoring::index_and_score(&kept, &scores)?)
    }
}

#[cfg(test)]
mod tests {
    use super::OP;
    use crate::ops::testing::{floats, ints, run, values};
    use crate::scalar::Scalar;

    #[test]
    fn scores_that_are_high_enough_are_kept() {
        let scores = floats(&[4], &[0.5, f32::NAN, 0.2, 0.9]);
        let out = run(&OP, 0, &[scores], &[Scalar::Float(0.5)]).unwrap();
        assert_eq!(ints(&out[0]), [0, 3]);
        assert_eq!(values(&out[1]), [0.5, 0.9]);
    }
}

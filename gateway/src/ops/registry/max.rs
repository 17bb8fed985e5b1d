//! `max`: the largest of some numbers.

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::extreme::Extreme;
use crate::ops::op::{Op, OpCall, Outputs};
use crate::ops::ports::{Arguments, FormError, Signature};

pub(super) struct Max;
pub(super) const OP: Max = Max;

static DOCS: OpDocs = OpDocs {
    name: "max",
    aliases: &[],
    summary: "Finds the largest number of several values, or of each row of a list.",
    forms: &[
        Form {
            inputs: "any names: T[...], T[...]",
            outputs: "out: T[...]",
            about: "Element by element, for values of one type and shape. NaN counts only where \
                    all are NaN.",
            example: &[("a", "int"), ("b", "int")],
            settings: &[],
        },
        Form {
            inputs: "any name: T[...,L]",
            outputs: "out: T[...], index: i32[...]",
            about: "Along the last dimension: the largest number of a list, or of each row of a \
                    matrix, and its index, the first of equal ones.",
            example: &[("price", "float[N]")],
            settings: &[],
        },
    ],
};

impl Op for Max {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        Extreme::Largest.signature(DOCS.name, arguments)
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        Extreme::work(call)
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        Extreme::Largest.run(call, cancel)
    }
}

#[cfg(test)]
mod tests {
    use motet_proto::tensor::Tensor;

    use super::*;
    use crate::ops::testing::{floats, ints, run, values};

    #[test]
    fn the_largest_is_found_in_both_forms() {
        let out = run(
            &OP,
            0,
            &[Tensor::scalar(3u64), Tensor::scalar(u64::MAX)],
            &[],
        );
        assert_eq!(out, Ok(vec![Tensor::scalar(u64::MAX)]));
        let rows = floats(
            &[2, 3],
            &[f32::NAN, -2.0, -1.0, 7.0, 7.0, f32::NEG_INFINITY],
        );
        let out = run(&OP, 1, &[rows], &[]).unwrap();
        assert_eq!(values(&out[0]), [-1.0, 7.0]);
        assert_eq!(ints(&out[1]), [2, 0]);
    }
}

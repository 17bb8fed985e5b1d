//! `min`: the smallest of some numbers.

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::extreme::Extreme;
use crate::ops::op::{Op, OpCall, Outputs};
use crate::ops::ports::{Arguments, FormError, Signature};

pub(super) struct Min;
pub(super) const OP: Min = Min;

static DOCS: OpDocs = OpDocs {
    name: "min",
    aliases: &[],
    summary: "Finds the smallest number of several values, or of each row of a list.",
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
            about: "Along the last dimension: the smallest number of a list, or of each row of a \
                    matrix, and its index, the first of equal ones.",
            example: &[("price", "float[N]")],
            settings: &[],
        },
    ],
};

impl Op for Min {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        Extreme::Smallest.signature(DOCS.name, arguments)
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        Extreme::work(call)
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        Extreme::Smallest.run(call, cancel)
    }
}

#[cfg(test)]
mod tests {
    use motet_proto::tensor::Tensor;

    use super::*;
    use crate::ops::error::OpErrorKind;
    use crate::ops::testing::{floats, int_list, ints, run, values};

    const NAN: f32 = f32::NAN;

    #[test]
    fn the_smallest_of_several_values_is_found_element_by_element() {
        let scalar = |n: i64| Tensor::scalar(n);
        let list = |v: &[f32]| floats(&[v.len()], v);
        for (inputs, expected) in [
            (vec![scalar(3), scalar(-1), scalar(2)], scalar(-1)),
            (vec![scalar(3)], scalar(3)),
            (
                vec![list(&[1.0, NAN, NAN]), list(&[0.5, 2.0, NAN])],
                list(&[0.5, 2.0, NAN]),
            ),
            (vec![list(&[]), list(&[])], list(&[])),
            (
                vec![int_list(&[4, -4]), int_list(&[3, 3])],
                int_list(&[3, -4]),
            ),
        ] {
            let out = run(&OP, 0, &inputs, &[]).unwrap();
            // By bytes, since NaN is not equal to itself.
            assert_eq!(out[0].data(), expected.data(), "{inputs:?}");
            assert_eq!(out[0].shape(), expected.shape());
        }
        assert!(run(&OP, 0, &[list(&[1.0]), list(&[])], &[]).is_err());
    }

    #[test]
    fn the_smallest_of_each_row_is_found_with_its_index() {
        for (shape, given, smallest, index) in [
            (&[4][..], &[2.0, 1.0, NAN, 1.0][..], &[1.0][..], &[1][..]),
            (&[2, 2], &[NAN, 5.0, -1.0, 0.0], &[5.0, -1.0], &[1, 0]),
            (&[0, 3], &[], &[], &[]),
            (&[0, 0], &[], &[], &[]),
        ] {
            let out = run(&OP, 1, &[floats(shape, given)], &[]).unwrap();
            assert_eq!(values(&out[0]), smallest, "{given:?}");
            assert_eq!(ints(&out[1]), index, "{given:?}");
            assert_eq!(out[0].shape(), &shape[..shape.len() - 1]);
        }
        let nothing = run(&OP, 1, &[floats(&[2], &[NAN, NAN])], &[]).unwrap();
        assert!(values(&nothing[0])[0].is_nan() && ints(&nothing[1]) == [0]);
        for shape in [&[0][..], &[3, 0]] {
            let empty = run(&OP, 1, &[floats(shape, &[])], &[]);
            let kind = OpErrorKind::EmptyRow("smallest element");
            assert_eq!(empty, Err(kind.in_input(0)), "{shape:?}");
        }
    }
}

//! `range`: the integers of an interval.

use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{ArgumentId, OUTPUT_BYTES_MAX, OpError, OpErrorKind};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, symbol};

pub(super) struct Range;
pub(super) const OP: Range = Range;

/// The inputs, in the order in which the op receives them. A form has the first ones.
const INPUTS: [&str; 3] = ["end", "start", "step"];
const END: usize = 0;
const START: usize = 1;
const STEP: usize = 2;

static DOCS: OpDocs = OpDocs {
    name: "range",
    aliases: &[],
    summary: "Counts from `start` to the number before `end`.",
    forms: &[
        Form {
            inputs: "end: int",
            outputs: "index: i32[K]",
            about: "From 0, one by one: `gather` by it takes the first rows of a list.",
            example: &[("end", "int")],
            settings: &[],
        },
        Form {
            inputs: "end: int, start: int",
            outputs: "index: i32[K]",
            about: "One by one; none where `start` is not less than `end`.",
            example: &[("end", "int"), ("start", "int")],
            settings: &[],
        },
        Form {
            inputs: "end: int, start: int, step: int",
            outputs: "index: i32[K]",
            about: "By steps, which count down where they are negative and must not be 0.",
            example: &[("end", "int"), ("start", "int"), ("step", "int")],
            settings: &[],
        },
    ],
};

impl Op for Range {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let form = if arguments.has(INPUTS[STEP]) {
            STEP
        } else if arguments.has(INPUTS[START]) {
            START
        } else {
            END
        };
        let inputs = INPUTS[..=form].iter();
        Ok(Signature {
            form,
            inputs: inputs
                .map(|name| port(name, ElementType::I64, Vec::new()))
                .collect(),
            outputs: vec![port("index", ElementType::I32, vec![symbol("K")])],
            parameters: Vec::new(),
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        // A longer list is refused before it is made.
        let limit = (OUTPUT_BYTES_MAX / size_of::<i32>()) as u64;
        bounds(call).map_or(0, |b| u64::try_from(b.count()).unwrap_or(limit).min(limit))
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let bounds = bounds(call)?;
        if bounds.step == 0 {
            return Err(OpErrorKind::Value("the step must not be 0").in_input(STEP));
        }
        let given = 0..call.inputs.len();
        let arguments = || given.clone().map(ArgumentId::Input).collect::<Vec<_>>();
        let count = bounds.count();
        if count > (OUTPUT_BYTES_MAX / size_of::<i32>()) as i128 {
            return Err(OpErrorKind::OutputTooLarge.caused_by(arguments()));
        }
        let mut meter = cancel.meter();
        let mut index = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        for at in 0..count {
            meter.spend(1)?;
            let value = bounds.start + at * bounds.step;
            let too_large = |_| {
                let kind = OpErrorKind::Value("a number of the range does not fit into 32 bits");
                kind.caused_by(arguments())
            };
            index.push(i32::try_from(value).map_err(too_large)?);
        }
        outputs([Tensor::from_values(vec![index.len()], index)?])
    }
}

/// An interval, in integers that do not overflow.
struct Bounds {
    start: i128,
    end: i128,
    step: i128,
}

impl Bounds {
    /// Returns the number of integers; 0 for a step of 0.
    fn count(&self) -> i128 {
        let length = match self.step.signum() {
            0 => return 0,
            1 => self.end - self.start,
            _ => self.start - self.end,
        };
        let step = self.step.abs();
        ((length + step - 1) / step).max(0)
    }
}

fn bounds(call: &OpCall<'_>) -> Result<Bounds, OpError> {
    let given = |index: usize, otherwise: i64| -> Result<i128, OpError> {
        if index >= call.inputs.len() {
            return Ok(otherwise.into());
        }
        Ok(call.input(index)?.to_scalar::<i64>()?.into())
    };
    Ok(Bounds {
        end: given(END, 0)?,
        start: given(START, 0)?,
        step: given(STEP, 1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{ints, run};

    fn range(given: &[i64]) -> Result<Vec<i32>, OpError> {
        let inputs: Vec<Tensor> = given.iter().map(|n| Tensor::scalar(*n)).collect();
        run(&OP, given.len() - 1, &inputs, &[]).map(|out| ints(&out[0]))
    }

    #[test]
    fn integers_are_counted_up_and_down() {
        // End, start, step.
        for (given, expected) in [
            (&[4][..], &[0, 1, 2, 3][..]),
            (&[0], &[]),
            (&[-3], &[]),
            (&[5, 3], &[3, 4]),
            (&[3, 5], &[]),
            (&[2, -2], &[-2, -1, 0, 1]),
            (&[10, 0, 4], &[0, 4, 8]),
            (&[8, 0, 4], &[0, 4]),
            (&[-1, 3, -1], &[3, 2, 1, 0]),
            (&[3, 0, -1], &[]),
            (&[i64::MAX, i64::MAX, 1], &[]),
            (&[0, 5, i64::MIN], &[5]),
        ] {
            assert_eq!(range(given).unwrap(), expected, "{given:?}");
        }
    }

    #[test]
    fn an_error_names_the_argument_at_fault() {
        let fits = OpErrorKind::Value("a number of the range does not fit into 32 bits");
        for (given, kind, arguments) in [
            (
                &[3, 0, 0][..],
                OpErrorKind::Value("the step must not be 0"),
                2..3,
            ),
            (&[1 << 40], OpErrorKind::OutputTooLarge, 0..1),
            (&[1 << 40, (1 << 40) - 2], fits, 0..2),
            (&[i64::MAX, i64::MIN, 1], OpErrorKind::OutputTooLarge, 0..3),
        ] {
            let arguments: Vec<_> = arguments.map(ArgumentId::Input).collect();
            assert_eq!(range(given), Err(kind.caused_by(arguments)), "{given:?}");
        }
    }
}

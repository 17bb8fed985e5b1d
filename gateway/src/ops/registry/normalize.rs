//! `normalize`: vectors scaled along their last dimension.

use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{ArgumentId, OpError, OpErrorKind};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, symbols, words};
use crate::ops::work;

pub(super) struct Normalize;
pub(super) const OP: Normalize = Normalize;

static DOCS: OpDocs = OpDocs {
    name: "normalize",
    aliases: &[],
    summary: "Scales vectors along the last dimension.",
    forms: &[Form {
        inputs: "vector: float[...,D]",
        outputs: "out: float[...,D]",
        about: "`l2`: to length 1; a vector of length 0 stays. `softmax`: to positive numbers \
                whose sum is 1. `minmax`: to numbers from 0 to 1; equal numbers become 0.",
        example: &[("vector", "float[N,384]")],
        settings: &[("method", "softmax")],
    }],
};

/// Methods of scaling vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    L2,
    Softmax,
    MinMax,
}

impl Method {
    const ALL: [(&'static str, Self); 3] = [
        ("l2", Self::L2),
        ("softmax", Self::Softmax),
        ("minmax", Self::MinMax),
    ];

    fn named(name: &str) -> Option<Self> {
        let (_, method) = Self::ALL.into_iter().find(|(n, _)| *n == name)?;
        Some(method)
    }

    fn apply(self, vector: &mut [f32]) {
        let highest = || vector.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        match self {
            Self::L2 => {
                let squares = vector.iter().map(|x| f64::from(*x).powi(2));
                let length = squares.sum::<f64>().sqrt();
                if length > 0.0 {
                    scale(vector, 0.0, length);
                }
            }
            Self::Softmax => {
                let highest = highest();
                for x in vector.iter_mut() {
                    *x = (*x - highest).exp();
                }
                let sum = vector.iter().map(|x| f64::from(*x)).sum();
                scale(vector, 0.0, sum);
            }
            Self::MinMax => {
                let highest = f64::from(highest());
                let lowest = f64::from(vector.iter().copied().fold(f32::INFINITY, f32::min));
                let range = highest - lowest;
                scale(vector, lowest, if range > 0.0 { range } else { 1.0 });
            }
        }
    }
}

/// Subtracts `from` from each number, and divides by `by`.
fn scale(vector: &mut [f32], from: f64, by: f64) {
    for x in vector {
        *x = ((f64::from(*x) - from) / by) as f32;
    }
}

impl Op for Normalize {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let first = arguments.inputs.first().and_then(|a| a.ty);
        let rank = first.map_or(1, |(_, rank)| rank.max(1));
        let of_rank = |name| port(name, ElementType::F32, symbols("D", 0..rank));
        Ok(Signature {
            form: 0,
            inputs: vec![of_rank("vector")],
            outputs: vec![of_rank("out")],
            parameters: vec![words("method", &Method::ALL.map(|(name, _)| name))],
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        // Mostly for the exponential.
        work::elements(call.bytes()).saturating_mul(4)
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let bad_method = || OpErrorKind::Argument.caused_by([ArgumentId::Setting(0)]);
        let method = Method::named(call.text(0)?).ok_or_else(bad_method)?;
        let vectors = call.input(0)?;
        let width = vectors.shape().last().copied().unwrap_or(1).max(1);
        let mut values = vectors.values::<f32>()?.into_owned();
        let mut meter = cancel.meter();
        for vector in values.chunks_exact_mut(width) {
            meter.spend(width)?;
            method.apply(vector);
        }
        outputs([Tensor::from_values(vectors.shape().to_vec(), values)?])
    }
}

#[cfg(test)]
mod tests {
    use super::OP;
    use crate::ops::testing::{floats, run, text, values};

    #[test]
    fn vectors_are_normalized() {
        for (method, given, expected) in [
            ("l2", [3.0, 4.0, 0.0, 0.0], [0.6, 0.8, 0.0, 0.0]),
            ("softmax", [0.0, 0.0, 1000.0, 0.0], [0.5, 0.5, 1.0, 0.0]),
            ("minmax", [1.0, 3.0, 5.0, 5.0], [0.0, 1.0, 0.0, 0.0]),
        ] {
            let out = run(&OP, 0, &[floats(&[2, 2], &given)], &[text(method)]).unwrap();
            let out = values(&out[0]);
            assert!(
                out.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{out:?}"
            );
        }
        let none = run(&OP, 0, &[floats(&[0, 2], &[])], &[text("l2")]).unwrap();
        assert_eq!(none[0].shape(), [0, 2]);
    }
}

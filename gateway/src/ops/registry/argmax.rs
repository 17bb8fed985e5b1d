//! `argmax`: the best score of each row.

use motet_proto::tensor::Tensor;
use motet_proto::types::{Dim, ElementType, TensorType};

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{ArgumentId, OpError, OpErrorKind};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, OpPort, Signature, port, port_like, symbol};
use crate::ops::scoring::by_rank;
use crate::ops::work;

pub(super) struct ArgMax;
pub(super) const OP: ArgMax = ArgMax;

const SCORE: usize = 0;
const LABELS: usize = 1;

static DOCS: OpDocs = OpDocs {
    name: "argmax",
    aliases: &[],
    summary: "Finds the best score of each row, and its label.",
    forms: &[
        Form {
            inputs: "score: float[N,L]",
            outputs: "index: i32[N], score: float[N]",
            about: "The first of equal scores. For `score: float[L]` the outputs are scalars.",
            example: &[("score", "float[N,L]")],
            settings: &[],
        },
        Form {
            inputs: "score: float[N,L], labels: T[L]",
            outputs: "index: i32[N], score: float[N], label: T[N]",
            about: "With the label of each best score.",
            example: &[("score", "float[N,L]"), ("labels", "string[L]")],
            settings: &[],
        },
    ],
};

impl Op for ArgMax {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let outer = match arguments.type_of("score") {
            Some((_, 1)) => Vec::new(),
            _ => vec![symbol("N")],
        };
        let scores = outer.iter().cloned().chain([symbol("L")]).collect();
        let mut inputs = vec![port("score", ElementType::F32, scores)];
        let mut outputs = vec![
            port("index", ElementType::I32, outer.clone()),
            port("score", ElementType::F32, outer.clone()),
        ];
        let labelled = arguments.has("labels");
        if labelled {
            let of_labels = |name: &str, dims: Vec<Dim>| -> OpPort {
                let ty = arguments.type_of("labels");
                port_like(name, ty.map(|(element, _)| TensorType::new(element, dims)))
            };
            inputs.push(of_labels("labels", vec![symbol("L")]));
            outputs.push(of_labels("label", outer));
        }
        Ok(Signature {
            form: usize::from(labelled),
            inputs,
            outputs,
            parameters: Vec::new(),
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        work::elements(call.bytes())
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let score = call.input(SCORE)?;
        let (outer, width) = match *score.shape() {
            [width] => (Vec::new(), width),
            [rows, width] => (vec![rows], width),
            _ => return Err(OpErrorKind::Argument.in_input(SCORE)),
        };
        let labels = match call.inputs.len() {
            0 | 1 => None,
            _ => Some(call.input(LABELS)?),
        };
        if let Some(labels) = labels
            && labels.rows() != width
        {
            let kind = OpErrorKind::Labels {
                labels: labels.rows(),
                scores: width,
            };
            return Err(kind.caused_by([ArgumentId::Input(LABELS), ArgumentId::Input(SCORE)]));
        }
        let scores = score.values::<f32>()?;
        if width == 0 && outer != [0] {
            return Err(OpErrorKind::EmptyRow("best").in_input(SCORE));
        }
        let mut meter = cancel.meter();
        let mut best = Vec::with_capacity(scores.len() / width.max(1));
        for row in scores.chunks_exact(width.max(1)) {
            meter.spend(width)?;
            let first = (0..row.len()).min_by(|a, b| by_rank(row, *a, *b));
            best.push(first.unwrap_or(0));
        }
        let index: Vec<i32> = best.iter().map(|i| *i as i32).collect();
        let of_best = best
            .iter()
            .enumerate()
            .map(|(row, i)| scores[row * width + i]);
        let mut tensors = vec![
            Tensor::from_values(outer.clone(), index)?,
            Tensor::from_values(outer.clone(), of_best.collect::<Vec<f32>>())?,
        ];
        if let Some(labels) = labels {
            tensors.push(labels.gather(&best)?.reshape(outer)?);
        }
        outputs(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{floats, ints, run, values};

    #[test]
    fn each_row_has_a_best() {
        let labels = Tensor::strings(["no", "yes"]);
        let rows = floats(&[2, 2], &[0.1, 0.9, f32::NAN, 0.2]);
        let out = run(&OP, 0, &[rows, labels.clone()], &[]).unwrap();
        assert_eq!(ints(&out[0]), [1, 1]);
        assert_eq!(values(&out[1]), [0.9, 0.2]);
        assert_eq!(out[2], Tensor::strings(["yes", "yes"]));
        let one = run(&OP, 0, &[floats(&[2], &[0.9, 0.1]), labels], &[]).unwrap();
        assert_eq!(one[2], Tensor::scalar_string("no"));
        let none = run(&OP, 0, &[floats(&[0, 0], &[])], &[]).unwrap();
        assert_eq!(none[0].shape(), [0]);
    }

    #[test]
    fn a_row_without_a_best_names_the_argument_at_fault() {
        let labels = Tensor::strings(["no", "yes"]);
        let empty = OpErrorKind::EmptyRow("best");
        let other = OpErrorKind::Labels {
            labels: 2,
            scores: 3,
        };
        for (inputs, kind, arguments) in [
            (vec![floats(&[0], &[])], empty.clone(), vec![SCORE]),
            (vec![floats(&[2, 0], &[])], empty, vec![SCORE]),
            (
                vec![floats(&[3], &[0.0; 3]), labels],
                other,
                vec![LABELS, SCORE],
            ),
        ] {
            let arguments: Vec<_> = arguments.into_iter().map(ArgumentId::Input).collect();
            assert_eq!(
                run(&OP, 0, &inputs, &[]),
                Err(kind.caused_by(arguments)),
                "{inputs:?}"
            );
        }
    }
}

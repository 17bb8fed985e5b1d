//! `sparse_dot`: dot products of a sparse vector with many.

use std::collections::HashMap;

use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, symbol};
use crate::ops::rows_of::{listed, row_numbers};
use crate::ops::work;

pub(super) struct SparseDot;
pub(super) const OP: SparseDot = SparseDot;

static DOCS: OpDocs = OpDocs {
    name: "sparse_dot",
    aliases: &[],
    summary: "Scores texts by the dot product of their sparse vectors with that of a query.",
    forms: &[Form {
        inputs: "query_index: i32[A], query_weight: float[A], index: i32[M], weight: float[M], \
                 row: i32[M], of: T[N,...]",
        outputs: "score: float[N]",
        about: "The sum over the indices that both have of the product of their weights; `row` is \
                the text of each value, as `embed_sparse` gives them. `of` is the list of the \
                texts, of which only the length counts.",
        example: &[
            ("query_index", "i32[A]"),
            ("query_weight", "float[A]"),
            ("index", "i32[M]"),
            ("weight", "float[M]"),
            ("row", "i32[M]"),
            ("of", "string[N]"),
        ],
        settings: &[],
    }],
};

/// Numbers of the inputs `row` and `of`.
const ROW_INPUT: usize = 4;
const OF_INPUT: usize = 5;

impl Op for SparseDot {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let list = |name, element, dim| port(name, element, vec![symbol(dim)]);
        Ok(Signature {
            form: 0,
            inputs: vec![
                list("query_index", ElementType::I32, "A"),
                list("query_weight", ElementType::F32, "A"),
                list("index", ElementType::I32, "M"),
                list("weight", ElementType::F32, "M"),
                list("row", ElementType::I32, "M"),
                listed(arguments),
            ],
            outputs: vec![list("score", ElementType::F32, "N")],
            parameters: Vec::new(),
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        let lookups = (call.len(0) as u64).saturating_add(call.len(2) as u64);
        let lookups = lookups.saturating_mul(work::HASH);
        lookups.saturating_add(work::elements(call.bytes()))
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let mut query: HashMap<i32, f32> = HashMap::new();
        let (index, weight) = (
            call.input(0)?.values::<i32>()?,
            call.input(1)?.values::<f32>()?,
        );
        for (index, weight) in index.iter().zip(weight.iter()) {
            *query.entry(*index).or_default() += weight;
        }
        let texts = row_numbers(call, ROW_INPUT, OF_INPUT)?;
        let mut scores = vec![0.0; call.input(OF_INPUT)?.rows()];
        let mut meter = cancel.meter();
        let (index, weight) = (
            call.input(2)?.values::<i32>()?,
            call.input(3)?.values::<f32>()?,
        );
        for ((index, weight), text) in index.iter().zip(weight.iter()).zip(texts) {
            meter.spend(1)?;
            if let Some(of_query) = query.get(index) {
                scores[text] += of_query * weight;
            }
        }
        outputs([Tensor::from_values(vec![scores.len()], scores)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::error::{ArgumentId, OpErrorKind};
    use crate::ops::testing::{floats, int_list, run, values};

    fn inputs(row: &[i32]) -> [Tensor; 6] {
        [
            int_list(&[7, 3, 9]),
            floats(&[3], &[2.0, 1.0, 0.5]),
            int_list(&[3, 7, 8, 7]),
            floats(&[4], &[4.0, 1.0, 100.0, 0.25]),
            int_list(row),
            Tensor::strings(["a", "b", "c"]),
        ]
    }

    #[test]
    fn only_indices_of_both_count() {
        let out = run(&OP, 0, &inputs(&[0, 0, 0, 2]), &[]).unwrap();
        assert_eq!(values(&out[0]), [6.0, 0.0, 0.5]);
    }

    #[test]
    fn a_row_that_is_no_text_is_an_error() {
        let kind = OpErrorKind::Index {
            at: 3,
            index: 3,
            rows: 3,
        };
        let expected = kind.caused_by([ArgumentId::Input(4), ArgumentId::Input(5)]);
        assert_eq!(run(&OP, 0, &inputs(&[0, 0, 0, 3]), &[]), Err(expected));
    }
}

//! `maxsim`: scores of texts by late interaction.

use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, symbol};
use crate::ops::rows_of::{listed, row_numbers};
use crate::ops::vectors::{Metric, Rows};
use crate::ops::work;

pub(super) struct MaxSim;
pub(super) const OP: MaxSim = MaxSim;

static DOCS: OpDocs = OpDocs {
    name: "maxsim",
    aliases: &[],
    summary: "Scores texts by late interaction, from the vectors of their tokens.",
    forms: &[Form {
        inputs: "query: float[Q,D], keys: float[T,D], row: i32[T], of: T[N,...]",
        outputs: "score: float[N]",
        about: "The mean over the query's tokens of the greatest dot product with any token of the \
                text; `row` is the text of each token of `keys`, as `embed_tokens` gives both. \
                `of` is the list of the texts, of which only the length counts. A text without a \
                token has the score 0.",
        example: &[
            ("query", "float[Q,D]"),
            ("keys", "float[T,D]"),
            ("row", "i32[T]"),
            ("of", "string[N]"),
        ],
        settings: &[],
    }],
};

/// Numbers of the inputs `row` and `of`.
const ROW_INPUT: usize = 2;
const OF_INPUT: usize = 3;

impl Op for MaxSim {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let vectors =
            |name, tokens| port(name, ElementType::F32, vec![symbol(tokens), symbol("D")]);
        Ok(Signature {
            form: 0,
            inputs: vec![
                vectors("query", "Q"),
                vectors("keys", "T"),
                port("row", ElementType::I32, vec![symbol("T")]),
                listed(arguments),
            ],
            outputs: vec![port("score", ElementType::F32, vec![symbol("N")])],
            parameters: Vec::new(),
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        let products = work::product([call.rows(0), call.len(1)]);
        products.saturating_add(work::elements(call.bytes()))
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let (query, keys) = (call.input(0)?, call.input(1)?);
        let texts = call.input(OF_INPUT)?.rows();
        let query = Rows::of(query, Metric::Dot)?;
        let keys = Rows::of(keys, Metric::Dot)?;
        query.fit(&keys)?;
        let numbers = row_numbers(call, ROW_INPUT, OF_INPUT)?;
        let mut meter = cancel.meter();
        // The greatest product of each token of the query with any of each text: `[N, Q]`.
        let mut greatest = vec![f32::NEG_INFINITY; texts * query.len()];
        for (key, text) in numbers.iter().enumerate() {
            let greatest = &mut greatest[text * query.len()..][..query.len()];
            for (token, greatest) in greatest.iter_mut().enumerate() {
                meter.spend(keys.width())?;
                let product = query.similarity(token, &keys, key);
                // A product that is not a number stays.
                if product > *greatest || product.is_nan() {
                    *greatest = product;
                }
            }
        }
        let count = query.len().max(1) as f32;
        let score = |text: usize| {
            let greatest = &greatest[text * query.len()..][..query.len()];
            match greatest.contains(&f32::NEG_INFINITY) {
                true => 0.0,
                false => greatest.iter().sum::<f32>() / count,
            }
        };
        let scores: Vec<f32> = (0..texts).map(score).collect();
        outputs([Tensor::from_values(vec![texts], scores)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::error::{ArgumentId, OpErrorKind};
    use crate::ops::testing::{floats, int_list, run, values};

    #[test]
    fn each_token_of_the_query_finds_its_best_match_in_each_text() {
        let query = floats(&[2, 2], &[1.0, 0.0, 0.0, 1.0]);
        let keys = floats(&[4, 2], &[1.0, 0.5, 0.5, 2.0, -1.0, 0.0, 3.0, 3.0]);
        let texts = Tensor::strings(["a", "b", "c"]);
        let inputs = [query, keys, int_list(&[0, 0, 2, 0]), texts];
        let out = run(&OP, 0, &inputs, &[]).unwrap();
        assert_eq!(values(&out[0]), [3.0, 0.0, -0.5]);
        let [query, ..] = inputs;
        let none = [
            query,
            floats(&[0, 2], &[]),
            int_list(&[]),
            Tensor::strings::<&str>([]),
        ];
        assert_eq!(run(&OP, 0, &none, &[]).unwrap()[0].shape(), [0]);
    }

    #[test]
    fn a_row_that_is_no_text_and_vectors_of_another_size_are_errors() {
        let texts = || Tensor::strings(["a", "b"]);
        let keys = || floats(&[1, 2], &[1.0, 2.0]);
        for index in [2, -1] {
            let inputs = [keys(), keys(), int_list(&[index]), texts()];
            let kind = OpErrorKind::Index {
                at: 0,
                index,
                rows: 2,
            };
            let expected = kind.caused_by([ArgumentId::Input(2), ArgumentId::Input(3)]);
            assert_eq!(run(&OP, 0, &inputs, &[]), Err(expected));
        }
        let inputs = [floats(&[1, 1], &[1.0]), keys(), int_list(&[0]), texts()];
        let width = OpErrorKind::Width { query: 1, keys: 2 };
        let expected = width.caused_by([ArgumentId::Input(0), ArgumentId::Input(1)]);
        assert_eq!(run(&OP, 0, &inputs, &[]), Err(expected));
    }
}

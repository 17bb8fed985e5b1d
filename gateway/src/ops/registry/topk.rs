//! `topk`: the k best of a list.

use motet_proto::types::ElementType;

use crate::compute::cancel::Cancel;
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::OpError;
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{
    Arguments, FormError, Signature, index_and_score, k, port, query_and_keys, symbol, words,
};
use crate::ops::vectors::{Metric, similarities};
use crate::ops::{scoring, work};

pub(super) struct TopK;
pub(super) const OP: TopK = TopK;

/// The index of the form by similarity; the other is by score.
const NEAREST: usize = 0;

static DOCS: OpDocs = OpDocs {
    name: "topk",
    aliases: &[],
    summary: "Finds the k best elements of a list, best first. K is the smaller of k and N.",
    forms: &[
        Form {
            inputs: "query: float[D], keys: float[N,D]",
            outputs: "index: i32[K], score: float[K]",
            about: "The keys most similar to the query. Equal scores keep the order of the list.",
            example: &[("query", "float[D]"), ("keys", "float[N,D]")],
            settings: &[("k", "3")],
        },
        Form {
            inputs: "score: float[N]",
            outputs: "index: i32[K], score: float[K]",
            about: "The highest scores. Equal scores keep the order of the list.",
            example: &[("score", "float[N]")],
            settings: &[("k", "3")],
        },
    ],
};

impl Op for TopK {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        // Arguments of which no name is known are reported as a search if there are several.
        let search = ["query", "keys"].into_iter().any(|n| arguments.has(n));
        let by_score = !search && (arguments.has("score") || arguments.inputs.len() == 1);
        Ok(if by_score {
            Signature {
                form: NEAREST + 1,
                inputs: vec![port("score", ElementType::F32, vec![symbol("N")])],
                outputs: index_and_score("K"),
                parameters: vec![k()],
            }
        } else {
            Signature {
                form: NEAREST,
                inputs: query_and_keys(),
                outputs: index_and_score("K"),
                parameters: vec![k(), words("metric", &Metric::NAMES)],
            }
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        let ranked = call.rows(call.inputs.len().saturating_sub(1)) as u64;
        work::elements(call.bytes()) + work::RANK * ranked
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let k = call.count(0)?;
        if call.form != NEAREST {
            return best(&call.input(0)?.values::<f32>()?, k);
        }
        let metric = Metric::named(call.text(1)?);
        let (query, keys) = (call.input(0)?, call.input(1)?);
        best(&similarities(query, keys, metric, &mut cancel.meter())?, k)
    }
}

fn best(scores: &[f32], k: usize) -> Result<Outputs, OpError> {
    let order = scoring::order(scores, k);
    outputs(scoring::index_and_score(&order, scores)?)
}

#[cfg(test)]
mod tests {
    use motet_proto::tensor::Tensor;

    use super::*;
    use crate::ops::error::{ArgumentId, OpErrorKind};
    use crate::ops::testing::{floats, ints, run, text, values};
    use crate::scalar::Scalar;

    fn nearest(query: &[f32], keys: &Tensor, k: i64, metric: &str) -> (Vec<i32>, Vec<f32>) {
        let query = floats(&[query.len()], query);
        let out = run(
            &OP,
            NEAREST,
            &[query, keys.clone()],
            &[Scalar::Int(k), text(metric)],
        )
        .unwrap();
        (ints(&out[0]), values(&out[1]))
    }

    #[test]
    fn nearest_keys_come_best_first() {
        let keys = floats(&[4, 2], &[0.0, 1.0, 2.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let (index, score) = nearest(&[3.0, 0.0], &keys, 10, "cosine");
        assert_eq!(index, [1, 2, 0, 3]);
        assert!((score[0] - 1.0).abs() < 1e-6);
        assert!((score[1] - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(score[3], 0.0);
        assert_eq!(
            nearest(&[3.0, 0.0], &keys, 2, "dot"),
            (vec![1, 2], vec![6.0, 3.0])
        );
        let none = floats(&[0, 2], &[]);
        assert_eq!(nearest(&[3.0, 0.0], &none, 2, "dot"), (vec![], vec![]));
        let flat = floats(&[2, 0], &[]);
        let equal = (vec![0, 1], vec![0.0, 0.0]);
        assert_eq!(nearest(&[], &flat, 2, "dot"), equal);
        assert_eq!(nearest(&[], &flat, 2, "cosine"), equal);
    }

    #[test]
    fn vectors_of_two_widths_are_refused() {
        let inputs = [floats(&[1], &[1.0]), floats(&[1, 2], &[1.0, 2.0])];
        let kind = OpErrorKind::Width { query: 1, keys: 2 };
        assert_eq!(
            run(&OP, NEAREST, &inputs, &[Scalar::Int(1), text("dot")]),
            Err(kind.caused_by([ArgumentId::Input(0), ArgumentId::Input(1)]))
        );
    }

    #[test]
    fn equal_scores_keep_their_order_and_nan_comes_last() {
        for (scores, k, expected) in [
            (&[1.0, 3.0, 3.0, 2.0][..], 3, &[1, 2, 3][..]),
            (&[f32::NAN, 1.0, f32::NEG_INFINITY], 3, &[1, 2, 0]),
            (&[0.0, -0.0, 0.0], 2, &[0, 2]),
            (&[1.0], 0, &[]),
            (&[], 5, &[]),
        ] {
            let out = run(
                &OP,
                NEAREST + 1,
                &[floats(&[scores.len()], scores)],
                &[Scalar::Int(k)],
            )
            .unwrap();
            assert_eq!(ints(&out[0]), expected, "{scores:?}");
        }
    }
}

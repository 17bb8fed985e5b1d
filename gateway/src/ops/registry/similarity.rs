//! `similarity`: the similarity of all pairs of vectors.

use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::compute::cancel::{Cancel, Meter};
use crate::ops::docs::{Form, OpDocs};
use crate::ops::error::{OpError, within_output_limit};
use crate::ops::op::{Op, OpCall, Outputs, outputs};
use crate::ops::ports::{Arguments, FormError, Signature, port, symbol, words};
use crate::ops::vectors::{Metric, Rows};
use crate::ops::work;

pub(super) struct Similarity;
pub(super) const OP: Similarity = Similarity;

/// The index of the form with queries; the other compares the keys with each other.
const WITH_QUERIES: usize = 0;

static DOCS: OpDocs = OpDocs {
    name: "similarity",
    aliases: &[],
    summary: "Computes the similarity of all pairs of vectors.",
    forms: &[
        Form {
            inputs: "query: float[M,D], keys: float[N,D]",
            outputs: "score: float[M,N]",
            about: "Each query with each key. For one `query: float[D]` the scores are a list.",
            example: &[("query", "float[M,D]"), ("keys", "float[N,D]")],
            settings: &[("metric", "dot")],
        },
        Form {
            inputs: "keys: float[N,D]",
            outputs: "score: float[N,N]",
            about: "Each key with each other, and with itself.",
            example: &[("keys", "float[N,D]")],
            settings: &[],
        },
    ],
};

impl Op for Similarity {
    fn docs(&self) -> &'static OpDocs {
        &DOCS
    }

    fn signature(&self, arguments: &Arguments<'_>) -> Result<Signature, FormError> {
        let float = |name, dims: &[&str]| {
            let dims = dims.iter().map(|dim| symbol(dim)).collect();
            port(name, ElementType::F32, dims)
        };
        let keys = float("keys", &["N", "D"]);
        let parameters = vec![words("metric", &Metric::NAMES)];
        if !arguments.has("query") {
            return Ok(Signature {
                form: WITH_QUERIES + 1,
                inputs: vec![keys],
                outputs: vec![float("score", &["N", "N"])],
                parameters,
            });
        }
        let single = matches!(arguments.type_of("query"), Some((_, 1)));
        let (query, score): (&[&str], &[&str]) = if single {
            (&["D"], &["N"])
        } else {
            (&["M", "D"], &["M", "N"])
        };
        Ok(Signature {
            form: WITH_QUERIES,
            inputs: vec![float("query", query), keys],
            outputs: vec![float("score", score)],
            parameters,
        })
    }

    fn work(&self, call: &OpCall<'_>) -> u64 {
        // Rows of one times elements of the other, and the results.
        let [queries, keys] = match call.form {
            WITH_QUERIES => [0, 1],
            _ => [0, 0],
        };
        let rows = match call.inputs.first() {
            Some(Some(query)) if query.shape().len() == 1 => 1,
            _ => call.rows(queries),
        };
        let products = work::product([rows, call.len(keys)]);
        let results = work::product([rows, call.rows(keys)]);
        products
            .saturating_add(results)
            .saturating_add(work::elements(call.bytes()))
    }

    fn run(&self, call: &OpCall<'_>, cancel: &Cancel) -> Result<Outputs, OpError> {
        let metric = Metric::named(call.text(0)?);
        let mut meter = cancel.meter();
        if call.form != WITH_QUERIES {
            let keys = Rows::of(call.input(0)?, metric)?;
            let scores = all_pairs(&keys, &mut meter)?;
            let shape = vec![keys.len(), keys.len()];
            return outputs([Tensor::from_values(shape, scores)?]);
        }
        let (query, keys) = (call.input(0)?, call.input(1)?);
        let shape: Vec<usize> = match query.shape() {
            [_] => vec![keys.rows()],
            _ => vec![query.rows(), keys.rows()],
        };
        let queries = Rows::of(query, metric)?;
        let keys = Rows::of(keys, metric)?;
        queries.fit(&keys)?;
        let mut scores = table(queries.len(), keys.len())?;
        for query in 0..queries.len() {
            for key in 0..keys.len() {
                meter.spend(keys.width())?;
                scores.push(queries.similarity(query, &keys, key));
            }
        }
        outputs([Tensor::from_values(shape, scores)?])
    }
}

/// Returns the similarity of each row to each other, row by row. A pair has one value in both
/// orders.
fn all_pairs(rows: &Rows<'_>, meter: &mut Meter<'_>) -> Result<Vec<f32>, OpError> {
    let n = rows.len();
    let mut scores = table(n, n)?;
    scores.resize(n * n, 0.0);
    for a in 0..n {
        for b in a..n {
            meter.spend(rows.width())?;
            let score = rows.similarity(a, rows, b);
            scores[a * n + b] = score;
            scores[b * n + a] = score;
        }
    }
    Ok(scores)
}

/// Returns an empty table with the capacity for all scores, if they are not too many.
fn table(rows: usize, columns: usize) -> Result<Vec<f32>, OpError> {
    let row_bytes = columns.saturating_mul(size_of::<f32>());
    within_output_limit(std::iter::once(rows.saturating_mul(row_bytes)))?;
    Ok(Vec::with_capacity(rows * columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::error::{ArgumentId, OpErrorKind};
    use crate::ops::testing::{floats, run, text, values};

    #[test]
    fn each_query_is_compared_with_each_key() {
        let keys = floats(&[3, 2], &[2.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
        for (query, metric, shape, expected) in [
            (
                floats(&[2, 2], &[1.0, 0.0, 4.0, 3.0]),
                "cosine",
                &[2, 3][..],
                &[1.0, 0.0, 0.0, 0.8, 0.6, 0.0][..],
            ),
            (
                floats(&[2, 2], &[1.0, 0.0, 4.0, 3.0]),
                "dot",
                &[2, 3],
                &[2.0, 0.0, 0.0, 8.0, 9.0, 0.0],
            ),
            (floats(&[2], &[4.0, 3.0]), "dot", &[3], &[8.0, 9.0, 0.0]),
            (floats(&[0, 2], &[]), "dot", &[0, 3], &[]),
        ] {
            let out = run(&OP, 0, &[query, keys.clone()], &[text(metric)]).unwrap();
            assert_eq!(out[0].shape(), shape, "{metric}");
            let out = values(&out[0]);
            assert!(
                out.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{out:?}"
            );
        }
        let none = floats(&[0, 2], &[]);
        let out = run(
            &OP,
            0,
            &[floats(&[1, 2], &[1.0, 2.0]), none],
            &[text("dot")],
        );
        assert_eq!(out.unwrap()[0].shape(), [1, 0]);
    }

    #[test]
    fn all_pairs_are_symmetric_and_nan_spoils_only_its_own() {
        let keys = floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, f32::NAN, 0.0]);
        let out = run(&OP, 1, std::slice::from_ref(&keys), &[text("dot")]).unwrap();
        assert_eq!(out[0].shape(), [3, 3]);
        let scores = values(&out[0]);
        assert_eq!(scores[..2], [5.0, 11.0]);
        assert_eq!(scores[3..5], [11.0, 25.0]);
        assert!([2, 5, 6, 7, 8].iter().all(|i| scores[*i].is_nan()));
        let both = run(&OP, 0, &[keys.clone(), keys], &[text("dot")]).unwrap();
        assert_eq!(both[0].data(), out[0].data(), "the forms agree");
        let none = run(&OP, 1, &[floats(&[0, 4], &[])], &[text("cosine")]).unwrap();
        assert_eq!(none[0].shape(), [0, 0]);
    }

    #[test]
    fn widths_must_agree_and_the_table_is_bounded() {
        let inputs = [floats(&[1, 1], &[1.0]), floats(&[1, 2], &[1.0, 2.0])];
        let width = OpErrorKind::Width { query: 1, keys: 2 };
        assert_eq!(
            run(&OP, 0, &inputs, &[text("dot")]),
            Err(width.caused_by([ArgumentId::Input(0), ArgumentId::Input(1)]))
        );
        let many = floats(&[1 << 15, 1], &vec![1.0; 1 << 15]);
        let out = run(&OP, 1, &[many], &[text("dot")]);
        assert_eq!(out, Err(OpErrorKind::OutputTooLarge.into()));
    }
}

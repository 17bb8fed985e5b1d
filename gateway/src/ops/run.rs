//! What each op computes.

use motet_proto::tensor::{Tensor, TensorError};

use super::cast::cast;
use super::error::{OpError, within_limit};
use super::gather::gather;
use super::nearest::similarities;
use super::numbers::{Method, argmax, normalize, threshold};
use super::rank::{fuse, mmr, order, ranked};
use super::{OpKind, template};
use crate::spec::Scalar;

/// Multiplications beyond which an op leaves the async runtime for a blocking thread.
const INLINE_WORK_MAX: usize = 1 << 18;

/// How many picks `mmr` is taken to make.
const MMR_PICKS: usize = 16;

/// The same for `gather`, in bytes of its result at worst: a long index over a small column gives
/// a large one.
const INLINE_GATHER_BYTES_MAX: usize = 16 << 20;

/// Whether running this op inline would hold up the async runtime.
pub fn is_heavy(kind: OpKind, inputs: &[Tensor]) -> bool {
    let bytes: usize = inputs.iter().map(|t| t.data().len()).sum();
    match kind {
        OpKind::TopKNearest | OpKind::TopKScore => bytes / size_of::<f32>() > INLINE_WORK_MAX,
        OpKind::Gather => {
            let picks = inputs.last().map_or(0, Tensor::len);
            bytes > INLINE_WORK_MAX * size_of::<f32>()
                || bytes.saturating_mul(picks) > INLINE_GATHER_BYTES_MAX
        }
        // Each pick compares every key with one that was picked before.
        OpKind::Mmr => bytes / size_of::<f32>() > INLINE_WORK_MAX / MMR_PICKS,
        OpKind::ConcatLists
        | OpKind::ConcatStrings
        | OpKind::Template
        | OpKind::Normalize
        | OpKind::Threshold
        | OpKind::ArgMax
        | OpKind::Rrf
        | OpKind::Cast => bytes > INLINE_WORK_MAX * size_of::<f32>(),
        OpKind::Select | OpKind::Default | OpKind::Length => false,
    }
}

/// Runs an op over its inputs and parameters, both in the order that [`OpKind`] states.
///
/// # Errors
/// When the tensors' content does not allow it.
pub fn run(kind: OpKind, inputs: &[Tensor], parameters: &[Scalar]) -> Result<Vec<Tensor>, OpError> {
    match (kind, inputs) {
        (OpKind::TopKNearest, [query, keys]) => {
            let cosine = text(parameters, 1)? == "cosine";
            top_k(&similarities(query, keys, cosine)?, count(parameters, 0)?)
        }
        (OpKind::Mmr, [query, keys]) => {
            let relevance = similarities(query, keys, true)?;
            let picks = mmr(
                &relevance,
                keys,
                count(parameters, 0)?,
                float(parameters, 1)?,
            )?;
            let index = picks.iter().map(|i| *i as i32).collect();
            let score = picks.iter().map(|i| relevance[*i]).collect();
            let (index, score) = ranked(index, score)?;
            Ok(vec![index, score])
        }
        (OpKind::Template, values) => Ok(vec![template::fill(text(parameters, 0)?, values)?]),
        (OpKind::Normalize, [vectors]) => {
            let method = Method::named(text(parameters, 0)?).ok_or(OpError::Parameter(0))?;
            Ok(vec![normalize(vectors, method)?])
        }
        (OpKind::Threshold, [score]) => threshold(score, float(parameters, 0)?),
        (OpKind::ArgMax, [score]) => argmax(score, None),
        (OpKind::ArgMax, [score, labels]) => argmax(score, Some(labels)),
        (OpKind::Rrf, lists) => {
            let lists: Vec<&Tensor> = lists.iter().collect();
            let k = i64::try_from(count(parameters, 0)?).unwrap_or(i64::MAX);
            let (index, score) = fuse(&lists, k, Some(count(parameters, 1)?))?;
            Ok(vec![index, score])
        }
        (OpKind::Length, [of]) => {
            let rows = i64::try_from(of.rows()).unwrap_or(i64::MAX);
            Ok(vec![Tensor::scalar(rows)])
        }
        (OpKind::Cast, [value]) => {
            let to = text(parameters, 0)?.parse::<motet_proto::types::TensorType>();
            let to = to.map_err(|_| OpError::Parameter(0))?.element;
            Ok(vec![cast(value, to)?])
        }
        (OpKind::TopKScore, [score]) => top_k(&score.values::<f32>()?, count(parameters, 0)?),
        (OpKind::Gather, [columns @ .., index]) => gather(columns, index),
        (OpKind::ConcatLists, parts) => {
            within_limit(parts.iter().map(|p| p.data().len()))?;
            let parts: Vec<&Tensor> = parts.iter().collect();
            Ok(vec![Tensor::concat(&parts)?])
        }
        (OpKind::ConcatStrings, parts) => {
            let texts = parts
                .iter()
                .map(Tensor::as_text)
                .collect::<Result<Vec<_>, _>>()?;
            let separator = text(parameters, 0)?;
            within_limit(texts.iter().map(|t| t.len() + separator.len()))?;
            let joined = texts.join(separator);
            Ok(vec![Tensor::scalar_string(&joined)])
        }
        (OpKind::Select, values) => Ok(values.to_vec()),
        // With a value there is nothing to decide.
        (OpKind::Default, [value, ..]) => Ok(vec![value.clone()]),
        (_, _) => Err(OpError::Tensor(TensorError::NotList)),
    }
}

/// Indices and scores of the `k` highest, best first; equal scores keep their order, and a score
/// that is not a number comes last.
fn top_k(scores: &[f32], k: usize) -> Result<Vec<Tensor>, OpError> {
    let order = order(scores, k);
    let index = order.iter().map(|i| *i as i32).collect();
    let score = order.iter().map(|i| scores[*i]).collect();
    let (index, score) = ranked(index, score)?;
    Ok(vec![index, score])
}

fn count(parameters: &[Scalar], at: usize) -> Result<usize, OpError> {
    match parameters.get(at) {
        Some(Scalar::Int(n)) => usize::try_from(*n).map_err(|_| OpError::Parameter(at)),
        _ => Err(OpError::Parameter(at)),
    }
}

fn float(parameters: &[Scalar], at: usize) -> Result<f64, OpError> {
    match parameters.get(at) {
        Some(Scalar::Float(x)) => Ok(*x),
        Some(Scalar::Int(n)) => Ok(*n as f64),
        _ => Err(OpError::Parameter(at)),
    }
}

fn text(parameters: &[Scalar], at: usize) -> Result<&str, OpError> {
    match parameters.get(at) {
        Some(Scalar::String(s)) => Ok(s),
        _ => Err(OpError::Parameter(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::OUTPUT_BYTES_MAX;

    fn floats(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::from_values(shape.to_vec(), values.to_vec()).unwrap()
    }

    fn nearest(query: &[f32], keys: &Tensor, k: i64, metric: &str) -> (Vec<i32>, Vec<f32>) {
        let out = run(
            OpKind::TopKNearest,
            &[floats(&[query.len()], query), keys.clone()],
            &[Scalar::Int(k), Scalar::String(metric.to_owned())],
        )
        .unwrap();
        (
            out[0].values::<i32>().unwrap().to_vec(),
            out[1].values::<f32>().unwrap().to_vec(),
        )
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
    }

    #[test]
    fn widths_must_agree() {
        let error = run(
            OpKind::TopKNearest,
            &[floats(&[1], &[1.0]), floats(&[1, 2], &[1.0, 2.0])],
            &[Scalar::Int(1), Scalar::String("dot".to_owned())],
        );
        assert_eq!(error, Err(OpError::Width { query: 1, keys: 2 }));
    }

    #[test]
    fn highest_scores_keep_their_order_among_equals() {
        for (scores, k, expected) in [
            (&[1.0, 3.0, 3.0, 2.0][..], 3, &[1, 2, 3][..]),
            (&[f32::NAN, 1.0, f32::NEG_INFINITY], 3, &[1, 2, 0]),
            (&[0.0, -0.0, 0.0], 2, &[0, 2]),
            (&[1.0], 0, &[]),
            (&[], 5, &[]),
        ] {
            let out = run(
                OpKind::TopKScore,
                &[floats(&[scores.len()], scores)],
                &[Scalar::Int(k)],
            )
            .unwrap();
            assert_eq!(*out[0].values::<i32>().unwrap(), *expected, "{scores:?}");
        }
    }

    #[test]
    fn columns_are_gathered_together() {
        let index = Tensor::from_values(vec![2], vec![2i32, 0]).unwrap();
        let columns = [
            Tensor::strings(["a", "b", "c"]),
            floats(&[3, 1], &[1.0, 2.0, 3.0]),
            index,
        ];
        let out = run(OpKind::Gather, &columns, &[]).unwrap();
        assert_eq!(out[0], Tensor::strings(["c", "a"]));
        assert_eq!(out[1], floats(&[2, 1], &[3.0, 1.0]));
        for bad in [3, -1] {
            let index = Tensor::from_values(vec![1], vec![bad]).unwrap();
            assert_eq!(
                run(
                    OpKind::Gather,
                    &[Tensor::strings(["a", "b", "c"]), index],
                    &[]
                ),
                Err(OpError::Index {
                    at: 0,
                    index: bad,
                    rows: 3
                })
            );
        }
    }

    #[test]
    fn results_are_bounded() {
        // 1 MiB gathered 2,000 times, as text and as numbers, is refused before it is made.
        let index = Tensor::from_values(vec![2000], vec![0i32; 2000]).unwrap();
        let text = "x".repeat(1 << 20);
        for column in [
            Tensor::strings([text.as_str()]),
            floats(&[1, 1 << 18], &vec![0.0; 1 << 18]),
        ] {
            let out = run(OpKind::Gather, &[column, index.clone()], &[]);
            assert_eq!(out, Err(OpError::TooLarge));
        }
        let part = Tensor::scalar_string(&"x".repeat(OUTPUT_BYTES_MAX / 255));
        let parts = vec![part; 256];
        let none = [Scalar::String(String::new())];
        let joined = run(OpKind::ConcatStrings, &parts, &none);
        assert_eq!(joined, Err(OpError::TooLarge));
        let lists: Vec<Tensor> = parts
            .into_iter()
            .map(|t| t.reshape(vec![1]).unwrap())
            .collect();
        assert_eq!(
            run(OpKind::ConcatLists, &lists, &[]),
            Err(OpError::TooLarge)
        );
    }

    #[test]
    fn texts_and_lists_are_joined() {
        let joined = run(
            OpKind::ConcatStrings,
            &[Tensor::scalar_string("a"), Tensor::scalar_string("b")],
            &[Scalar::String(", ".to_owned())],
        );
        assert_eq!(joined, Ok(vec![Tensor::scalar_string("a, b")]));
        let lists = run(
            OpKind::ConcatLists,
            &[Tensor::strings(["a"]), Tensor::strings(["b"])],
            &[],
        );
        assert_eq!(lists, Ok(vec![Tensor::strings(["a", "b"])]));
        let same = [Tensor::strings(["a"]), Tensor::scalar(1i64)];
        assert_eq!(run(OpKind::Select, &same, &[]), Ok(same.to_vec()));
    }
}

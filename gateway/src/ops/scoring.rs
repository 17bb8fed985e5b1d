//! Ranked lists: order of scores, and fusion of lists.

use std::cmp::Ordering;
use std::collections::HashMap;

use motet_proto::tensor::Tensor;

use super::error::OpError;
use crate::compute::cancel::Meter;

/// Compares two scores of one list: the higher first, equal ones in the order of the list, NaN
/// last.
pub(super) fn by_rank(scores: &[f32], a: usize, b: usize) -> Ordering {
    let (x, y) = (scores[a], scores[b]);
    match (x.is_nan(), y.is_nan()) {
        (false, false) => y.total_cmp(&x),
        (x_nan, y_nan) => x_nan.cmp(&y_nan),
    }
    .then(a.cmp(&b))
}

/// Returns the indices of the `k` highest scores, best first.
pub(super) fn order(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let k = k.min(order.len());
    if k > 0 && k < order.len() {
        order.select_nth_unstable_by(k - 1, |a, b| by_rank(scores, *a, *b));
    }
    order.truncate(k);
    order.sort_unstable_by(|a, b| by_rank(scores, *a, *b));
    order
}

/// Returns the outputs `index: i32[K]` and `score: float[K]` for these indices of a list of scores.
pub(super) fn index_and_score(indices: &[usize], scores: &[f32]) -> Result<[Tensor; 2], OpError> {
    Ok([
        index_list(indices)?,
        Tensor::from_values(
            vec![indices.len()],
            indices.iter().map(|i| scores[*i]).collect(),
        )?,
    ])
}

/// Returns the output `index: i32[K]`.
pub(super) fn index_list(indices: &[usize]) -> Result<Tensor, OpError> {
    let values: Vec<i32> = indices.iter().map(|i| *i as i32).collect();
    Ok(Tensor::from_values(vec![values.len()], values)?)
}

/// Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): the score of an index is the sum
/// over the lists that have it of 1 / (k + rank), ranks counted from 1. Best first, equal scores
/// in the order in which the lists name them, at most `top`. An index counts once in a list.
/// Returns `index: i32[K]` and `score: float[K]`.
pub(super) fn fuse(
    lists: &[&Tensor],
    k: i64,
    top: Option<usize>,
    meter: &mut Meter<'_>,
) -> Result<[Tensor; 2], OpError> {
    let mut position: HashMap<i32, usize> = HashMap::new();
    let mut index: Vec<i32> = Vec::new();
    let mut score: Vec<f64> = Vec::new();
    let mut seen_in: Vec<usize> = Vec::new();
    for (number, list) in lists.iter().enumerate() {
        for (rank, &id) in (1i64..).zip(list.values::<i32>()?.iter()) {
            meter.spend(super::work::HASH as usize)?;
            let at = *position.entry(id).or_insert_with(|| {
                index.push(id);
                score.push(0.0);
                seen_in.push(usize::MAX);
                index.len() - 1
            });
            if std::mem::replace(&mut seen_in[at], number) != number {
                score[at] += 1.0 / k.saturating_add(rank) as f64;
            }
        }
    }
    let mut best: Vec<usize> = (0..index.len()).collect();
    best.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    best.truncate(top.unwrap_or(usize::MAX));
    let shape = || vec![best.len()];
    let index = best.iter().map(|i| index[*i]).collect::<Vec<i32>>();
    let score = best.iter().map(|i| score[*i] as f32).collect::<Vec<f32>>();
    Ok([
        Tensor::from_values(shape(), index)?,
        Tensor::from_values(shape(), score)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Cancel;

    #[test]
    fn lists_are_fused_by_rank() {
        let list = |x: &[i32]| Tensor::from_values(vec![x.len()], x.to_vec()).unwrap();
        let fuse = |lists: &[&Tensor], top| fuse(lists, 60, top, &mut Cancel::default().meter());
        for (lists, top, expected) in [
            (
                vec![list(&[3, 1, 2]), list(&[1, 4])],
                None,
                vec![1, 3, 4, 2],
            ),
            (vec![list(&[3, 1, 2]), list(&[1, 4])], Some(2), vec![1, 3]),
            (vec![list(&[5, 5, 6]), list(&[6])], None, vec![6, 5]),
            (vec![list(&[]), list(&[])], None, vec![]),
        ] {
            let lists: Vec<&Tensor> = lists.iter().collect();
            let [index, score] = fuse(&lists, top).unwrap();
            assert_eq!(*index.values::<i32>().unwrap(), *expected);
            assert_eq!(score.shape(), index.shape());
        }
        let [_, score] = fuse(&[&list(&[9]), &list(&[9])], None).unwrap();
        assert!((score.values::<f32>().unwrap()[0] - 2.0 / 61.0).abs() < 1e-7);
    }
}

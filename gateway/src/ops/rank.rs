//! Ranked lists: the order of scores, and lists fused into one.

use std::cmp::Ordering;
use std::collections::HashMap;

use motet_proto::tensor::Tensor;

use super::OpError;
use super::nearest::dot;

/// How two scores rank: the higher first, equal ones by their place, and what is not a number
/// last.
pub(super) fn by_rank(scores: &[f32], a: usize, b: usize) -> Ordering {
    let (x, y) = (scores[a], scores[b]);
    match (x.is_nan(), y.is_nan()) {
        (false, false) => y.total_cmp(&x),
        (x_nan, y_nan) => x_nan.cmp(&y_nan),
    }
    .then(a.cmp(&b))
}

/// The places of the `k` highest scores, best first.
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

/// Indices and their scores as two lists.
pub(super) fn ranked(index: Vec<i32>, score: Vec<f32>) -> Result<(Tensor, Tensor), OpError> {
    let n = index.len();
    Ok((
        Tensor::from_values(vec![n], index)?,
        Tensor::from_values(vec![n], score)?,
    ))
}

/// Maximal marginal relevance (Carbonell and Goldstein, 1998): the places of up to `k` keys, each
/// the one whose relevance, times `lambda`, exceeds its greatest cosine to those before it, times
/// `1 - lambda`, by most.
pub(super) fn mmr(
    relevance: &[f32],
    keys: &Tensor,
    k: usize,
    lambda: f64,
) -> Result<Vec<usize>, OpError> {
    let width = keys.shape().get(1).copied().unwrap_or(0);
    let values = keys.values::<f32>()?;
    let key = |i: usize| &values[i * width..(i + 1) * width];
    let norms: Vec<f32> = (0..relevance.len())
        .map(|i| dot(key(i), key(i)).sqrt())
        .collect();
    let mut closest = vec![f32::NEG_INFINITY; relevance.len()];
    let mut left: Vec<usize> = (0..relevance.len()).collect();
    let mut picks = Vec::with_capacity(k.min(left.len()));
    while picks.len() < k && !left.is_empty() {
        let score = |i: usize| {
            let redundancy = if picks.is_empty() { 0.0 } else { closest[i] };
            (lambda * f64::from(relevance[i]) - (1.0 - lambda) * f64::from(redundancy)) as f32
        };
        let scores: Vec<f32> = left.iter().map(|i| score(*i)).collect();
        let best = (0..left.len())
            .min_by(|a, b| by_rank(&scores, *a, *b))
            .unwrap_or(0);
        let pick = left.remove(best);
        picks.push(pick);
        for &i in &left {
            let norm = norms[i] * norms[pick];
            let cosine = if norm > 0.0 {
                dot(key(i), key(pick)) / norm
            } else {
                0.0
            };
            closest[i] = closest[i].max(cosine);
        }
    }
    Ok(picks)
}

/// Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): the score of an index is the sum
/// over the lists that have it of 1 / (k + rank), ranks counted from 1. Best first, equal scores
/// in the order in which the lists name them, at most `top`. An index counts once in a list.
pub(super) fn fuse(
    lists: &[&Tensor],
    k: i64,
    top: Option<usize>,
) -> Result<(Tensor, Tensor), OpError> {
    let mut at: HashMap<i32, usize> = HashMap::new();
    let mut index: Vec<i32> = Vec::new();
    let mut score: Vec<f64> = Vec::new();
    let mut seen_in: Vec<usize> = Vec::new();
    for (number, list) in lists.iter().enumerate() {
        for (rank, &id) in (1i64..).zip(list.values::<i32>()?.iter()) {
            let place = *at.entry(id).or_insert_with(|| {
                index.push(id);
                score.push(0.0);
                seen_in.push(usize::MAX);
                index.len() - 1
            });
            if std::mem::replace(&mut seen_in[place], number) != number {
                score[place] += 1.0 / k.saturating_add(rank) as f64;
            }
        }
    }
    let mut best: Vec<usize> = (0..index.len()).collect();
    best.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    best.truncate(top.unwrap_or(usize::MAX));
    ranked(
        best.iter().map(|i| index[*i]).collect(),
        best.iter().map(|i| score[*i] as f32).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_comes_later() {
        let keys = Tensor::from_values(vec![3, 2], vec![1.0f32, 0.0, 0.99, 0.1, 0.6, 0.8]).unwrap();
        let relevance = [0.9, 0.89, 0.5];
        for (lambda, expected) in [(1.0, [0, 1, 2]), (0.3, [0, 2, 1])] {
            assert_eq!(mmr(&relevance, &keys, 3, lambda).unwrap(), expected);
        }
        assert_eq!(mmr(&relevance, &keys, 2, 0.3).unwrap(), [0, 2]);
    }

    #[test]
    fn lists_are_fused_by_rank() {
        let list = |x: &[i32]| Tensor::from_values(vec![x.len()], x.to_vec()).unwrap();
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
            let (index, score) = fuse(&lists, 60, top).unwrap();
            assert_eq!(*index.values::<i32>().unwrap(), *expected);
            assert_eq!(score.shape(), index.shape());
        }
        let (_, score) = fuse(&[&list(&[9]), &list(&[9])], 60, None).unwrap();
        assert!((score.values::<f32>().unwrap()[0] - 2.0 / 61.0).abs() < 1e-7);
    }
}

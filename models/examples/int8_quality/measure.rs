//! How far two sets of vectors of the same texts, or two sets of scores, are from each other.

/// Returns the cosine of the angle between two vectors.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Returns the sum of products.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Returns the least and the mean.
pub(crate) fn worst_and_mean(values: impl IntoIterator<Item = f32>) -> (f32, f32) {
    let (mut worst, mut sum, mut count) = (f32::MAX, 0.0, 0);
    for value in values {
        worst = worst.min(value);
        sum += f64::from(value);
        count += 1;
    }
    (worst, (sum / f64::from(count)) as f32)
}

/// Returns the dot product of every vector with every one after it.
pub(crate) fn pairs(vectors: &[Vec<f32>]) -> Vec<f32> {
    let after = |at: usize| vectors[at + 1..].iter().map(move |b| dot(&vectors[at], b));
    (0..vectors.len()).flat_map(after).collect()
}

/// Spearman's rank correlation; equal values keep their order.
pub(crate) fn rank_correlation(a: &[f32], b: &[f32]) -> f64 {
    let count = a.len() as f64;
    let (a, b) = (ranks(a), ranks(b));
    let squares = a
        .iter()
        .zip(&b)
        .map(|(x, y)| (*x as f64 - *y as f64).powi(2));
    1.0 - 6.0 * squares.sum::<f64>() / (count * (count * count - 1.0))
}

/// Returns the share of the `k` greatest values that are the same in both.
pub(crate) fn shared_top(a: &[f32], b: &[f32], k: usize) -> f64 {
    let (a, b) = (order(a), order(b));
    let k = k.min(a.len());
    let shared = a[..k].iter().filter(|at| b[..k].contains(at)).count();
    shared as f64 / k as f64
}

/// Places, the greatest value's first.
pub(crate) fn order(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|x, y| values[*y].total_cmp(&values[*x]));
    order
}

fn ranks(values: &[f32]) -> Vec<usize> {
    let mut ranks = vec![0; values.len()];
    for (rank, at) in order(values).into_iter().enumerate() {
        ranks[at] = rank;
    }
    ranks
}

//! Dot products and similarities of vectors.

use std::borrow::Cow;

use motet_proto::tensor::Tensor;

use super::error::{ArgumentId, OpError, OpErrorKind};
use crate::compute::cancel::Meter;

/// Measures of the similarity of two vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    /// Cosine of their angle; 0 for a vector of length 0.
    Cosine,
    /// Dot product.
    Dot,
}

impl Metric {
    /// Values of a parameter `metric`; the first is the default.
    pub(super) const NAMES: [&'static str; 2] = ["cosine", "dot"];

    /// Returns the metric of this name.
    pub(super) fn named(name: &str) -> Self {
        if name == "cosine" {
            Self::Cosine
        } else {
            Self::Dot
        }
    }
}

/// Rows of a `float[N,D]`, with their lengths if the metric needs them.
#[derive(Debug)]
pub(super) struct Rows<'t> {
    values: Cow<'t, [f32]>,
    width: usize,
    count: usize,
    /// Empty for [`Metric::Dot`].
    norms: Vec<f32>,
}

impl<'t> Rows<'t> {
    /// Returns the rows of `tensor`; a `float[D]` is one row.
    pub(super) fn of(tensor: &'t Tensor, metric: Metric) -> Result<Self, OpError> {
        let (count, width) = match *tensor.shape() {
            [width] => (1, width),
            [count, width] => (count, width),
            _ => return Err(OpErrorKind::Argument.into()),
        };
        let mut rows = Self {
            values: tensor.values::<f32>()?,
            width,
            count,
            norms: Vec::new(),
        };
        if metric == Metric::Cosine {
            rows.norms = (0..count)
                .map(|i| dot(rows.row(i), rows.row(i)).sqrt())
                .collect();
        }
        Ok(rows)
    }

    /// Returns the number of rows.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Returns the number of dimensions of a row.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// Checks that `keys` have as many dimensions as these rows, the queries.
    pub(super) fn fit(&self, keys: &Self) -> Result<(), OpError> {
        if self.width == keys.width {
            return Ok(());
        }
        let width = OpErrorKind::Width {
            query: self.width,
            keys: keys.width,
        };
        Err(width.caused_by([ArgumentId::Input(0), ArgumentId::Input(1)]))
    }

    fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// Returns the similarity of row `a` of these and row `b` of `others`, of equal dimensions and
    /// metric.
    pub(super) fn similarity(&self, a: usize, others: &Self, b: usize) -> f32 {
        let product = dot(self.row(a), others.row(b));
        match (self.norms.get(a), others.norms.get(b)) {
            (Some(norm), Some(other)) => cosine(product, *norm, *other),
            _ => product,
        }
    }
}

/// Returns the similarity of one query to each of many keys, in one pass over the keys.
///
/// # Errors
/// When query and keys differ in dimensions.
pub(super) fn similarities(
    query: &Tensor,
    keys: &Tensor,
    metric: Metric,
    meter: &mut Meter<'_>,
) -> Result<Vec<f32>, OpError> {
    let query = Rows::of(query, metric)?;
    let keys = Rows::of(keys, Metric::Dot)?;
    query.fit(&keys)?;
    let mut similarities = Vec::with_capacity(keys.len());
    for at in 0..keys.len() {
        meter.spend(keys.width())?;
        let key = keys.row(at);
        let product = dot(query.row(0), key);
        similarities.push(match query.norms.first() {
            Some(norm) => cosine(product, *norm, dot(key, key).sqrt()),
            None => product,
        });
    }
    Ok(similarities)
}

fn cosine(product: f32, norm: f32, other: f32) -> f32 {
    let norms = norm * other;
    if norms > 0.0 { product / norms } else { 0.0 }
}

/// Returns a dot product over eight running sums, which the compiler keeps in vector registers.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_has_a_tail() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), (0..19).map(|i| (i * i) as f32).sum::<f32>());
    }
}

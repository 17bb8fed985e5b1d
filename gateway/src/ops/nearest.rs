//! Which vectors are the most similar to another.

use std::num::NonZeroUsize;

use motet_proto::tensor::Tensor;

use super::error::OpError;

/// The similarity of `query: float[D]` to each row of `keys: float[N,D]`: dot product, divided by
/// both lengths for the cosine (a vector of length 0 is similar to nothing).
pub(super) fn similarities(
    query: &Tensor,
    keys: &Tensor,
    cosine: bool,
) -> Result<Vec<f32>, OpError> {
    let query = query.values::<f32>()?;
    let width = keys.shape().get(1).copied().unwrap_or(0);
    if width != query.len() {
        return Err(OpError::Width {
            query: query.len(),
            keys: width,
        });
    }
    let Some(width) = NonZeroUsize::new(width) else {
        return Ok(vec![0.0; keys.rows()]);
    };
    let keys = keys.values::<f32>()?;
    let query_norm = dot(&query, &query).sqrt();
    Ok(keys
        .chunks_exact(width.get())
        .map(|key| {
            let product = dot(&query, key);
            if !cosine {
                return product;
            }
            let norms = query_norm * dot(key, key).sqrt();
            if norms > 0.0 { product / norms } else { 0.0 }
        })
        .collect())
}

/// A dot product over eight running sums, which the compiler keeps in vector registers.
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

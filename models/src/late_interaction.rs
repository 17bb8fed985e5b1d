//! Late interaction: a query and a text meet token by token (MaxSim, as in ColBERT).

use rayon::prelude::*;

/// The vectors of a row's tokens, one after another: shape `[tokens, size]`, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenVectors {
    values: Vec<f32>,
    size: usize,
}

impl TokenVectors {
    /// `values` holds the vectors one after another, each of `size` elements.
    ///
    /// # Panics
    /// If `values` is not a whole number of vectors.
    pub fn new(values: Vec<f32>, size: usize) -> Self {
        assert!(
            if size == 0 {
                values.is_empty()
            } else {
                values.len().is_multiple_of(size)
            },
            "vectors must be whole"
        );
        Self { values, size }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.size).unwrap_or(0)
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Length of each vector.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All values, `[tokens, size]` row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// All values, `[tokens, size]` row-major.
    pub fn into_vec(self) -> Vec<f32> {
        self.values
    }

    /// The vectors in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.size.max(1))
    }
}

/// How well a text answers a query: for each token of the query the best dot product with a token of the text, averaged.
///
/// Both must hold vectors of length 1 and one size, special tokens included (leaving them out ranks slightly worse).
/// The score is then between -1 and 1. A query or text without tokens scores 0.
///
/// # Panics
/// If the vectors of the two differ in size.
pub fn maxsim(query: &TokenVectors, text: &TokenVectors) -> f32 {
    if query.is_empty() || text.is_empty() {
        return 0.0;
    }
    assert_eq!(query.size, text.size, "vectors of different models");
    let total: f32 = query
        .iter()
        .map(|word| {
            text.iter()
                .map(|other| dot(word, other))
                .fold(f32::NEG_INFINITY, f32::max)
        })
        .sum();
    total / query.len() as f32
}

/// [`maxsim`] of one query against many texts, in their order, computed in parallel.
///
/// # Panics
/// If the vectors differ in size.
pub fn maxsim_all(query: &TokenVectors, texts: &[&TokenVectors]) -> Vec<f32> {
    texts.par_iter().map(|text| maxsim(query, text)).collect()
}

/// The dot product, in several running sums so that the compiler can keep them in one vector register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_parts
        .remainder()
        .iter()
        .zip(b_parts.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_parts.zip(b_parts) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(rows: &[[f32; 2]]) -> TokenVectors {
        TokenVectors::new(rows.concat(), 2)
    }

    #[test]
    fn each_word_of_the_query_takes_its_best_match() {
        let query = vectors(&[[1.0, 0.0], [0.0, 1.0]]);
        let check = |text: &[[f32; 2]], expected: f32| {
            let found = maxsim(&query, &vectors(text));
            assert!(
                (found - expected).abs() < 1e-6,
                "{text:?}: {found} instead of {expected}"
            );
        };
        check(&[[1.0, 0.0], [0.0, 1.0]], 1.0);
        check(&[[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]], 1.0);
        check(&[[1.0, 0.0]], 0.5);
        check(&[[-1.0, 0.0]], -0.5);
        check(&[[0.6, 0.8]], 0.7);
        check(&[], 0.0);
    }

    #[test]
    fn many_texts_score_as_each_alone() {
        let query = vectors(&[[0.6, 0.8], [1.0, 0.0]]);
        let texts: Vec<_> = (0..20)
            .map(|i| vectors(&[[(i as f32).cos(), (i as f32).sin()], [0.0, 1.0]]))
            .collect();
        let together = maxsim_all(&query, &texts.iter().collect::<Vec<_>>());
        assert_eq!(
            together,
            texts
                .iter()
                .map(|text| maxsim(&query, text))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_dot_product_of_any_length_is_whole() {
        for len in [0, 1, 15, 16, 17, 384] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let expected: f32 = a.iter().map(|x| x * 2.0).sum();
            assert_eq!(dot(&a, &vec![2.0; len]), expected);
        }
    }
}

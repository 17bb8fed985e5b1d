//! Late interaction: a query and a text meet token by token (MaxSim, as in ColBERT).

use motet_kernels::PackedVectors;
use rayon::prelude::*;

use crate::values::Values;

/// How well a text answers a query: for each token of the query the best dot product with a token
/// of the text, averaged.
///
/// Both must hold vectors of length 1 and one size, special tokens included (leaving them out ranks
/// slightly worse). The score is then between -1 and 1. A query or text without tokens scores 0.
///
/// # Panics
/// If the vectors of the two differ in size.
pub fn maxsim(query: &Values, text: &Values) -> f32 {
    if query.is_empty() || text.is_empty() {
        return 0.0;
    }
    score(
        &PackedVectors::pack(query.as_slice(), query.columns()),
        query,
        text,
    )
}

/// [`maxsim`] of one query against many texts, in their order, computed in parallel.
///
/// # Panics
/// If the vectors differ in size.
pub fn maxsim_all(query: &Values, texts: &[&Values]) -> Vec<f32> {
    if query.is_empty() {
        return vec![0.0; texts.len()];
    }
    let packed = PackedVectors::pack(query.as_slice(), query.columns());
    let scores = texts.par_iter().map(|text| score(&packed, query, text));
    scores.collect()
}

fn score(packed: &PackedVectors, query: &Values, text: &Values) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    assert_eq!(
        query.columns(),
        text.columns(),
        "vectors of different models"
    );
    // [tokens of the text, tokens of the query]
    let products = packed.products(text.as_slice());
    let mut best = vec![f32::NEG_INFINITY; query.rows()];
    for row in products.chunks_exact(query.rows()) {
        for (best, product) in best.iter_mut().zip(row) {
            *best = best.max(*product);
        }
    }
    best.iter().sum::<f32>() / query.rows() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(rows: &[[f32; 2]]) -> Values {
        Values::new(rows.concat(), 2)
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
    fn vectors_of_any_size_meet_whole() {
        for (size, tokens, words) in [(1, 1, 1), (15, 3, 2), (17, 9, 50), (384, 70, 13)] {
            let make = |count: usize, salt: usize| {
                let values = (0..count * size).map(|at| ((at * 7 + salt) % 11) as f32 / 16.0);
                Values::new(values.collect(), size)
            };
            let (query, text) = (make(words, 1), make(tokens, 5));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
            let best = query.iter().map(|word| {
                text.iter()
                    .map(|other| dot(word, other))
                    .fold(f32::NEG_INFINITY, f32::max)
            });
            let expected = best.sum::<f32>() / words as f32;
            let found = maxsim(&query, &text);
            assert!(
                (found / expected - 1.0).abs() < 1e-5,
                "{size}: {found} instead of {expected}"
            );
        }
    }
}

//! Token vectors to one sparse vector.

use std::collections::BTreeMap;

use crate::architecture::SparsePooling;

/// The vector of a row so far.
pub(super) struct Sums {
    pooling: SparsePooling,
    values: Vec<f32>,
}

impl Sums {
    pub(super) fn new(pooling: SparsePooling) -> Self {
        Self {
            pooling,
            values: Vec::new(),
        }
    }

    /// Adds a token's vector; all are of one size. A value that is not a number stays one.
    pub(super) fn add(&mut self, token: &[f32]) {
        let SparsePooling { sum, log_twice } = self.pooling;
        self.values.resize(token.len(), 0.0);
        for (pooled, &x) in self.values.iter_mut().zip(token) {
            // Most are not above 0 and change nothing.
            if x <= 0.0 {
                continue;
            }
            let mut value = x.ln_1p();
            if log_twice {
                value = value.ln_1p();
            }
            if sum {
                *pooled += value;
            } else if value > *pooled || value.is_nan() {
                *pooled = value;
            }
        }
    }

    /// Returns the values that are not 0, each after its index, the greatest first and of equal
    /// ones the one with the lower index.
    pub(super) fn finish(self) -> Vec<f32> {
        sorted((0u32..).zip(self.values))
    }
}

/// Returns of each token's id the greatest weight, in the same form, for ids and weights that are
/// not below 0. A weight that is not a number stays one.
pub(super) fn of_tokens(tokens: impl Iterator<Item = (u32, f32)>, skipped: &[u32]) -> Vec<f32> {
    let mut greatest: BTreeMap<u32, f32> = BTreeMap::new();
    for (id, weight) in tokens.filter(|(id, _)| !skipped.contains(id)) {
        let known = greatest.entry(id).or_default();
        if weight > *known || weight.is_nan() {
            *known = weight;
        }
    }
    sorted(greatest.into_iter())
}

/// Returns the values that are not 0 of some in the order of their indices, each after its index,
/// the greatest first and of equal ones the one with the lower index.
fn sorted(values: impl Iterator<Item = (u32, f32)>) -> Vec<f32> {
    let mut found: Vec<(u32, f32)> = values.filter(|(_, value)| *value != 0.0).collect();
    found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    // Indices of vocabularies are exact in 24 bits.
    let pair = |(index, value)| [index as f32, value];
    found.into_iter().flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_pooled_as_the_definition_says() {
        let tokens = [[1.0, -3.0, 0.5, 7.0], [2.0, -0.1, 0.25, 7.0]];
        let ln = |x: f32| (1.0 + x).ln();
        let table = [
            (false, false, vec![(3, ln(7.0)), (0, ln(2.0)), (2, ln(0.5))]),
            (
                true,
                false,
                vec![
                    (3, 2.0 * ln(7.0)),
                    (0, ln(1.0) + ln(2.0)),
                    (2, ln(0.5) + ln(0.25)),
                ],
            ),
            (
                false,
                true,
                vec![(3, ln(ln(7.0))), (0, ln(ln(2.0))), (2, ln(ln(0.5)))],
            ),
        ];
        for (sum, log_twice, expected) in table {
            let mut sums = Sums::new(SparsePooling { sum, log_twice });
            tokens.iter().for_each(|token| sums.add(token));
            let found = sums.finish();
            assert_eq!(found.len(), 2 * expected.len());
            for (found, (index, value)) in found.chunks(2).zip(expected) {
                assert_eq!(found[0], index as f32);
                assert!((found[1] - value).abs() < 1e-6, "{found:?} {value}");
            }
        }
    }

    #[test]
    fn a_token_has_its_greatest_weight_and_special_ones_have_none() {
        let tokens = [
            (0, 9.0),
            (7, 0.5),
            (8, 0.0),
            (7, 2.0),
            (5, 2.0),
            (3, 0.25),
            (1, 4.0),
        ];
        let found = of_tokens(tokens.into_iter(), &[0, 1]);
        assert_eq!(found, [5.0, 2.0, 7.0, 2.0, 3.0, 0.25]);
        let broken = of_tokens([(7, f32::NAN), (7, 1.0)].into_iter(), &[]);
        assert!(broken[1].is_nan(), "{broken:?}");
        assert!(of_tokens([].into_iter(), &[]).is_empty());
    }

    #[test]
    fn equal_values_are_in_the_order_of_their_indices_and_broken_ones_are_kept() {
        let pooling = SparsePooling {
            sum: false,
            log_twice: false,
        };
        let mut sums = Sums::new(pooling);
        sums.add(&[0.0, 1.0, 1.0]);
        let found = sums.finish();
        assert_eq!((found[0], found[2]), (1.0, 2.0));
        let mut sums = Sums::new(pooling);
        sums.add(&[1.0, f32::NAN]);
        sums.add(&[1.0, 2.0]);
        assert!(sums.finish().iter().any(|value| value.is_nan()));
        assert!(Sums::new(pooling).finish().is_empty());
    }
}

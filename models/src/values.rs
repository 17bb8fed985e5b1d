//! Result of a row: a matrix on the host.

/// Vectors of one size, one after another: `[rows, columns]` row-major. A pooled row has one, a row
/// of token vectors one for each token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    values: Vec<f32>,
    columns: usize,
}

impl Values {
    /// Returns the vectors of `columns` values each that are one after another in `values`.
    ///
    /// # Panics
    /// If `values` is not a whole number of vectors.
    pub fn new(values: Vec<f32>, columns: usize) -> Self {
        assert!(
            if columns == 0 {
                values.is_empty()
            } else {
                values.len().is_multiple_of(columns)
            },
            "vectors must be whole"
        );
        Self { values, columns }
    }

    /// Returns the number of vectors.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Returns the number of values of each vector.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns whether every value is a finite number.
    pub fn is_finite(&self) -> bool {
        // Without a branch for each value, the compiler checks several at a time.
        let all_before = |all: bool, value: &f32| all & value.is_finite();
        self.values.iter().fold(true, all_before)
    }

    /// Returns all values, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.values
    }

    /// Returns all values, row-major.
    pub fn into_vec(self) -> Vec<f32> {
        self.values
    }

    /// Returns the vectors in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.columns.max(1))
    }
}

/// Divides a vector by its length; one of length 0 stays as it is.
pub fn scale_to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_finite_is_found_at_any_place() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 7, 99] {
                let mut values = vec![1.0; 100];
                assert!(Values::new(values.clone(), 10).is_finite());
                values[at] = broken;
                assert!(!Values::new(values, 10).is_finite(), "{broken} {at}");
            }
        }
    }

    #[test]
    fn vectors_are_rows_of_a_matrix() {
        let values = Values::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
        assert_eq!((values.rows(), values.columns()), (3, 2));
        assert_eq!(values.iter().nth(1), Some(&[3.0, 4.0][..]));
        assert_eq!(Values::default().rows(), 0);
    }
}

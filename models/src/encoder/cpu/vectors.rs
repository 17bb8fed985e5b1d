//! Dot products of many vectors with many, by the encoder's product.

use super::blocks::{Columns, Matrix};
use super::linear::Linear;
use super::place::{End, Start};

/// Vectors that others are multiplied with.
#[derive(Debug)]
pub(crate) struct Vectors {
    packed: Linear,
    size: usize,
}

impl Vectors {
    /// `[count, size]` row-major; there must be one at least.
    pub(crate) fn pack(values: &[f32], size: usize) -> Self {
        let count = values.len() / size;
        let outputs = Columns {
            count,
            width: count,
        };
        Self {
            packed: Linear::pack(values, &vec![0.0; count], outputs),
            size,
        }
    }

    /// Returns the product of each of `others`, `[n, size]`, with each of these: `[n, count]`. A
    /// product does not depend on the others.
    pub(crate) fn products(&self, others: &[f32]) -> Vec<f32> {
        let columns = Columns {
            count: self.size,
            width: self.size,
        };
        let others = Matrix::new(others, columns);
        let mut products = vec![0.0; others.tokens * self.packed.outputs().count];
        self.packed
            .block(0, others, 0, &mut products, Start::Bias, End::Store);
        products
    }
}

//! Dot products of many vectors with many.

use crate::blocked::{ColumnBlocks, Matrix};
use crate::gemm::epilogue::{Epilogue, Init};
use crate::gemm::float::FloatLinear;
use crate::weights::InMemory;

/// Vectors that others are multiplied with, packed.
#[derive(Debug)]
pub struct PackedVectors {
    packed: FloatLinear,
    size: usize,
}

impl PackedVectors {
    /// Packs `values`, `[count, size]` row-major; there must be one vector at least.
    pub fn pack(values: &[f32], size: usize) -> Self {
        let count = values.len() / size;
        let outputs = ColumnBlocks {
            count,
            width: count,
        };
        let Ok(packed) = FloatLinear::pack(&InMemory { values, size }, None, size, outputs);
        Self { packed, size }
    }

    /// Returns the product of each of `others`, `[n, size]`, with each packed vector: `[n, count]`.
    /// A product does not depend on the other vectors.
    pub fn products(&self, others: &[f32]) -> Vec<f32> {
        let columns = ColumnBlocks {
            count: self.size,
            width: self.size,
        };
        let others = Matrix::new(others, columns);
        let mut products = vec![0.0; others.tokens * self.packed.outputs().count];
        let (init, epilogue) = (Init::Bias, Epilogue::Store);
        self.packed
            .block(0, others, 0, &mut products, init, epilogue);
        products
    }
}

//! Products of a model, packed from its weights.

use motet_kernels::{Arithmetic, ColumnBlocks, Linear};

use super::stored_rows::StoredRows;
use crate::architecture;
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Where weights come from, and the arithmetic that they are packed for.
#[derive(Clone, Copy)]
pub(in crate::encoder) struct Weights<'a> {
    pub(in crate::encoder) checkpoint: &'a Checkpoint,
    pub(in crate::encoder) arithmetic: Arithmetic,
}

impl Weights<'_> {
    /// Packs products of the same vectors as one, with their outputs one after the other.
    pub(in crate::encoder) fn pack(
        self,
        linears: &[&architecture::Linear],
        inputs: ColumnBlocks,
        outputs: ColumnBlocks,
    ) -> Result<Linear, LoadError> {
        let weights: Vec<_> = linears.iter().map(|linear| &linear.weight).collect();
        let weight = StoredRows {
            checkpoint: self.checkpoint,
            tensors: &weights,
        };
        let bias = self.checkpoint.biases(linears)?;
        Linear::pack(&weight, bias.as_deref(), inputs, outputs, self.arithmetic)
    }
}

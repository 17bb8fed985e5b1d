//! Token ids to the vectors that enter the first layer.

use motet_kernels::embedding::sum_rows;
use motet_kernels::{
    Aligned, ColumnBlocks, EmbeddingTable, InMemory, Norm, Parallelism, Relocatable,
};

use super::norm;
use super::stored_rows::StoredRows;
use crate::architecture::TokenEmbedding;
use crate::checkpoint::Checkpoint;
use crate::encoder::tables;
use crate::error::LoadError;

/// Word and position tables, and the norm after their sum.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, H]`
    words: EmbeddingTable,
    /// `[P, H]`, see [`tables::positions`].
    positions: EmbeddingTable,
    norm: Norm,
}

impl Embeddings {
    /// `hidden` is the length of the vectors.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        embedding: &TokenEmbedding,
        hidden: usize,
    ) -> Result<Self, LoadError> {
        let words = StoredRows {
            checkpoint,
            tensors: &[&embedding.words],
        };
        let positions = tables::positions(checkpoint, embedding)?;
        let in_memory = InMemory {
            values: &positions,
            size: hidden,
        };
        let Ok(positions) = EmbeddingTable::pack(&in_memory, embedding.positions.len(), hidden);
        Ok(Self {
            words: EmbeddingTable::pack(&words, embedding.words.len(), hidden)?,
            positions,
            norm: norm::load(checkpoint, &embedding.norm)?,
        })
    }

    /// Returns the tables, to be moved.
    pub(super) fn relocatable(&mut self) -> impl Iterator<Item = &mut dyn Relocatable> {
        let tables = [&mut self.words, &mut self.positions];
        tables.into_iter().filter_map(EmbeddingTable::relocatable)
    }

    /// Writes the vectors of rows of ids to `x`, `[T, H]` in blocks. `statistics` is scratch
    /// memory.
    pub(super) fn run<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u32]>,
        x: &mut [f32],
        columns: ColumnBlocks,
        statistics: &mut Aligned<f32>,
        parallelism: Parallelism,
    ) {
        let tokens: Vec<[u32; 2]> = rows
            .flat_map(|ids| ids.iter().zip(0..).map(|(id, position)| [*id, position]))
            .collect();
        let tables = [&self.words, &self.positions];
        sum_rows(tables, &tokens, x, columns, parallelism);
        self.norm.run(x, columns, statistics, parallelism);
    }
}

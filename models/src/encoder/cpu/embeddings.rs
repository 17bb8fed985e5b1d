//! Token ids to the vectors that enter the first layer.

use half::f16;
use half::slice::HalfFloatSliceExt;
use motet_kernels::gemm::f16::narrow_exact;
use motet_kernels::{Aligned, ColumnBlocks, LayerNorm, Relocatable, WeightBuffer};

use super::norm;
use crate::architecture::TokenEmbedding;
use crate::checkpoint::Checkpoint;
use crate::encoder::tables;
use crate::error::LoadError;

/// Word and position tables, and the norm after their sum.
#[derive(Debug)]
pub(super) struct Embeddings {
    words: Words,
    /// `[P, H]`, see [`tables::positions`].
    positions: Vec<f32>,
    norm: LayerNorm,
}

/// The word table, `[V, H]`, in the fewest bits that hold it exactly.
#[derive(Debug)]
enum Words {
    F32(Vec<f32>),
    F16(WeightBuffer<f16>),
}

impl Words {
    fn keep(values: Vec<f32>) -> Self {
        let mut halves = Aligned::zeros(values.len());
        if narrow_exact(&values, halves.as_mut_slice()) {
            Self::F16(halves.into())
        } else {
            Self::F32(values)
        }
    }

    /// The vector of a word.
    fn copy(&self, id: u32, vector: &mut [f32]) {
        let start = id as usize * vector.len();
        match self {
            Self::F32(values) => vector.copy_from_slice(&values[start..][..vector.len()]),
            Self::F16(values) => {
                values.as_slice()[start..][..vector.len()].convert_to_f32_slice(vector)
            }
        }
    }
}

impl Embeddings {
    pub(super) fn load(
        checkpoint: &Checkpoint,
        embedding: &TokenEmbedding,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            words: Words::keep(checkpoint.values(&embedding.words)?),
            positions: tables::positions(checkpoint, embedding)?,
            norm: norm::load(checkpoint, &embedding.norm)?,
        })
    }

    /// Returns the word table, to be moved.
    pub(super) fn relocatable(&mut self) -> Option<&mut dyn Relocatable> {
        match &mut self.words {
            Words::F32(_) => None,
            Words::F16(values) => Some(values),
        }
    }

    /// Rows of ids to `x`, `[T, H]` in blocks.
    pub(super) fn run<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u32]>,
        x: &mut [f32],
        columns: ColumnBlocks,
    ) {
        let hidden = columns.count;
        let tokens = x.len() / hidden;
        let positions = self.positions.chunks_exact(hidden);
        let ids = rows.flat_map(|ids| ids.iter().zip(positions.clone()));
        let mut word = vec![0.0; hidden];
        for (token, (id, position)) in ids.enumerate() {
            self.words.copy(*id, &mut word);
            for block in 0..columns.blocks() {
                let range = columns.columns(block);
                let start = columns.elements(block, tokens).start + token * range.len();
                let sums = word[range.clone()].iter().zip(&position[range.clone()]);
                for (x, (word, position)) in x[start..][..range.len()].iter_mut().zip(sums) {
                    *x = word + position;
                }
            }
        }
        self.norm.run(x, columns);
    }
}

//! Token ids to the vectors that enter the first layer.

use super::blocks::Columns;
use super::norm::Norm;
use crate::config::BertConfig;
use crate::encoder::weights::{self, Weights};
use crate::error::LoadError;

/// Word and position tables, and the norm after their sum.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, H]`
    words: Vec<f32>,
    /// `[P, H]`, see [`weights::Weights::positions`].
    positions: Vec<f32>,
    norm: Norm,
}

impl Embeddings {
    pub(super) fn load(weights: &Weights<'_>, config: &BertConfig) -> Result<Self, LoadError> {
        Ok(Self {
            words: weights.values(weights::WORDS, &[config.vocab_size, config.hidden_size])?,
            positions: weights.positions(config)?,
            norm: Norm::load(weights, config, weights::EMBEDDINGS_NORM)?,
        })
    }

    /// Rows of ids to `x`, `[T, H]` in blocks.
    pub(super) fn run<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u32]>,
        x: &mut [f32],
        columns: Columns,
    ) {
        let hidden = columns.count;
        let tokens = x.len() / hidden;
        let positions = self.positions.chunks_exact(hidden);
        let ids = rows.flat_map(|ids| ids.iter().zip(positions.clone()));
        for (token, (id, position)) in ids.enumerate() {
            let word = &self.words[*id as usize * hidden..][..hidden];
            for block in 0..columns.blocks() {
                let range = columns.of(block);
                let start = columns.place(block, tokens).start + token * range.len();
                let sums = word[range.clone()].iter().zip(&position[range.clone()]);
                for (x, (word, position)) in x[start..][..range.len()].iter_mut().zip(sums) {
                    *x = word + position;
                }
            }
        }
        self.norm.run(x, columns);
    }
}

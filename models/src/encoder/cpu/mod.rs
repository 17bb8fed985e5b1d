//! The encoder on a CPU, without Candle: every step writes where the next one reads.
//!
//! * Matrices lie in blocks of columns (`blocks`), weights in panels that are read from front to
//!   back (`linear`), in 16 bits where these hold them (`panels`, `halves`), all together in large
//!   pages (`kept`).
//! * Products are made of tiles whose sums stay in registers (`tile`), and begin and end in the
//!   steps beside them: bias, residual, GELU (`place`, `activation`).
//! * Attention looks at a few queries at a time; no matrix of scores is ever whole (`attention`).
//! * A batch is shared among the threads of the current rayon pool, by rows where that keeps all of
//!   them busy, else within each step (`schedule`, `workers`). Each group of rows has a workspace
//!   that is used again (`workspace`).
//! * All of it is compiled for several kinds of vectors, and the widest are taken at run time
//!   (`simd`).
//!
//! A token's sums are added up in an order that depends on nothing but the model and the processor.
//! So a row gives the same bits whatever rows are beside it and however many threads there are.

mod activation;
mod aligned;
mod attention;
mod blocks;
mod dense;
mod embeddings;
mod halves;
mod int8;
mod kept;
mod layer;
mod linear;
mod norm;
mod panels;
mod place;
mod prefetch;
mod schedule;
mod simd;
mod tile;
mod vectors;
mod workers;
mod workspace;

use rayon::prelude::*;

use super::output::{self, RowEmbedding};
use super::row::RowInput;
use super::weights::Weights;
use crate::config::{BertConfig, ModelConfig};
use crate::device::Precision;
use crate::error::LoadError;
use blocks::{Columns, Matrix};
use embeddings::Embeddings;
use layer::Layer;
pub(crate) use vectors::Vectors;
use workers::Workers;
use workspace::Workspaces;

/// Weights, packed, and memory to compute in.
#[derive(Debug)]
pub(super) struct CpuEncoder {
    columns: Columns,
    /// Cost of attention for each pair of tokens, in costs of a token in the products.
    square: f64,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    workspaces: Workspaces,
}

impl CpuEncoder {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let width = blocks::width(hidden, config.head_size(), linear::panel_width());
        let columns = Columns {
            count: hidden,
            width,
        };
        let mut embeddings = Embeddings::load(weights, config)?;
        let mut layers = (0..config.num_hidden_layers)
            .into_par_iter()
            .map(|index| Layer::load(weights, config, columns, index, precision))
            .collect::<Result<Vec<_>, _>>()?;
        let of_layers = layers.iter_mut().flat_map(Layer::kept);
        kept::together(of_layers.chain(embeddings.kept()).collect());
        Ok(Self {
            columns,
            square: 1.0 / (2 * hidden + inner) as f64,
            embeddings,
            layers,
            workspaces: Workspaces::new(columns),
        })
    }

    /// Rows that were checked, in their order.
    pub(super) fn encode(&self, rows: &[&RowInput<'_>], config: &ModelConfig) -> Vec<RowEmbedding> {
        let lens: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let schedule = schedule::schedule(&lens, self.square, rayon::current_num_threads());
        let group = |group: &Vec<usize>| {
            let rows: Vec<&RowInput<'_>> = group.iter().map(|row| rows[*row]).collect();
            self.group(&rows, config, schedule.workers)
        };
        let groups: Vec<Vec<RowEmbedding>> = match schedule.workers {
            Workers::One => schedule
                .groups
                .par_iter()
                .with_max_len(1)
                .map(group)
                .collect(),
            Workers::All => schedule.groups.iter().map(group).collect(),
        };
        let places = schedule.groups.iter().flatten();
        let mut placed: Vec<_> = places.zip(groups.into_iter().flatten()).collect();
        placed.sort_unstable_by_key(|(place, _)| **place);
        placed.into_iter().map(|(_, row)| row).collect()
    }

    fn group(
        &self,
        rows: &[&RowInput<'_>],
        config: &ModelConfig,
        workers: Workers,
    ) -> Vec<RowEmbedding> {
        let lens: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let tokens = lens.iter().sum();
        self.workspaces.with(tokens, |space| {
            let ids = rows.iter().map(|row| row.ids);
            self.embeddings
                .run(ids, space.x.as_mut_slice(), self.columns);
            workers.together(|| {
                for layer in &self.layers {
                    layer.run(space, &lens, workers);
                }
            });
            let hidden = Matrix::new(space.x.as_slice(), self.columns);
            let mut first = 0;
            let row = |(row, len): (&&RowInput<'_>, usize)| {
                let start = first;
                first += len;
                output::of_row(row.output, config, len, |token, vector| {
                    copy(hidden, start + token, vector)
                })
            };
            rows.iter().zip(lens.iter().copied()).map(row).collect()
        })
    }
}

/// A token's vector, from its blocks.
fn copy(hidden: Matrix<'_>, token: usize, vector: &mut [f32]) {
    for block in 0..hidden.columns.blocks() {
        let range = hidden.columns.of(block);
        let values = &hidden.block(block)[token * range.len()..][..range.len()];
        vector[range].copy_from_slice(values);
    }
}

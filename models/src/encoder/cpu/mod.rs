//! The encoder on a CPU, without Candle: every step writes where the next one reads.
//!
//! The computation itself is that of `motet-kernels`. Here are the model's weights for it
//! (`embeddings`, `layer` with `attention` and `feed_forward`, `norm`, read by `weights` and
//! `stored_rows`), how rows are pooled (`pool`), and how a batch is shared among the threads of the
//! current rayon pool: by rows where that keeps all of them busy, else within each step
//! (`schedule`).
//!
//! A token's sums are added up in an order that depends on nothing but the model and the processor.
//! So a row gives the same bits whatever rows are beside it and however many threads there are.

mod attention;
mod embeddings;
mod feed_forward;
mod layer;
pub(super) mod norm;
mod pool;
mod schedule;
pub(super) mod stored_rows;
pub(super) mod weights;

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use motet_kernels::{
    Arithmetic, Bias, ColumnBlocks, Matrix, Norm, Parallelism, RelativeBias, Rotary, ScratchPool,
    huge_pages,
};
use rayon::prelude::*;

use super::growing::Growing;
use super::{LoadedHead, RowInput, tables};
use crate::architecture::{self, Architecture, Readout};
use crate::checkpoint::Checkpoint;
use crate::device::Precision;
use crate::error::LoadError;
use crate::values::Values;
use embeddings::Embeddings;
use layer::{Batch, Layer};
use weights::Weights;

/// Weights, packed, and memory to compute in.
#[derive(Debug)]
pub(super) struct CpuEncoder {
    columns: ColumnBlocks,
    /// Cost of attention for each pair of tokens, in costs of a token in the products.
    square: f64,
    embeddings: Embeddings,
    /// Added to the scores of attention in every layer.
    position_bias: Option<RelativeBias>,
    /// The rotary embeddings of the layers, each once.
    rotaries: Vec<(architecture::Rotary, Growing<Rotary>)>,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    scratch: ScratchPool,
}

impl CpuEncoder {
    pub(super) fn load(
        checkpoint: &Checkpoint,
        architecture: &Architecture,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        let (hidden, first) = (architecture.hidden, architecture.layers.first());
        // Blocks of whole heads where that can be: queries and keys are then cut alike.
        let unit = first.map_or(1, |layer| layer.attention.head_size);
        let unit = if hidden.is_multiple_of(unit) { unit } else { 1 };
        let columns = ColumnBlocks::new(hidden, unit);
        let mut embeddings = Embeddings::load(checkpoint, &architecture.embedding, columns)?;
        let reach = architecture.max_tokens;
        let position_bias = architecture.position_bias.as_ref().map(|bias| {
            let (table, buckets) = tables::position_bias(checkpoint, bias)?;
            let heads = architecture.heads();
            Ok(RelativeBias::bucketed(&table, heads, buckets, reach))
        });
        let position_bias = position_bias.transpose()?;
        let weights = Weights {
            checkpoint,
            arithmetic: match precision {
                Precision::Int8 => Arithmetic::Int8,
                _ => Arithmetic::F32,
            },
        };
        let rotaries = architecture.rotaries();
        let relative = architecture.relative.as_ref().map(|it| (it, reach));
        let mut layers = architecture
            .layers
            .par_iter()
            .map(|layer| {
                let rotary = layer.attention.rotary.as_ref();
                let rotary = rotaries.iter().position(|known| Some(*known) == rotary);
                Layer::load(weights, layer, columns, rotary, relative)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let rotaries = rotaries.into_iter().map(|rotary| {
            let Ok(table) = Growing::new(reach, |positions| rotations(rotary, positions));
            (rotary.clone(), table)
        });
        let final_norm = architecture.final_norm.as_ref();
        let final_norm = final_norm.map(|norm| norm::load(checkpoint, norm));
        let inner = first.map_or(0, |layer| layer.feed_forward.inner());
        let of_layers = layers.iter_mut().flat_map(Layer::relocatable);
        huge_pages::consolidate(of_layers.chain(embeddings.relocatable()).collect());
        Ok(Self {
            columns,
            square: 1.0 / (2 * hidden + inner) as f64,
            embeddings,
            position_bias,
            rotaries: rotaries.collect(),
            layers,
            final_norm: final_norm.transpose()?,
            scratch: ScratchPool::new(columns),
        })
    }

    /// Encodes rows that were checked; the results are in their order.
    pub(super) fn encode(&self, rows: &[RowInput<'_>], head: &LoadedHead) -> Vec<Values> {
        let lens: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let schedule = schedule::schedule(&lens, self.square, rayon::current_num_threads());
        let group = |group: &Vec<usize>| {
            let rows: Vec<RowInput<'_>> = group.iter().map(|row| rows[*row]).collect();
            self.group(&rows, head, schedule.parallelism)
        };
        let groups: Vec<Vec<Values>> = match schedule.parallelism {
            Parallelism::WithinThread => schedule
                .groups
                .par_iter()
                .with_max_len(1)
                .map(group)
                .collect(),
            Parallelism::AcrossThreads => schedule.groups.iter().map(group).collect(),
        };
        let places = schedule.groups.iter().flatten();
        let mut placed: Vec<_> = places.zip(groups.into_iter().flatten()).collect();
        placed.sort_unstable_by_key(|(place, _)| **place);
        placed.into_iter().map(|(_, row)| row).collect()
    }

    fn group(
        &self,
        rows: &[RowInput<'_>],
        head: &LoadedHead,
        parallelism: Parallelism,
    ) -> Vec<Values> {
        let lens: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let tokens = lens.iter().sum();
        let longest = lens.iter().copied().max().unwrap_or(0);
        let rotaries = self.rotaries.iter().map(|(rotary, table)| {
            let Ok(table) = table.of(longest, |positions| rotations(rotary, positions));
            table
        });
        let rotaries: Vec<Arc<Rotary>> = rotaries.collect();
        let batch = Batch {
            rows: &lens,
            bias: self.position_bias.as_ref().map(Bias::Relative),
            rotaries: &rotaries,
        };
        self.scratch.with(tokens, |scratch| {
            parallelism.with_spinning_helpers(|| {
                self.embeddings.run(rows, scratch, parallelism);
                for layer in &self.layers {
                    layer.run(scratch, &batch, parallelism);
                }
                if let Some(norm) = &self.final_norm {
                    let statistics = &mut scratch.statistics;
                    norm.run(
                        scratch.x.as_mut_slice(),
                        self.columns,
                        statistics,
                        parallelism,
                    );
                }
                let hidden = Matrix::new(scratch.x.as_slice(), self.columns);
                let mut first = 0;
                let outputs = rows.iter().map(|row| {
                    let start = first;
                    first += row.ids.len();
                    (start..first, row.unpooled, Values::default())
                });
                let mut outputs: Vec<_> = outputs.collect();
                parallelism.for_each_chunk(&mut outputs, 1, |_, outputs| {
                    for (tokens, unpooled, values) in outputs {
                        let tokens = tokens.clone();
                        *values = of_row(head, hidden, tokens, *unpooled, parallelism);
                    }
                });
                outputs.into_iter().map(|(_, _, values)| values).collect()
            })
        })
    }
}

/// Returns the rotations of a number of positions.
fn rotations(rotary: &architecture::Rotary, positions: usize) -> Result<Rotary, Infallible> {
    let architecture::Rotary {
        pairs,
        frequencies,
        scale,
    } = rotary;
    Ok(Rotary::new(frequencies, positions, *scale, *pairs))
}

/// Returns what a head makes of a row, whose tokens are some of `hidden`, of which the first
/// `unpooled` are not pooled.
fn of_row(
    head: &LoadedHead,
    hidden: Matrix<'_>,
    tokens: Range<usize>,
    unpooled: usize,
    parallelism: Parallelism,
) -> Values {
    let size = hidden.columns.count;
    let mut vectors = match head.readout() {
        Readout::EveryToken => vec![0.0; tokens.len() * size],
        Readout::Pooled(poolings) => vec![0.0; poolings.len() * size],
    };
    match head.readout() {
        Readout::EveryToken => {
            for (token, vector) in tokens.zip(vectors.chunks_exact_mut(size)) {
                pool::copy(hidden, token, vector);
            }
        }
        Readout::Pooled(poolings) => {
            for (pooling, vector) in poolings.iter().zip(vectors.chunks_exact_mut(size)) {
                pool::pool(
                    *pooling,
                    hidden,
                    tokens.clone(),
                    unpooled,
                    vector,
                    parallelism,
                );
            }
        }
    }
    head.apply(vectors)
}

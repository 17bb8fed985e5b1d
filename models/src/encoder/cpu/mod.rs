//! The encoder on a CPU, without Candle: every step writes where the next one reads.
//!
//! The computation itself is that of `motet-kernels`. Here are the model's weights for it
//! (`embeddings`, `patches`, `convolution`, `layer` with `attention` and `feed_forward`, `norm`,
//! read by `weights` and `stored_rows`), how rows are read out (`readout`) and pooled (`pool`), and
//! how a batch is shared among the threads of the current rayon pool: by rows where that keeps all
//! of them busy, else within each step (`schedule`).
//!
//! A token's sums are added up in an order that depends on nothing but the model and the processor.
//! So a row gives the same bits whatever rows are beside it and however many threads there are.
//!
//! Between the steps of a layer a batch may pause for a more urgent one.

mod attention;
mod convolution;
mod embeddings;
mod feed_forward;
mod layer;
pub(super) mod norm;
mod patches;
mod pool;
pub(super) mod readout;
mod schedule;
pub(super) mod stored_rows;
pub(super) mod weights;

use std::convert::Infallible;
use std::sync::Arc;

use motet_kernels::{
    Arithmetic, Bias, ColumnBlocks, Matrix, Norm, Parallelism, RelativeBias, Rotary, Rows,
    ScratchPool, huge_pages,
};
use rayon::prelude::*;

use super::growing::Growing;
use super::tables::BiasValues;
use super::{HeadedRow, LoadedHead, RowInput};
use crate::architecture::{self, Architecture};
use crate::checkpoint::Checkpoint;
use crate::device::Precision;
use crate::error::LoadError;
use crate::thread_team::Pauses;
use crate::values::Values;
use convolution::Convolution;
use embeddings::Embeddings;
use layer::{Batch, Layer};
use schedule::GroupTokens;
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
    /// Beside the first layer.
    convolution: Option<Convolution>,
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
            let values = BiasValues::load(checkpoint, bias)?;
            Ok(values.relative(architecture.heads(), reach))
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
        let convolution = architecture.convolution.as_ref();
        let convolution = convolution.map(|it| Convolution::load(checkpoint, it, columns));
        let inner = first.map_or(0, |layer| layer.feed_forward.inner());
        let of_layers = layers.iter_mut().flat_map(Layer::relocatable);
        huge_pages::consolidate(of_layers.chain(embeddings.relocatable()).collect());
        Ok(Self {
            columns,
            square: 1.0 / (2 * hidden + inner) as f64,
            embeddings,
            position_bias,
            rotaries: rotaries.collect(),
            convolution: convolution.transpose()?,
            layers,
            final_norm: final_norm.transpose()?,
            scratch: ScratchPool::new(columns),
        })
    }

    /// Encodes rows that were checked; the results are in their order, those of a row in that of
    /// its heads.
    pub(super) fn run(
        &self,
        rows: &[HeadedRow<'_>],
        pauses: Option<&dyn Pauses>,
    ) -> Vec<Vec<Values>> {
        let lens: Vec<usize> = rows.iter().map(|row| row.row.len()).collect();
        let most = match pauses {
            Some(_) => GroupTokens::SHORT_STEPS,
            None => GroupTokens::USUAL,
        };
        let threads = rayon::current_num_threads();
        let schedule = schedule::schedule(&lens, self.square, threads, most);
        let group = |group: &Vec<usize>| {
            let rows: Vec<HeadedRow<'_>> = group.iter().map(|row| rows[*row]).collect();
            self.group(&rows, schedule.parallelism, pauses)
        };
        let groups: Vec<Vec<Vec<Values>>> = match schedule.parallelism {
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
        rows: &[HeadedRow<'_>],
        parallelism: Parallelism,
        pauses: Option<&dyn Pauses>,
    ) -> Vec<Vec<Values>> {
        let inputs: Vec<RowInput<'_>> = rows.iter().map(|row| row.row).collect();
        let lens: Vec<usize> = inputs.iter().map(|row| row.len()).collect();
        let attended = inputs.iter().any(|row| row.unattended > 0).then(|| {
            let attended = inputs.iter().map(|row| row.len() - row.unattended);
            attended.collect::<Vec<usize>>()
        });
        let tokens = lens.iter().sum();
        let longest = lens.iter().copied().max().unwrap_or(0);
        let rotaries = self.rotaries.iter().map(|(rotary, table)| {
            let Ok(table) = table.of(longest, |positions| rotations(rotary, positions));
            table
        });
        let rotaries: Vec<Arc<Rotary>> = rotaries.collect();
        let batch = Batch {
            rows: Rows {
                tokens: &lens,
                attended: attended.as_deref(),
            },
            bias: self.position_bias.as_ref().map(Bias::Relative),
            rotaries: &rotaries,
            pauses,
        };
        self.scratch.with(tokens, |scratch| {
            parallelism.with_spinning_helpers(|| {
                self.embeddings.run(&inputs, scratch, parallelism);
                let mut layers = self.layers.as_slice();
                if let Some(convolution) = &self.convolution
                    && let Some((first, others)) = layers.split_first()
                {
                    convolution.around(scratch, &lens, parallelism, |scratch| {
                        first.run(scratch, &batch, parallelism);
                    });
                    layers = others;
                }
                for layer in layers {
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
                    first += row.row.len();
                    (start, row, Vec::new())
                });
                let mut outputs: Vec<_> = outputs.collect();
                parallelism.for_each_chunk(&mut outputs, 1, |_, outputs| {
                    for (start, row, values) in outputs {
                        let of_head = |head: &&LoadedHead| {
                            readout::of_row(head, hidden, *start, row.row, parallelism)
                        };
                        *values = row.heads.iter().map(of_head).collect();
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

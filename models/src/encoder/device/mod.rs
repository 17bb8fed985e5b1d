//! The encoder with Candle's operations, for the devices that Candle knows, and for a CPU with a
//! vendor's matrix products.
//!
//! The rows of a batch are packed: everything but attention takes all of them at once. Attention
//! takes them in groups of similar length, each padded to its longest, so that the number of
//! operations that a device is asked for hardly depends on that of the rows; or all at once, where
//! there is an operation for packed rows.

mod attention;
mod convolution;
mod embeddings;
mod feed_forward;
mod groups;
mod layer;
mod linear;
mod mask;
mod norm;
mod pack;
mod packed_attention;
mod padded;
mod padded_attention;
mod patches;
mod placement;
mod pool;
mod position_bias;
mod relative;
mod rotary;
mod turn;
mod upload;

use candle_core::{DType, Device, Result};

use super::{HeadedRow, RowInput};
use crate::architecture::{Architecture, Pooling};
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;
use crate::values::Values;
use convolution::Convolution;
use embeddings::Embeddings;
use layer::Layer;
use motet_kernels::Mask;
use norm::Norm;
use pack::{Layout, Packing};
use placement::Placement;
use position_bias::PositionBias;
use relative::DistanceVectors;
use rotary::Rotary;
use turn::Turns;

/// Weights on a device.
#[derive(Debug)]
pub(super) struct DeviceEncoder {
    device: Device,
    turns: Turns,
    heads: usize,
    kv_heads: usize,
    /// `true` if attention takes all rows at once.
    packs_attention: bool,
    embeddings: Embeddings,
    /// Added to the scores of attention in every layer.
    position_bias: Option<PositionBias>,
    /// Vectors of distances, of which layers make keys and queries.
    distances: Option<DistanceVectors>,
    /// The rotary embeddings of the layers, each once.
    rotaries: Vec<Rotary>,
    /// The masks of the layers, each once.
    masks: Vec<Mask>,
    /// Beside the first layer.
    convolution: Option<Convolution>,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
}

impl DeviceEncoder {
    /// Places the weights on `device` as `dtype`.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        architecture: &Architecture,
        device: &Device,
        dtype: DType,
    ) -> std::result::Result<Self, LoadError> {
        let turns = Turns::of(device);
        let turn = turns.take();
        let placement = Placement {
            checkpoint,
            device,
            dtype,
        };
        let embeddings = Embeddings::load(&placement, &architecture.embedding)?;
        let position_bias = architecture.position_bias.as_ref();
        let position_bias = position_bias
            .map(|bias| PositionBias::load(&placement, architecture, bias))
            .transpose()?;
        let distances = architecture.relative.as_ref();
        let distances = distances
            .map(|relative| DistanceVectors::new(&placement, architecture, relative))
            .transpose()?;
        let convolution = architecture.convolution.as_ref();
        let convolution = convolution.map(|it| Convolution::load(&placement, it));
        let convolution = convolution.transpose()?;
        let layers = architecture.layers.iter();
        let layers = layers
            .map(|layer| Layer::load(&placement, architecture, layer))
            .collect::<std::result::Result<_, _>>()?;
        let final_norm = architecture.final_norm.as_ref();
        let final_norm = final_norm.map(|norm| Norm::load(&placement, norm));
        let final_norm = final_norm.transpose()?;
        let rotaries = architecture.rotaries().into_iter();
        let rotaries = rotaries
            .map(|rotary| Rotary::new(rotary, architecture.max_tokens, device, dtype))
            .collect::<Result<_>>()
            .map_err(|cause| placement.device_error(cause))?;
        // Other threads use the weights, and their streams do not wait for what this thread's has
        // still to do.
        placement.wait()?;
        drop(turn);
        Ok(Self {
            device: device.clone(),
            turns,
            // Without layers nothing attends; counts of heads divide others.
            heads: architecture.heads().max(1),
            kv_heads: architecture.kv_heads().max(1),
            packs_attention: packed_attention::is_used(architecture, device, dtype),
            embeddings,
            position_bias,
            distances,
            rotaries,
            masks: architecture.masks(),
            convolution,
            layers,
            final_norm,
        })
    }

    /// Encodes rows that were checked, one at least; the results are in their order, those of a row
    /// in that of its heads.
    pub(super) fn run(&self, rows: &[HeadedRow<'_>]) -> Result<Vec<Vec<Values>>> {
        let poolings = pool::poolings(rows);
        let inputs: Vec<_> = rows.iter().map(|row| row.row).collect();
        // Neither this nor what the heads compute takes the device, which runs another batch.
        let layout = Layout::new(&inputs, self.packing(&poolings));
        let turn = self.turns.take();
        let found = self.forward(rows, &inputs, layout, &poolings);
        if found.is_err() {
            // Operations that were queued before the failure may still run. An error of the wait
            // adds nothing to the first.
            let _ = self.device.synchronize();
        }
        drop(turn);
        Ok(found?.outputs(rows, &poolings))
    }

    fn packing<'a>(&'a self, poolings: &'a [Pooling]) -> Packing<'a> {
        Packing {
            heads: self.heads,
            kv_heads: self.kv_heads,
            packs_attention: self.packs_attention,
            rotaries: &self.rotaries,
            masks: &self.masks,
            position_types: self.embeddings.position_types(),
            position_bias: self.position_bias.as_ref(),
            distances: self.distances.as_ref(),
            kernel: self.convolution.as_ref().map(Convolution::kernel),
            poolings,
            dtype: self.embeddings.dtype(),
        }
    }

    /// Runs the layers, and copies what heads read to the host.
    fn forward(
        &self,
        rows: &[HeadedRow<'_>],
        inputs: &[RowInput<'_>],
        layout: Layout<'_>,
        poolings: &[Pooling],
    ) -> Result<pool::Read> {
        let pack = layout.send(&self.device)?;
        let mut hidden = self.embeddings.forward(inputs, &pack)?;
        for (number, layer) in self.layers.iter().enumerate() {
            let left = layer.forward(&hidden, &pack)?;
            hidden = match &self.convolution {
                Some(convolution) if number == 0 => convolution.add(&hidden, &left, &pack)?,
                _ => left,
            };
        }
        if let Some(norm) = &self.final_norm {
            hidden = norm.forward(&hidden)?;
        }
        // Copying to the host waits for all operations that were queued on the device.
        pool::read(&hidden, rows, &pack, poolings)
    }

    /// Has attention take all rows at once, on a CPU; returns whether it can for this model.
    #[cfg(test)]
    pub(super) fn pack_attention(&mut self, architecture: &Architecture) -> bool {
        self.packs_attention = packed_attention::has_plain_scores(architecture);
        self.packs_attention
    }
}

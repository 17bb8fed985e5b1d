//! The encoder with Candle's operations, for the devices that Candle knows, and for a CPU with a vendor's matrix products.
//!
//! The rows of a batch are packed: everything but attention takes all of them at once.

mod attention;
mod embeddings;
mod feed_forward;
mod layer;
mod layer_norm;
mod linear;
mod pack;

use candle_core::{DType, Device, Result};

use super::output::{self, RowEmbedding};
use super::row::RowInput;
use super::weights::Weights;
use crate::config::{BertConfig, ModelConfig};
use crate::error::LoadError;
use embeddings::Embeddings;
use layer::Layer;
use pack::Pack;

/// Weights on a device.
#[derive(Debug)]
pub(super) struct DeviceEncoder {
    device: Device,
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

impl DeviceEncoder {
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &BertConfig,
        device: &Device,
    ) -> std::result::Result<Self, LoadError> {
        Ok(Self {
            device: device.clone(),
            embeddings: Embeddings::load(weights, config)?,
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(weights, config, index))
                .collect::<std::result::Result<_, _>>()?,
        })
    }

    /// Rows that were checked, in their order; there must be one at least.
    pub(super) fn encode(
        &self,
        rows: &[&RowInput<'_>],
        config: &ModelConfig,
    ) -> Result<Vec<RowEmbedding>> {
        let pack = Pack::new(rows, &self.device)?;
        let mut hidden = self.embeddings.forward(&pack)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &pack)?;
        }
        let size = config.hidden_size();
        // One crossing to the host for the whole batch: a device waits at each.
        let hidden: Vec<f32> = hidden.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let row = |(row, range): (&&RowInput<'_>, &std::ops::Range<usize>)| {
            let vectors = &hidden[range.start * size..range.end * size];
            output::of_row(row.output, config, range.len(), |token, vector| {
                vector.copy_from_slice(&vectors[token * size..][..size]);
            })
        };
        Ok(rows.iter().zip(&pack.rows).map(row).collect())
    }
}

//! Named tensors of a safetensors file, checked and converted.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use crate::config::BertConfig;
use crate::error::LoadError;
use crate::source::Source;

/// The table of word vectors, `[V, H]`.
pub(super) const WORDS: &str = "embeddings.word_embeddings.weight";
/// The norm after the sum of the tables.
pub(super) const EMBEDDINGS_NORM: &str = "embeddings.LayerNorm";

/// Some checkpoints put the encoder's tensors under this name, as one part of a larger model.
const PREFIX: &str = "bert.";

/// The tensors of one model's weights file.
pub(super) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    prefix: &'static str,
    model: &'a Source,
    device: &'a Device,
    dtype: DType,
}

impl<'a> Weights<'a> {
    /// Reads the file's header. Tensors will be placed on `device` as `dtype`.
    pub(super) fn open(
        bytes: &'a [u8],
        model: &'a Source,
        device: &'a Device,
        dtype: DType,
    ) -> Result<Self, LoadError> {
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|cause| LoadError::CorruptWeights {
                model: model.clone(),
                bytes: bytes.len(),
                cause,
            })?;
        let prefix = if tensors.tensor(&format!("{PREFIX}{WORDS}")).is_ok() {
            PREFIX
        } else {
            ""
        };
        Ok(Self {
            tensors,
            prefix,
            model,
            device,
            dtype,
        })
    }

    /// Returns a tensor on the device, in the element type for computing.
    pub(super) fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        self.place(self.values(name, shape)?, shape)
    }

    /// Returns a tensor's values as f32 on the host, for those that are changed before they are
    /// placed.
    pub(super) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let name = format!("{}{name}", self.prefix);
        let Ok(view) = self.tensors.tensor(&name) else {
            let held = self.tensors.len();
            return Err(LoadError::MissingTensor {
                model: self.model.clone(),
                tensor: name,
                held,
            });
        };
        if view.shape() != shape {
            return Err(LoadError::WrongShape {
                model: self.model.clone(),
                tensor: name,
                expected: shape.to_vec(),
                found: view.shape().to_vec(),
            });
        }
        match view.dtype() {
            Dtype::F32 => Ok(read(view.data(), f32::from_le_bytes)),
            Dtype::F16 => Ok(read(view.data(), |bytes| {
                f16::from_le_bytes(bytes).to_f32()
            })),
            Dtype::BF16 => Ok(read(view.data(), |bytes| {
                bf16::from_le_bytes(bytes).to_f32()
            })),
            other => {
                let found = format!("{other:?}");
                Err(LoadError::WrongElementType {
                    model: self.model.clone(),
                    tensor: name,
                    found,
                })
            }
        }
    }

    /// `NAME.weight`, `[outputs, inputs]`, and `NAME.bias`, `[outputs]`.
    pub(super) fn linear(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), LoadError> {
        let weight = self.values(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok((weight, self.values(&format!("{name}.bias"), &[outputs])?))
    }

    /// Returns the products for queries, keys and values of a layer as one: `[3 H, H]` and `[3 H]`.
    pub(super) fn query_key_value(
        &self,
        config: &BertConfig,
        layer: &str,
    ) -> Result<(Vec<f32>, Vec<f32>), LoadError> {
        let hidden = config.hidden_size;
        let part =
            |part: &str| self.linear(&format!("{layer}.attention.self.{part}"), hidden, hidden);
        let (mut weight, mut bias) = part("query")?;
        for name in ["key", "value"] {
            let (more_weight, more_bias) = part(name)?;
            weight.extend(more_weight);
            bias.extend(more_bias);
        }
        Ok((weight, bias))
    }

    /// Returns the table of position vectors, `[P, H]`. The vector of token type 0 is already
    /// added: rows are single texts, whose tokens are all of that type.
    pub(super) fn positions(&self, config: &BertConfig) -> Result<Vec<f32>, LoadError> {
        let shape = [config.max_position_embeddings, config.hidden_size];
        let mut positions = self.values("embeddings.position_embeddings.weight", &shape)?;
        let shape = [config.type_vocab_size, config.hidden_size];
        let types = self.values("embeddings.token_type_embeddings.weight", &shape)?;
        for position in positions.chunks_exact_mut(config.hidden_size) {
            position
                .iter_mut()
                .zip(&types)
                .for_each(|(value, of_type)| *value += of_type);
        }
        Ok(positions)
    }

    /// Places values on the device, in the element type for computing.
    pub(super) fn place(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor, LoadError> {
        self.place_with(values, shape, Ok)
    }

    /// As [`place`](Self::place), with a last step on the device.
    pub(super) fn place_with(
        &self,
        values: Vec<f32>,
        shape: &[usize],
        last: impl FnOnce(Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Tensor, LoadError> {
        Tensor::from_vec(values, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(self.dtype))
            .and_then(|tensor| tensor.to_device(self.device))
            .and_then(last)
            .map_err(|cause| self.device_error(cause))
    }

    /// Returns once everything placed so far is there, for all threads.
    pub(super) fn wait(&self) -> Result<(), LoadError> {
        self.device
            .synchronize()
            .map_err(|cause| self.device_error(cause))
    }

    fn device_error(&self, cause: candle_core::Error) -> LoadError {
        LoadError::Device {
            model: self.model.clone(),
            cause: Box::new(cause),
        }
    }
}

fn read<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| value(*bytes))
        .collect()
}

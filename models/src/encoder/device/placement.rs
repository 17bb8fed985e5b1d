//! Weights from a checkpoint to a device.

use candle_core::{DType, Device, Result, Tensor};

use crate::architecture::Linear;
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Where tensors come from, and where they are placed.
pub(super) struct Placement<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) device: &'a Device,
    /// Element type for computing.
    pub(super) dtype: DType,
}

impl Placement<'_> {
    /// Returns the weights and biases of several products on the host, one product's outputs after
    /// the other's: `[outputs, inputs]` and `[outputs]`, which is `None` where none has a bias.
    pub(super) fn stack(
        &self,
        linears: &[&Linear],
    ) -> std::result::Result<(Vec<f32>, Option<Vec<f32>>), LoadError> {
        let weights: Vec<_> = linears.iter().map(|linear| &linear.weight).collect();
        Ok((
            self.checkpoint.stack(&weights)?,
            self.checkpoint.biases(linears)?,
        ))
    }

    /// Places values on the device, in the element type for computing.
    pub(super) fn place(
        &self,
        values: Vec<f32>,
        shape: &[usize],
    ) -> std::result::Result<Tensor, LoadError> {
        self.place_with(values, shape, Ok)
    }

    /// As [`place`](Self::place), with a last step on the device.
    pub(super) fn place_with(
        &self,
        values: Vec<f32>,
        shape: &[usize],
        last: impl FnOnce(Tensor) -> Result<Tensor>,
    ) -> std::result::Result<Tensor, LoadError> {
        Tensor::from_vec(values, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(self.dtype))
            .and_then(|tensor| tensor.to_device(self.device))
            .and_then(last)
            .map_err(|cause| self.device_error(cause))
    }

    /// Returns once everything placed so far is there, for all threads.
    pub(super) fn wait(&self) -> std::result::Result<(), LoadError> {
        self.device
            .synchronize()
            .map_err(|cause| self.device_error(cause))
    }

    /// Returns the error of a device that refused.
    pub(super) fn device_error(&self, cause: candle_core::Error) -> LoadError {
        LoadError::Device {
            model: self.checkpoint.model().clone(),
            cause: Box::new(cause),
        }
    }
}

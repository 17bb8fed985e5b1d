//! The encoder: rows of token ids to vectors. What it computes is an [`Architecture`], which both
//! engines load from.
//!
//! [`Architecture`]: crate::architecture::Architecture
//!
//! A batch is **packed**: the tokens of all rows stand one after another in a matrix `[T, H]` (T
//! tokens in all, H the hidden size), so no work is spent on padding and a row's result does not
//! depend on its neighbours. Everything but attention works on single tokens and takes the whole
//! matrix at once; attention looks at one row at a time.
//!
//! * `cpu`: the engine for CPUs; `device`: the same computation with Candle's operations.
//! * `row`: [`RowInput`], [`HeadedRow`] and [`RowError`]; `head`: [`LoadedHead`], token vectors to
//!   what a row gives back.
//! * `growing`: tables by position, as long as rows are.
//! * `tables`: what both engines make of the embeddings' tables; `cache`: [`EncoderCache`], one
//!   copy of the weights.

mod cache;
mod cpu;
mod device;
mod growing;
mod head;
mod row;
mod tables;

use std::time::Instant;

use candle_core::Device;

pub use cache::EncoderCache;
pub use head::LoadedHead;
pub use row::{HeadedRow, RowError, RowInput, RowTokens};

use crate::architecture::Head;
use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::device::{DeviceSpec, Precision};
use crate::engine::EngineSpec;
use crate::error::LoadError;
use crate::source::{ModelFiles, Source};
use crate::thread_team::ThreadTeam;
use crate::values::Values;
use cpu::CpuEncoder;
use device::DeviceEncoder;

/// A failure of the device while computing; every row of the batch is lost.
#[derive(Debug, thiserror::Error)]
#[error("computing the batch failed: {0}")]
pub struct EncodeError(#[from] candle_core::Error);

/// A text encoder with its weights on a device. `Send + Sync`; share it by [`std::sync::Arc`], or
/// through an [`EncoderCache`].
#[derive(Debug)]
pub struct TextEncoder {
    files: ModelFiles,
    device: Device,
    precision: Precision,
    engine: Engine,
    unused_tensors: Vec<String>,
}

/// The implementation of the forward pass.
#[derive(Debug)]
enum Engine {
    Cpu(Box<CpuEncoder>),
    Device(Box<DeviceEncoder>),
}

impl TextEncoder {
    /// Reads the weights as [`load_for`](Self::load_for) with the engine that suits the device.
    ///
    /// # Errors
    /// As [`load_for`](Self::load_for).
    pub fn load(
        files: &ModelFiles,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        Self::load_for(EngineSpec::Auto, files, device, precision)
    }

    /// Reads the weights, of any supported element type, and places them on `device` as `precision`
    /// (on a CPU f16 and bf16 are f32, see [`Precision::on`]), for this engine.
    ///
    /// # Errors
    /// A precision that the device does not support; a weights file that is corrupt, lacks a tensor
    /// or has one of another shape; a device without enough memory.
    pub fn load_for(
        engine: EngineSpec,
        files: &ModelFiles,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, LoadError> {
        engine
            .check(DeviceSpec::of(device), precision)
            .map_err(|cause| LoadError::Engine {
                model: files.source().clone(),
                cause,
            })?;
        precision
            .check(DeviceSpec::of(device))
            .map_err(|cause| LoadError::Precision {
                model: files.source().clone(),
                cause,
            })?;
        let precision = precision.on(device);
        let started = Instant::now();
        let checkpoint = Checkpoint::open(files)?;
        let architecture = &files.config().architecture;
        let engine = if engine.is_packed(device.is_cpu()) {
            let engine = CpuEncoder::load(&checkpoint, architecture, precision)?;
            Engine::Cpu(Box::new(engine))
        } else {
            let engine = DeviceEncoder::load(&checkpoint, architecture, device, precision.dtype())?;
            Engine::Device(Box::new(engine))
        };
        let unused = checkpoint.unused(architecture.tensors()).into_iter();
        let encoder = Self {
            files: files.clone(),
            device: device.clone(),
            precision,
            engine,
            unused_tensors: unused.map(str::to_owned).collect(),
        };
        tracing::debug!(
            model = %encoder.source(),
            device = ?device.location(),
            precision = %precision,
            load_ms = started.elapsed().as_millis() as u64,
            unused_tensors = encoder.unused_tensors.len(),
            "weights loaded"
        );
        Ok(encoder)
    }

    /// Returns the source of the weights.
    pub fn source(&self) -> &Source {
        self.files.source()
    }

    /// Returns the model's configuration: sizes, pooling and limits.
    pub fn config(&self) -> &ModelConfig {
        self.files.config()
    }

    /// Reads the weights of a head of the same model.
    ///
    /// # Errors
    /// As [`LoadedHead::load`].
    pub fn load_head(&self, head: &Head) -> Result<LoadedHead, LoadError> {
        LoadedHead::load(&self.files, head)
    }

    /// Returns the names of the tensors among the weights that the encoder does not use, such as
    /// those of a pre-training head.
    pub fn unused_tensors(&self) -> &[String] {
        &self.unused_tensors
    }

    /// Returns the device that holds the weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the number format of the computation.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Returns whether the layers are computed by motet's own kernels, with the same bits in any
    /// batch.
    pub fn is_packed(&self) -> bool {
        matches!(self.engine, Engine::Cpu(_))
    }

    /// Checks that a row can be encoded: it is not empty, within the model's limit, and all ids and
    /// types are the model's.
    ///
    /// # Errors
    /// Why the row cannot be encoded.
    pub fn check(&self, row: RowInput<'_>) -> Result<(), RowError> {
        row::check(row, self.config())
    }

    /// Encodes a batch of rows to what a head of the model makes of each, as
    /// [`encode_headed`](Self::encode_headed).
    ///
    /// # Errors
    /// A failure of the device, which loses the whole batch.
    pub fn encode(
        &self,
        rows: &[RowInput<'_>],
        head: &LoadedHead,
        team: &ThreadTeam,
    ) -> Result<Vec<Result<Values, RowError>>, EncodeError> {
        let encoded = self.encode_headed(&HeadedRow::all(rows, &[head]), team)?;
        let only = |mut values: Vec<Values>| values.pop().unwrap_or_default();
        Ok(encoded.into_iter().map(|row| row.map(only)).collect())
    }

    /// Encodes a batch of rows to what the heads of each make of it, in the order of its heads. The
    /// results are in the order of the rows; a row that [`check`](Self::check) refuses gets its own
    /// error and does not touch the others.
    ///
    /// On a CPU the team shares the work, and a row's result is the same, bit for bit, in any batch
    /// and with any number of threads. On other devices only the leader submits work.
    ///
    /// # Errors
    /// A failure of the device, which loses the whole batch.
    pub fn encode_headed(
        &self,
        rows: &[HeadedRow<'_>],
        team: &ThreadTeam,
    ) -> Result<Vec<Result<Vec<Values>, RowError>>, EncodeError> {
        let checks = rows.iter().map(|row| self.check(row.row));
        let checks: Vec<Result<(), RowError>> = checks.collect();
        let is_run = |row: &HeadedRow<'_>| row.row.len() > 0;
        let good: Vec<HeadedRow<'_>> = rows
            .iter()
            .zip(&checks)
            .filter_map(|(row, check)| (check.is_ok() && is_run(row)).then_some(*row))
            .collect();
        let values = match &self.engine {
            _ if good.is_empty() => Vec::new(),
            Engine::Cpu(cpu) => {
                let pauses = team.pauses().map(|pauses| &**pauses);
                team.run(|| cpu.run(&good, pauses))
            }
            Engine::Device(device) => team.run(|| device.run(&good))?,
        };
        let mut values = values.into_iter();
        let of_row = |(row, check): (&HeadedRow<'_>, Result<(), RowError>)| {
            let values = check.map(|()| match is_run(row) {
                true => values.next(),
                false => Some(row.heads.iter().map(|head| head.of_nothing()).collect()),
            });
            values.transpose()
        };
        Ok(rows.iter().zip(checks).filter_map(of_row).collect())
    }
}

#[cfg(test)]
mod adapter_tests;
#[cfg(test)]
mod bge_m3_tests;
#[cfg(test)]
mod classifier_tests;
#[cfg(test)]
mod family_tests;
#[cfg(test)]
mod half_tests;
#[cfg(test)]
mod headed_tests;
#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod sentence_tests;
#[cfg(test)]
mod sparse_tests;
#[cfg(all(test, feature = "builtin"))]
mod tests;
#[cfg(test)]
mod token_vector_tests;

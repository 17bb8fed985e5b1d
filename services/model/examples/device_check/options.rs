//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use candle_core::Device;
use motet_models::{DeviceSpec, EngineSpec, ModelFiles, Precision, TextEncoder};

use crate::Error;

const USAGE: &str = "takes DEVICE [PART...] [--models FOLDER]... [--tokenizer FOLDER] [--address \
                     HOST:PORT] [--seed NUMBER] [--small]";

/// The parts to run, and the device.
pub(crate) struct Options {
    pub(crate) spec: DeviceSpec,
    pub(crate) parts: Vec<String>,
    /// Folders below which models are, or into which one is written.
    pub(crate) models: Vec<PathBuf>,
    /// The folder of the tokenizer of a model that is written.
    pub(crate) tokenizer: Option<PathBuf>,
    /// A server.
    pub(crate) address: Option<String>,
    /// Of random numbers; another one each time unless it is given.
    pub(crate) seed: u64,
    pub(crate) small: bool,
}

impl Options {
    /// # Errors
    /// An argument that is missing or unknown.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let device = arguments.next().ok_or(USAGE)?;
        let mut options = Self {
            spec: device.parse()?,
            parts: Vec::new(),
            models: Vec::new(),
            tokenizer: None,
            address: None,
            seed: fastrand::u64(..),
            small: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(USAGE);
            match argument.as_str() {
                "--models" => options.models.push(value()?.into()),
                "--tokenizer" => options.tokenizer = Some(value()?.into()),
                "--address" => options.address = Some(value()?),
                "--seed" => options.seed = value()?.parse()?,
                "--small" => options.small = true,
                unknown if unknown.starts_with('-') => return Err(USAGE.into()),
                part => options.parts.push(part.to_owned()),
            }
        }
        if options.parts.is_empty() {
            let usual = ["seen", "agree", "rates", "speed"];
            options.parts = usual.map(str::to_owned).into();
        }
        Ok(options)
    }

    /// Opens the device.
    pub(crate) fn device(&self) -> Result<Device, Error> {
        Ok(self.spec.open()?)
    }

    /// Loads a model on the device, for the operations of devices.
    pub(crate) fn load(
        &self,
        files: &ModelFiles,
        precision: Precision,
    ) -> Result<TextEncoder, Error> {
        let device = self.device()?;
        let candle = EngineSpec::Candle;
        Ok(TextEncoder::load_for(candle, files, &device, precision)?)
    }

    /// Returns the types to measure in: those of 16 bits, which a CPU computes in f32.
    pub(crate) fn fast(&self) -> Result<&'static [Precision], Error> {
        Ok(match self.device()?.is_cpu() {
            true => &[Precision::F32],
            false => &[Precision::F16, Precision::Bf16],
        })
    }

    /// Time that one thing is measured for.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_millis(if self.small { 20 } else { 300 })
    }
}

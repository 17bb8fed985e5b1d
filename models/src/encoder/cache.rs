//! One copy of the weights for all models that use them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::{Device, DeviceLocation};

use super::TextEncoder;
use crate::device::Precision;
use crate::engine::EngineSpec;
use crate::error::LoadError;
use crate::source::{ModelFiles, Source};

/// Encoders in use, by where their weights come from, where they are and in what type. An encoder
/// that nobody holds any more is dropped; the cache does not keep it.
#[derive(Debug, Default)]
pub struct EncoderCache {
    entries: Mutex<HashMap<Key, Weak<TextEncoder>>>,
}

type Key = (Source, Place, Precision);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Place {
    /// On a CPU, packed for motet's kernels.
    Packed,
    Cpu,
    Cuda(usize),
    Metal(usize),
}

impl EncoderCache {
    /// Returns the encoder of these files on this device, loaded if nobody holds it yet. Loads one
    /// model at a time, so that two who ask for the same at once share it.
    ///
    /// # Errors
    /// As [`TextEncoder::load_for`].
    pub fn get(
        &self,
        engine: EngineSpec,
        files: &ModelFiles,
        device: &Device,
        precision: Precision,
    ) -> Result<Arc<TextEncoder>, LoadError> {
        let place = match device.location() {
            DeviceLocation::Cpu if engine.is_packed(true) => Place::Packed,
            DeviceLocation::Cpu => Place::Cpu,
            DeviceLocation::Cuda { gpu_id } => Place::Cuda(gpu_id),
            DeviceLocation::Metal { gpu_id } => Place::Metal(gpu_id),
        };
        let key = (files.source().clone(), place, precision.on(device));
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(encoder) = entries.get(&key).and_then(Weak::upgrade) {
            return Ok(encoder);
        }
        let encoder = Arc::new(TextEncoder::load_for(engine, files, device, precision)?);
        entries.retain(|_, entry| entry.strong_count() > 0);
        entries.insert(key, Arc::downgrade(&encoder));
        Ok(encoder)
    }
}

//! One copy of the weights for all models that use them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use candle_core::{Device, DeviceLocation};

use super::TextEncoder;
use crate::adapter::AdapterId;
use crate::device::Precision;
use crate::engine::EngineSpec;
use crate::error::LoadError;
use crate::source::{Modality, ModelFiles, Origin};

/// Encoders in use, by the files that their weights come from, the adapter in these, where they are
/// and in what type. An encoder that nobody holds any more is dropped; the cache does not keep it.
///
/// Files that have changed are other ones, also under the same path; the same files under several
/// paths are one source.
#[derive(Debug, Default)]
pub struct EncoderCache {
    entries: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// The place of an encoder. It is locked while the encoder is loaded.
type Slot = Mutex<Weak<TextEncoder>>;

type Key = (Origin, Modality, Option<AdapterId>, Place, Precision);

#[derive(Debug, PartialEq, Eq, Hash)]
enum Place {
    /// On a CPU, packed for motet's kernels.
    Packed,
    Cpu,
    Cuda(usize),
    Metal(usize),
}

impl EncoderCache {
    /// Returns the encoder of these files on this device, loaded if nobody holds it yet. Those who
    /// ask for the same at once share it: the first loads it, the others wait.
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
        let adapter = files.adapter_id().cloned();
        let (origin, modality) = (files.origin(), files.modality());
        let slot = self.slot((origin, modality, adapter, place, precision.on(device)));
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(encoder) = slot.upgrade() {
            return Ok(encoder);
        }
        let encoder = Arc::new(TextEncoder::load_for(engine, files, device, precision)?);
        *slot = Arc::downgrade(&encoder);
        Ok(encoder)
    }

    /// Returns the place of an encoder, and forgets those that nobody holds or loads.
    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, slot| {
            let is_held = |encoder: &Weak<_>| encoder.strong_count() > 0;
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|slot| is_held(&slot))
        });
        entries.entry(key).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::source::Source;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/bert")
    }

    /// Copies a folder with all that is in it.
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let (path, copied) = (entry.path(), to.join(entry.file_name()));
            match path.is_dir() {
                true => copy(&path, &copied),
                false => drop(std::fs::copy(path, copied).unwrap()),
            }
        }
    }

    #[test]
    fn encoders_are_shared_by_what_their_files_are() {
        let folder = std::env::temp_dir().join(format!("motet-shared-{}", std::process::id()));
        copy(&fixture(), &folder);
        let cache = EncoderCache::default();
        let load = |path: &Path| {
            let files = ModelFiles::open(&Source::File(path.to_owned())).unwrap();
            let (engine, precision) = (EngineSpec::Auto, Precision::F32);
            cache.get(engine, &files, &Device::Cpu, precision).unwrap()
        };
        let first = load(&folder);
        assert!(Arc::ptr_eq(&first, &load(&folder)));
        assert!(
            Arc::ptr_eq(&first, &load(&folder.join("."))),
            "another path"
        );
        let weights = folder.join("model.safetensors");
        let bytes = std::fs::read(&weights).unwrap();
        std::fs::remove_file(&weights).unwrap();
        std::fs::write(folder.join("new"), bytes).unwrap();
        std::fs::rename(folder.join("new"), &weights).unwrap();
        let changed = load(&folder);
        assert!(!Arc::ptr_eq(&first, &changed), "other files");
        drop((first, changed));
        load(&folder);
        assert_eq!(
            cache.entries.lock().unwrap().len(),
            1,
            "others are forgotten"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

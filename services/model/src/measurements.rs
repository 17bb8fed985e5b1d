//! Times of batches, measured once for each encoder and shared by the models that use it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use motet_batcher::Measurement;
use motet_models::TextEncoder;

/// The times of one encoder's batches; empty until the first executor has measured them.
pub(crate) type Measurements = Arc<OnceLock<Vec<Measurement>>>;

/// The measurements of all encoders in use. Models that share an encoder share them.
#[derive(Debug, Default)]
pub(crate) struct MeasurementCache(Mutex<Vec<(Weak<TextEncoder>, Measurements)>>);

impl MeasurementCache {
    /// Returns the measurements of an encoder, empty ones if it is new.
    pub(crate) fn of(&self, encoder: &Arc<TextEncoder>) -> Measurements {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(encoder, _)| encoder.strong_count() > 0);
        let entry = entries
            .iter()
            .find(|(other, _)| Weak::as_ptr(other) == Arc::as_ptr(encoder));
        match entry {
            Some((_, measurements)) => measurements.clone(),
            None => {
                let measurements = Measurements::default();
                entries.push((Arc::downgrade(encoder), measurements.clone()));
                measurements
            }
        }
    }
}

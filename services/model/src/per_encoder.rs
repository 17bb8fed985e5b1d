//! State that the models of one encoder share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use motet_models::TextEncoder;

/// A shared state for each encoder in use. `T` is cheap to clone, and clones share what they hold.
#[derive(Debug)]
pub(crate) struct PerEncoder<T>(Mutex<Vec<(Weak<TextEncoder>, T)>>);

impl<T> Default for PerEncoder<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Default> PerEncoder<T> {
    /// Returns the state of an encoder, the default if it is new.
    pub(crate) fn of(&self, encoder: &Arc<TextEncoder>) -> T {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(encoder, _)| encoder.strong_count() > 0);
        let entry = entries
            .iter()
            .find(|(other, _)| Weak::as_ptr(other) == Arc::as_ptr(encoder));
        match entry {
            Some((_, state)) => state.clone(),
            None => {
                let state = T::default();
                entries.push((Arc::downgrade(encoder), state.clone()));
                state
            }
        }
    }
}

//! [`ModelHealth`]: the health entry of a model's name, which its successor takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use motet_runtime::health::Health;

/// The health entry of one loaded model. Clones share it.
///
/// Several models may have one name in turn, and the end of one may come after the beginning of
/// the next: each sets the entry only from the time when it takes it until it leaves it.
#[derive(Clone, Debug)]
pub(crate) struct ModelHealth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    health: Health,
    is_taken: AtomicBool,
}

impl ModelHealth {
    /// Returns the entry of a name.
    pub(crate) fn new(name: &str, health: Health) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            health,
            is_taken: AtomicBool::new(false),
        }))
    }

    /// Takes the entry.
    pub(crate) fn take(&self) {
        self.0.is_taken.store(true, Ordering::Release);
    }

    /// Leaves the entry to whoever takes it next.
    pub(crate) fn leave(&self) {
        self.0.is_taken.store(false, Ordering::Release);
    }

    /// Sets whether the model is served, while the entry is its own.
    pub(crate) fn set(&self, serving: bool) {
        if self.0.is_taken.load(Ordering::Acquire) {
            self.0.health.set(&*self.0.name, serving);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_left_does_not_speak_for_its_successor() {
        let health = Health::new();
        let models = ["old", "new"].map(|_| ModelHealth::new("m", health.clone()));
        let [old, new] = models;
        new.set(false);
        assert_eq!(health.is_serving("m"), None);
        old.take();
        old.set(true);
        new.take();
        new.set(true);
        old.leave();
        old.set(false);
        assert_eq!(health.not_ready(), ["server"]);
        new.set(false);
        assert_eq!(health.not_ready(), ["server", "m"]);
    }
}

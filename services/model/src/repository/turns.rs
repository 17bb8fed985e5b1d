//! Turns: one change of a model at a time, and changes of several at once by themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{
    Mutex as AsyncMutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock,
};

/// Turns of those who change models.
#[derive(Debug, Default)]
pub(super) struct Turns {
    all: Arc<RwLock<()>>,
    models: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

/// The right to change one model, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _all: OwnedRwLockReadGuard<()>,
    _model: OwnedMutexGuard<()>,
}

/// The right to change all models, until it and what it shares are dropped.
#[derive(Debug)]
pub(super) struct AllTurns(Arc<OwnedRwLockWriteGuard<()>>);

impl AllTurns {
    /// Returns a share of the right.
    pub(super) fn shared(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Turns {
    /// Waits for the turn of all models.
    pub(super) async fn of_all(&self) -> AllTurns {
        AllTurns(Arc::new(self.all.clone().write_owned().await))
    }

    /// Waits for the turn of a model.
    pub(super) async fn of_model(&self, name: &str) -> Turn {
        let _all = self.all.clone().read_owned().await;
        let model = self.lock_of(name);
        Turn {
            _all,
            _model: model.lock_owned().await,
        }
    }

    fn lock_of(&self, name: &str) -> Arc<AsyncMutex<()>> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = models.get(name).and_then(Weak::upgrade) {
            return model;
        }
        models.retain(|_, model| model.strong_count() > 0);
        let model = Arc::new(AsyncMutex::new(()));
        models.insert(name.to_owned(), Arc::downgrade(&model));
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_of_one_model_come_one_after_another() {
        let turns = Turns::default();
        let first = turns.of_model("a").await;
        let other = turns.of_model("b").await;
        let mut second = std::pin::pin!(turns.of_model("a"));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second.await);
        drop(turns.of_model("c").await);
        assert_eq!(turns.models.lock().unwrap().len(), 2, "those of b and c");
        let mut all = std::pin::pin!(turns.of_all());
        assert!(
            futures::poll!(all.as_mut()).is_pending(),
            "b is being changed"
        );
        drop(other);
        let all = all.await;
        let share = all.shared();
        drop(all);
        let mut one = std::pin::pin!(turns.of_model("a"));
        assert!(futures::poll!(one.as_mut()).is_pending(), "a share is left");
        drop(share);
        one.await;
    }
}

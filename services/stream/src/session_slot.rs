//! The session of an adapter with its broker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A session that is opened by whoever needs the broker first, and again after it was discarded. (A
/// stream whose places are all taken asks for no messages, and has letters to store.)
#[derive(Debug)]
pub(crate) struct SessionSlot<S> {
    current: Mutex<Option<Arc<S>>>,
    /// Held by who opens a session: others wait for it.
    opening: tokio::sync::Mutex<()>,
}

impl<S> Default for SessionSlot<S> {
    fn default() -> Self {
        Self {
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }
}

impl<S> SessionSlot<S> {
    /// Returns the session; opens one where there is none.
    ///
    /// # Errors
    /// That of `open`.
    pub(crate) async fn get_or_open<E>(
        &self,
        open: impl Future<Output = Result<S, E>>,
    ) -> Result<Arc<S>, E> {
        if let Some(session) = self.get() {
            return Ok(session);
        }
        let _opening = self.opening.lock().await;
        if let Some(session) = self.get() {
            return Ok(session);
        }
        let session = Arc::new(open.await?);
        *self.lock() = Some(session.clone());
        Ok(session)
    }

    /// Discards a session that is of no use any more, unless another one took its place.
    pub(crate) fn discard(&self, session: &Arc<S>) {
        let mut current = self.lock();
        if current
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, session))
        {
            *current = None;
        }
    }

    /// Returns the session, if there is one.
    pub(crate) fn get(&self) -> Option<Arc<S>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<S>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_session_is_opened_once_and_again_after_it_was_discarded() {
        let (slot, opened) = (SessionSlot::default(), AtomicUsize::new(0));
        let open = || async {
            tokio::task::yield_now().await;
            Ok::<_, ()>(opened.fetch_add(1, Ordering::Relaxed))
        };
        let [a, b] = [slot.get_or_open(open()), slot.get_or_open(open())];
        let (a, b) = tokio::join!(a, b);
        let first = a.unwrap();
        assert!(Arc::ptr_eq(&first, &b.unwrap()));
        slot.discard(&first);
        let second = slot.get_or_open(open()).await.unwrap();
        assert_eq!((*first, *second), (0, 1));
        // Whoever still had the first one finds it broken later.
        slot.discard(&first);
        assert!(Arc::ptr_eq(
            &second,
            &slot.get_or_open(open()).await.unwrap()
        ));
    }

    #[tokio::test]
    async fn one_that_cannot_be_opened_is_tried_again() {
        let slot = SessionSlot::default();
        assert_eq!(slot.get_or_open(async { Err("away") }).await, Err("away"));
        let session = slot.get_or_open(async { Ok::<_, &str>(7) }).await;
        assert_eq!(session.map(|session| *session), Ok(7));
    }
}

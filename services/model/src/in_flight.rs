//! Calls in flight: counted, so that a drain can wait for them.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts the calls in flight. Once closed, no call is admitted, and [`close`](Self::close)
/// returns when the last one has finished. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct InFlight(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    calls: usize,
    closed: bool,
}

/// An admitted call; it is in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct CallGuard(InFlight);

impl Default for InFlight {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl InFlight {
    /// Admits a call; `None` once closed.
    pub(crate) fn admit(&self) -> Option<CallGuard> {
        let mut admitted = false;
        self.0.send_if_modified(|state| {
            admitted = !state.closed;
            state.calls += usize::from(admitted);
            false // only the end of a call wakes `close`
        });
        admitted.then(|| CallGuard(self.clone()))
    }

    /// Admits no further calls, and returns when none is in flight.
    pub(crate) async fn close(&self) {
        let mut changes = self.0.subscribe();
        self.0.send_modify(|state| state.closed = true);
        // The sender is owned by `self`, so waiting cannot fail.
        let _ = changes.wait_for(|state| state.calls == 0).await;
    }

    /// `true` until [`close`](Self::close) is called.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.borrow().closed
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|state| {
            state.calls -= 1;
            state.closed && state.calls == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closing_waits_for_the_calls_in_flight() {
        let calls = InFlight::default();
        let (one, two) = (calls.admit().unwrap(), calls.admit().unwrap());
        let mut closing = std::pin::pin!(calls.close());
        assert!(futures::poll!(closing.as_mut()).is_pending());
        assert!(calls.admit().is_none() && !calls.is_open());
        drop(one);
        assert!(futures::poll!(closing.as_mut()).is_pending());
        drop(two);
        closing.await;
        calls.close().await;
    }
}

//! Who is inside, and a door that closes: so that a drain waits for every call that was let in.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts calls and can be closed. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<watch::Sender<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    calls: usize,
    closed: bool,
}

/// A call that was let in; dropping it is leaving.
#[derive(Debug)]
pub(crate) struct Pass(Gate);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Gate {
    /// Lets a call in; `None` once the gate is closed.
    pub(crate) fn enter(&self) -> Option<Pass> {
        let mut entered = false;
        self.0.send_if_modified(|inside| {
            entered = !inside.closed;
            inside.calls += usize::from(entered);
            false // nobody waits for more calls
        });
        entered.then(|| Pass(self.clone()))
    }

    /// Lets nobody in from now on; returns once everybody has left.
    pub(crate) async fn close(&self) {
        let mut leaving = self.0.subscribe();
        self.0.send_modify(|inside| inside.closed = true);
        // The sender lives in `self`, so waiting cannot fail.
        let _ = leaving.wait_for(|inside| inside.calls == 0).await;
    }

    /// Whether calls are let in.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.borrow().closed
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|inside| {
            inside.calls -= 1;
            inside.closed && inside.calls == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closing_waits_for_those_inside() {
        let gate = Gate::default();
        let (one, two) = (gate.enter().unwrap(), gate.enter().unwrap());
        let mut closing = std::pin::pin!(gate.close());
        assert!(futures::poll!(closing.as_mut()).is_pending());
        assert!(gate.enter().is_none() && !gate.is_open());
        drop(one);
        assert!(futures::poll!(closing.as_mut()).is_pending());
        drop(two);
        closing.await;
        gate.close().await;
    }
}

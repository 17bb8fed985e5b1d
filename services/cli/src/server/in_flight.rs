//! Calls in flight, which a drain waits for.

use std::sync::Arc;

use motet_runtime::layers::call::{CallHooks, CallLayer};
use motet_runtime::limits::is_exempt;
use motet_runtime::status::{Reason, StatusBuilder};
use tokio::sync::watch;
use tonic::Status;
use tonic::codegen::http::Request;

/// The number of calls in flight. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<watch::Sender<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    count: usize,
    /// New calls are refused.
    refused: bool,
}

impl InFlight {
    /// Refuses new calls from now on.
    pub(super) fn refuse(&self) {
        self.0.send_modify(|calls| calls.refused = true);
    }

    /// Waits until no call is in flight.
    pub(super) async fn none(&self) {
        // `self` owns the sender, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|calls| calls.count == 0).await;
    }

    /// Counts a call until the return value is dropped; `None` if it is refused.
    fn begin(&self) -> Option<Counted> {
        let begun = self.0.send_if_modified(|calls| {
            calls.count += usize::from(!calls.refused);
            !calls.refused
        });
        begun.then(|| Counted(self.clone()))
    }
}

/// Counts every call but those of health and reflection, whose streams last as long as their
/// clients like.
#[derive(Debug, Clone)]
pub(super) struct CountingLayer(pub(super) InFlight);

/// A call that counts, to the end of its answer.
#[derive(Debug)]
pub(super) struct Counted(InFlight);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|calls| calls.count -= 1);
    }
}

impl CallHooks for Counted {}

impl<B> CallLayer<B> for CountingLayer {
    type Hooks = Counted;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<Counted>, Status> {
        if is_exempt(request.uri().path()) {
            return Ok(None);
        }
        match self.0.begin() {
            Some(call) => Ok(Some(call)),
            None => Err(StatusBuilder::new(Reason::Draining, "the server shuts down").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_the_calls_that_began_before_it() {
        let calls = InFlight::default();
        let call = calls.begin().expect("a call");
        calls.refuse();
        assert!(calls.begin().is_none());
        let none = tokio::spawn({
            let calls = calls.clone();
            async move { calls.none().await }
        });
        tokio::task::yield_now().await;
        assert!(!none.is_finished());
        drop(call);
        none.await.expect("nothing is in flight");
    }
}

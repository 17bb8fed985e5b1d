//! The tasks of a connection's calls.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::run_until;
use crate::metrics::ServerMetrics;
use crate::panics;

/// Spawns each call of an HTTP/2 connection as a task. Tasks end when the server is forced to stop;
/// hyper's own executor would let them outlive their connection.
#[derive(Clone)]
pub(super) struct Executor(Arc<Inner>);

struct Inner {
    forced: CancellationToken,
    metrics: Option<ServerMetrics>,
}

impl Executor {
    /// An executor whose tasks end when `forced` is cancelled.
    pub(super) fn new(forced: CancellationToken, metrics: Option<ServerMetrics>) -> Self {
        Self(Arc::new(Inner { forced, metrics }))
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, call: F) {
        let inner = self.0.clone();
        tokio::spawn(async move {
            // Unwind safety: a call that panicked is dropped, and the connection resets its stream.
            let call = AssertUnwindSafe(run_until(&inner.forced, call)).catch_unwind();
            if let Err(payload) = call.await {
                panics::report("call", &*payload, inner.metrics.as_ref());
            }
        });
    }
}

//! The tasks of a connection's calls.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::reader::TimedReader;
use super::run_until;
use crate::metrics::ServerMetrics;
use crate::panics;

/// Spawns each call of an HTTP/2 connection as a task. Tasks end when the server is forced to stop;
/// hyper's own executor would let them outlive their connection.
#[derive(Clone)]
pub(super) struct Executor(Arc<Inner>);

struct Inner {
    forced: CancellationToken,
    write_timeout: Duration,
    metrics: Option<ServerMetrics>,
}

impl Executor {
    /// An executor whose tasks end when `forced` is cancelled, and when their clients take nothing
    /// of an answer for `write_timeout`.
    pub(super) fn new(
        forced: CancellationToken,
        write_timeout: Duration,
        metrics: Option<ServerMetrics>,
    ) -> Self {
        Self(Arc::new(Inner {
            forced,
            write_timeout,
            metrics,
        }))
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
            let call = TimedReader::new(call, inner.write_timeout);
            let call = AssertUnwindSafe(run_until(&inner.forced, call)).catch_unwind();
            let metrics = inner.metrics.as_ref();
            match call.await {
                Ok(Some(None)) => {
                    // Dropped, it resets its stream.
                    if let Some(metrics) = metrics {
                        metrics.cut("slow_reader");
                    }
                }
                Ok(_) => {}
                Err(payload) => panics::report("call", &*payload, metrics),
            }
        });
    }
}

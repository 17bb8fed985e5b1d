//! Threads that compute only what others leave.

use std::future::Future;

use rustix::process::setpriority_process;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The lowest priority of a thread, as `nice` counts.
const LOWEST: i32 = 19;

/// A runtime whose threads have the lowest priority. Its tasks end when this is dropped.
#[derive(Debug)]
pub(super) struct LowPriority(Option<Runtime>);

impl LowPriority {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(|| {
                // On Linux this is the priority of the calling thread, not of its process.
                setpriority_process(None, LOWEST).expect("a lower priority");
            })
            .build();
        Self(Some(runtime.expect("a runtime")))
    }

    /// Runs a future on these threads.
    pub(super) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.as_ref().expect("a runtime").spawn(future)
    }
}

impl Drop for LowPriority {
    fn drop(&mut self) {
        // A runtime may not wait for its threads inside another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

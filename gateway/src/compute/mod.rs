//! Computations beside the async runtime: short ones run on its threads, long ones on blocking
//! threads in turns, and all stop when their request ends.
//!
//! * [`cancel`]: cancellation of a computation when its request ends.
//! * [`coop`]: cooperative yielding between short computations.
//! * `pool`: the turns of this process.

pub mod cancel;
pub mod coop;
mod pool;

use motet_runtime::flow::Flow;
use motet_runtime::status;
use motet_runtime::usage::Usage;
use tokio::runtime::{Handle, RuntimeFlavor};
use tonic::Status;
use tracing::Span;

pub use cancel::{Cancel, Cancelled};
pub use coop::CoopBudget;

use pool::POOL;

/// Most operations, of about a nanosecond each, of a computation on the async runtime: about a
/// quarter of a millisecond.
pub const INLINE_WORK_MAX: u64 = 1 << 18;

/// Returns the operations of copying or comparing `bytes` bytes.
pub const fn copying(bytes: usize) -> u64 {
    const BYTES_PER_OPERATION: u64 = 8;
    bytes as u64 / BYTES_PER_OPERATION
}

/// Returns the operations of converting `bytes` bytes of a message to or from values.
pub const fn converting(bytes: usize) -> u64 {
    const OPERATIONS_PER_BYTE: u64 = 8;
    bytes as u64 * OPERATIONS_PER_BYTE
}

/// Runs `f`, which takes about `work` operations: on this thread for at most [`INLINE_WORK_MAX`],
/// else on a blocking thread, when the turn of the request's machine comes. Dropping the future
/// sets the [`Cancel`] of `f`.
///
/// # Errors
/// INTERNAL when `f` panics on a blocking thread.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use motet_gateway::compute::compute;
///
/// let words = vec!["a"; 1_000_000];
/// let text = compute(10_000_000, move |_| words.concat()).await.unwrap();
/// assert_eq!(text.len(), 1_000_000);
/// # });
/// ```
pub async fn compute<T: Send + 'static>(
    work: u64,
    f: impl FnOnce(&Cancel) -> T + Send + 'static,
) -> Result<T, Status> {
    if work <= INLINE_WORK_MAX {
        return Ok(f(&Cancel::default()));
    }
    let (cancel, _guard) = Cancel::on_drop();
    let turn = POOL.turn(Flow::current().machine(), Usage::current()).await;
    let cancel = cancel.in_turn(turn);
    let span = Span::current();
    let task = tokio::task::spawn_blocking(move || span.in_scope(|| f(&cancel)));
    task.await
        .map_err(|_| status::internal("a computation of the gateway panicked").into())
}

/// Runs `f`, which takes about `work` operations and goes once over what it borrows, such as a
/// check of texts. For more than [`INLINE_WORK_MAX`] the other tasks of this thread go on
/// elsewhere.
pub fn compute_here<T>(work: u64, f: impl FnOnce() -> T) -> T {
    if work <= INLINE_WORK_MAX {
        return f();
    }
    // A runtime of one thread has no other to go on with.
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(f),
        _ => f(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn only_long_computations_leave_the_thread() {
        let here = thread::current().id();
        for (work, stays) in [
            (0, true),
            (INLINE_WORK_MAX, true),
            (INLINE_WORK_MAX + 1, false),
        ] {
            let there = compute(work, |_| thread::current().id()).await.unwrap();
            assert_eq!(there == here, stays, "{work} operations");
        }
    }

    #[tokio::test]
    async fn a_dropped_computation_is_cancelled() {
        let (started, has_started) = mpsc::channel();
        let (stopped, has_stopped) = mpsc::channel();
        let running = compute(u64::MAX, move |cancel| {
            started.send(()).unwrap();
            while !cancel.is_cancelled() {
                thread::yield_now();
            }
            stopped.send(()).unwrap();
        });
        let _ = tokio::time::timeout(Duration::ZERO, running).await;
        has_started.recv().unwrap();
        has_stopped.recv().unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_computation() {
        let result = compute(u64::MAX, |_| panic!("on purpose")).await;
        let status: Status = result.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal);
    }
}

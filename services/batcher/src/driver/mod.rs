//! The batcher that runs: the scheduler behind a lock, the calls that wait for answers, and a
//! thread for each executor.
//!
//! * `batcher`: the handle of a running batcher
//! * `call`: calls and their replies
//! * `executor`: the trait of a model's executor
//! * `function`: functions as executors, and calls of one row
//! * `observer`: events for metrics
//! * `error`: errors of starting a batcher
//! * `shared`: the state under the lock, as callers use it
//! * `dispatch`: the same, as executor threads use it
//! * `state`: the calls beside the scheduler, and what leaves after the lock
//! * `worker`: the thread of an executor
//! * `calibration`: timed runs before serving
//! * `sync`: the lock, which loom replaces in unit tests
//! * `loom_tests`: every interleaving of callers and executor threads

mod batcher;
mod calibration;
mod call;
mod dispatch;
mod error;
mod executor;
mod function;
#[cfg(test)]
mod loom_tests;
mod observer;
mod shared;
mod state;
mod sync;
mod worker;

pub use batcher::Batcher;
pub use calibration::measure;
pub use call::{Call, CallReply, CallTiming};
pub use error::{BuildError, SpawnError};
pub use executor::{BatchError, Executor, ExecutorFactory, RowError};
pub use function::{FnExecutor, RunError, from_fn};
pub use observer::{BatchRan, Event, NoObserver, Observer};

//! The thread of one executor: build, warm up, run batches, and rebuild after a panic or the loss
//! of a device.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::dispatch::{Assignment, RunResult};
use super::error::BuildError;
use super::executor::{Executor, ExecutorFactory};
use super::shared::Shared;
use crate::cost::Measurement;
use crate::options::Options;
use crate::scheduler::ExecutorKind;

/// Time between two looks for batches that are stuck.
const WATCH_PERIOD: Duration = Duration::from_millis(500);

/// Body of an executor thread. `ready` receives the outcome of building the executor and warming
/// it up.
pub(crate) fn run_thread<E, F>(
    shared: &Arc<Shared<E::Row, E::Output>>,
    (number, kind): (usize, ExecutorKind),
    options: &Options,
    mut factory: F,
    ready: oneshot::Sender<Result<(), BuildError>>,
) where
    E: Executor,
    F: ExecutorFactory<Executor = E>,
{
    match build(&mut factory, options) {
        Ok((executor, measurements)) => {
            // One executor is enough to learn from.
            if number == 0 && !measurements.is_empty() {
                shared.calibrate(&measurements);
            }
            let _ = ready.send(Ok(()));
            serve(shared, (number, kind), options, executor, factory);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
    shared.ended();
}

/// Body of the thread that looks for batches which are stuck; it ends with the batcher.
pub(crate) fn watch<R: Send + Sync + 'static, O: Send + 'static>(shared: &Weak<Shared<R, O>>) {
    loop {
        std::thread::sleep(WATCH_PERIOD);
        match shared.upgrade() {
            Some(shared) => shared.find_stuck(),
            None => return,
        }
    }
}

fn serve<E, F>(
    shared: &Arc<Shared<E::Row, E::Output>>,
    (number, kind): (usize, ExecutorKind),
    options: &Options,
    mut executor: E,
    mut factory: F,
) where
    E: Executor,
    F: ExecutorFactory<Executor = E>,
{
    while let Some(assignment) = shared.next_batch(kind) {
        let started = Instant::now();
        let result = run(&shared.name, number, &mut executor, &assignment);
        let crash = result.crash();
        shared.complete(assignment, started, result);
        let Some(message) = crash else { continue };
        shared.crashed(number, message);
        // The state after a panic is not trusted. Its memory is freed before the next executor
        // needs as much.
        let _ = guarded(|| drop(executor));
        match build(&mut factory, options) {
            Ok((rebuilt, _)) => executor = rebuilt,
            Err(BuildError(message)) => return shared.died(number, kind, message),
        }
    }
    let _ = guarded(|| drop(executor));
}

fn run<E: Executor>(
    name: &str,
    number: usize,
    executor: &mut E,
    assignment: &Assignment<E::Row>,
) -> RunResult<E::Output> {
    let batch = &assignment.batch;
    let span = tracing::info_span!(
        parent: None,
        "batch",
        model = name,
        executor = number,
        rows = batch.rows.len(),
        tokens = batch.tokens,
        cause = batch.cause.as_str(),
        calls = assignment.callers.len(),
    );
    if !span.is_disabled() {
        for caller in assignment.callers.values() {
            span.follows_from(&caller.span);
        }
    }
    let rows = assignment.rows();
    match span.in_scope(|| catch_unwind(AssertUnwindSafe(|| executor.run(&rows)))) {
        Ok(returned) => RunResult::Returned(returned),
        Err(panic) => RunResult::Panicked(message(&*panic)),
    }
}

/// Builds an executor and warms it up; returns the runs that it timed.
fn build<E, F>(factory: &mut F, options: &Options) -> Result<(E, Vec<Measurement>), BuildError>
where
    E: Executor,
    F: ExecutorFactory<Executor = E>,
{
    let mut executor = guarded(|| factory.build())??;
    let measurements = guarded(|| executor.warm_up(options))?;
    let measurements = measurements.map_err(|error| BuildError(error.to_string()))?;
    Ok((executor, measurements))
}

/// Runs code of the executor; a panic becomes an error.
fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, BuildError> {
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|panic| BuildError(format!("panicked: {}", message(&*panic))))
}

/// Returns the message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

//! The thread of one executor: build, measure, run, and rebuild after a panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calibration;
use super::handover::{Ended, Work};
use super::shared::Shared;
use super::{BuildError, Executor};
use crate::Options;

/// Body of an executor thread. `ready` is told once the executor is built and measured, or why it could not be.
pub(crate) fn work<E, F>(
    shared: &Arc<Shared<E::Row, E::Output>>,
    number: usize,
    options: &Options,
    mut factory: F,
    ready: oneshot::Sender<Result<(), BuildError>>,
) where
    E: Executor,
    F: FnMut() -> Result<E, BuildError>,
{
    let built = build(&mut factory).and_then(|mut executor| {
        // Every executor is warmed up; one is enough to learn from.
        let measurements = guarded(|| calibration::measure(&mut executor, options))?;
        if number == 0 && !measurements.is_empty() {
            shared.calibrate(&measurements);
        }
        Ok(executor)
    });
    match built {
        Ok(executor) => {
            let _ = ready.send(Ok(()));
            serve(shared, number, executor, factory);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
    shared.ended();
}

fn serve<E, F>(
    shared: &Arc<Shared<E::Row, E::Output>>,
    number: usize,
    mut executor: E,
    mut factory: F,
) where
    E: Executor,
    F: FnMut() -> Result<E, BuildError>,
{
    while let Some(work) = shared.next() {
        let started = Instant::now();
        match run(&shared.name, number, &mut executor, &work) {
            Ended::Panicked(message) => {
                shared.finish(work, started, Ended::Panicked(message.clone()));
                shared.crashed(number, message);
                // What a panic left behind is not trusted; its memory is freed before the next one asks for as much.
                let _ = guarded(|| drop(executor));
                match build(&mut factory) {
                    Ok(rebuilt) => executor = rebuilt,
                    Err(BuildError(message)) => return shared.died(number, message),
                }
            }
            ended => shared.finish(work, started, ended),
        }
    }
    let _ = guarded(|| drop(executor));
}

fn run<E: Executor>(
    name: &str,
    number: usize,
    executor: &mut E,
    work: &Work<E::Row>,
) -> Ended<E::Output> {
    let batch = &work.batch;
    let span = tracing::info_span!(
        parent: None,
        "batch",
        model = name,
        executor = number,
        rows = batch.rows.len(),
        tokens = batch.tokens,
        cause = batch.cause.as_str(),
        calls = work.callers.len(),
    );
    if !span.is_disabled() {
        for caller in work.callers.values() {
            span.follows_from(&caller.span);
        }
    }
    let rows = work.rows();
    match span.in_scope(|| catch_unwind(AssertUnwindSafe(|| executor.run(&rows)))) {
        Ok(returned) => Ended::Returned(returned),
        Err(panic) => Ended::Panicked(message(&*panic)),
    }
}

fn build<E, F: FnMut() -> Result<E, BuildError>>(factory: &mut F) -> Result<E, BuildError> {
    guarded(factory)?
}

/// Runs code of the model's; a panic of it is an error.
fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, BuildError> {
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|panic| BuildError(format!("panicked: {}", message(&*panic))))
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

//! The units of one worker, computed.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use motet_rows::{Pipeline, RetryPolicy};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::computing::{Computed, OfRows};
use crate::error::{BatchError, Verdict};
use crate::gate::{Gate, InFlight};
use crate::ids::Ids;
use crate::part::PartWriter;
use crate::planning::Batch;
use crate::progress::Progress;
use crate::reading::{Item, read};
use crate::status::Heartbeat;
use crate::task::Task;

/// Most rows that are read, and not written.
const ROWS_MAX: usize = 4096;

/// Options of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerOptions {
    /// Calls in flight.
    pub in_flight: InFlight,
    /// Calls a second, at most.
    pub rate: Option<f64>,
    /// Failed calls that are tried again.
    pub retry: RetryPolicy,
    /// Rows that may have errors.
    pub errors_max: ErrorsMax,
    /// Units of this worker.
    pub shard: Shard,
}

/// Number of rows of a batch that may have errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ErrorsMax {
    /// All.
    Any,
    /// This many.
    Rows(u64),
    /// This part of all rows of the batch, in percent.
    Percent(f64),
}

/// A part of the units: those whose number leaves `index` when divided by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Number of the part, from 0.
    pub index: usize,
    /// Number of parts; 1 or more.
    pub count: usize,
}

impl Shard {
    /// All units.
    pub const ALL: Self = Self { index: 0, count: 1 };

    fn has(self, unit: usize) -> bool {
        unit % self.count == self.index
    }
}

/// Outcome of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Every unit of the batch is written, by this worker or by others.
    pub is_complete: bool,
}

/// Computes the units of a worker that are not written yet, in order. `stop` ends it: the units in
/// work are given back. At an error `stop` is cancelled, so that nothing waits any longer for a
/// store; it is the one that the batch's [`Files`](crate::Files) have.
///
/// # Errors
/// A reason that ends the worker before its units are done. Those that are written stay.
pub async fn work<P: Pipeline + 'static>(
    batch: &Batch,
    pipeline: Arc<P>,
    options: &WorkerOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Outcome, BatchError> {
    let worked = units(batch, pipeline, options, progress, &stop).await;
    if worked.is_err() {
        stop.cancel();
    }
    worked
}

async fn units<P: Pipeline + 'static>(
    batch: &Batch,
    pipeline: Arc<P>,
    options: &WorkerOptions,
    progress: Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Outcome, BatchError> {
    let (folder, plan) = (&batch.folder, &batch.plan);
    let mut left = Vec::new();
    let mut errors = 0;
    let format = plan.settings.format;
    for (unit, record) in folder.settled(plan.units.len(), format)?.iter().enumerate() {
        match record {
            Some(record) => errors += record.errors,
            None if options.shard.has(unit) => left.push(unit),
            None => {}
        }
    }
    let errors_max = options.errors_max.of(plan.rows());
    too_many(errors, errors_max)?;
    progress.asked(left.len(), left.iter().map(|u| plan.units[*u].rows).sum());
    let heartbeat = Heartbeat::begin(folder, progress.clone())?;
    if !left.is_empty() && heartbeat.is_in_company(folder)? {
        // Not in step with the others: they would all compute the same unit.
        let begin = fastrand::usize(..left.len());
        left.rotate_left(begin);
    }
    let of_rows = Arc::new(OfRows {
        pipeline,
        binding: batch.binding.clone(),
        lines: batch.lines.clone(),
        errors: plan.settings.errors,
        gate: Gate::new(options.in_flight, options.rate, progress.clone()),
        retry: options.retry.clone(),
        progress: progress.clone(),
    });
    let rows = rows(batch, left, progress.clone());
    let computed = rows.map(|item| {
        // A task of its own: it begins now, and its turn to be written comes later.
        let task = item.map(|item| {
            let of_rows = of_rows.clone();
            Task::spawn(async move { of_rows.compute(item).await })
        });
        async move {
            let joined = task?.await;
            joined.map_err(|error| BatchError::try_again(format!("a row's task ended: {error}")))?
        }
    });
    let mut computed = std::pin::pin!(computed.buffered(ROWS_MAX));
    let mut writing: Option<PartWriter> = None;
    let mut ids = Ids::new();
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => {
                return Err(BatchError::stopped());
            }
            next = computed.next() => next,
        };
        let Some(row) = next else {
            break;
        };
        let row: Computed = row?;
        errors += u64::from(row.is_error);
        too_many(errors, errors_max)?;
        if row.id.is_some_and(|id| ids.is_repeated(id)) {
            progress.repeated(row.number);
        }
        let mut writer = match writing.take() {
            Some(writer) => writer,
            None => PartWriter::begin(folder, row.unit, &of_rows.lines)?,
        };
        writer.add(&row.line, &row.whole, row.is_error)?;
        if row.is_last {
            let committed = spawn_blocking(move || writer.commit()).await;
            let is_own = committed
                .map_err(|error| BatchError::try_again(format!("writing ended: {error}")))??;
            progress.written(is_own);
        } else {
            writing = Some(writer);
        }
    }
    let records = folder.records(plan.units.len(), format)?;
    let is_complete = records.iter().all(Option::is_some);
    Ok(Outcome { is_complete })
}

/// Returns the rows of units, without those that others write meanwhile.
fn rows(
    batch: &Batch,
    units: Vec<usize>,
    progress: Arc<Progress>,
) -> impl Stream<Item = Result<Item, BatchError>> + use<> {
    let plan = &batch.plan;
    let (folder, format) = (batch.folder.clone(), plan.settings.format);
    let files = folder.files().clone();
    let is_written = move |unit| {
        let is_written = folder.is_written(unit, format)?;
        if is_written {
            progress.written(false);
        }
        Ok(is_written)
    };
    let mut items = read(&files, plan, &batch.origins, units, is_written);
    stream::poll_fn(move |context| items.poll_recv(context))
}

fn too_many(errors: u64, most: Option<u64>) -> Result<(), BatchError> {
    match most {
        Some(most) if errors > most => Err(BatchError {
            verdict: Verdict::TooManyErrors,
            message: format!(
                "{errors} rows have errors, and --max-errors allows {most}; the units that are \
                 written stay"
            ),
        }),
        _ => Ok(()),
    }
}

impl ErrorsMax {
    fn of(self, rows: u64) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Rows(most) => Some(most),
            Self::Percent(percent) => Some((rows as f64 * percent / 100.0).floor() as u64),
        }
    }
}

//! State of a batch, and its workers.

use std::sync::Arc;

use serde::Serialize;

use crate::error::BatchError;
use crate::folder::Folder;
use crate::plan::Plan;
use crate::progress::{Progress, Snapshot};

/// State of a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Rows of the input.
    pub rows: u64,
    /// Rows that are written, those with errors among them.
    pub rows_written: u64,
    /// Rows that are written with an error.
    pub errors: u64,
    /// Units.
    pub units: usize,
    /// Units that are written.
    pub units_written: usize,
    /// It is finished: `_SUCCESS` is there.
    pub is_finished: bool,
    /// The workers on this machine, or on others that share the folder.
    pub workers: Vec<WorkerStatus>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Number of its process; in a bucket, behind the name of its machine.
    pub process: String,
    /// It runs; one that does not was killed.
    pub is_alive: bool,
    /// Its last note.
    pub progress: Option<Snapshot>,
}

/// Returns how far the batch of a folder is.
///
/// # Errors
/// A folder without a plan, or one that cannot be read.
pub fn status(folder: &Folder) -> Result<Status, BatchError> {
    let plan = Plan::of(folder)?;
    let mut status = Status {
        pipeline: plan.pipeline.name.clone(),
        rows: plan.rows(),
        rows_written: 0,
        errors: 0,
        units: plan.units.len(),
        units_written: 0,
        is_finished: folder.is_finished()?,
        workers: Vec::new(),
    };
    let records = folder.records(plan.units.len(), plan.settings.format)?;
    for record in records.into_iter().flatten() {
        status.units_written += 1;
        status.rows_written += record.rows;
        status.errors += record.errors;
    }
    for note in folder.notes()? {
        status.workers.push(WorkerStatus {
            process: note.process,
            is_alive: note.is_alive,
            // One that is being written just now cannot be read.
            progress: serde_json::from_slice(&note.text).ok(),
        });
    }
    Ok(status)
}

/// Notes that say how far a worker is, as long as it lives.
pub(crate) struct Heartbeat {
    _noting: Box<dyn Send>,
}

impl Heartbeat {
    /// Begins to note the progress of a worker.
    pub(crate) fn begin(folder: &Folder, progress: Arc<Progress>) -> Result<Self, BatchError> {
        let text = move || serde_json::to_vec(&progress.snapshot()).unwrap_or_default();
        let noting = folder.note(Box::new(text))?;
        Ok(Self { _noting: noting })
    }

    /// Returns whether other workers live.
    pub(crate) fn is_in_company(&self, folder: &Folder) -> Result<bool, BatchError> {
        let notes = folder.notes()?;
        Ok(notes.iter().filter(|note| note.is_alive).count() > 1)
    }
}

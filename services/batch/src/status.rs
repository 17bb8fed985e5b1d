//! State of a batch, and its workers.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::BatchError;
use crate::folder::Folder;
use crate::part::Record;
use crate::plan::Plan;
use crate::progress::{Progress, Snapshot};
use crate::task::Task;
use crate::temporary::{self, Temporary};

/// The beginning of the names of workers' files.
const WORKER: &str = "worker";
/// Time between two notes of a worker.
const EVERY: Duration = Duration::from_secs(1);

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
    /// The workers on this machine, or on others that share the folder and its locks.
    pub workers: Vec<WorkerStatus>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Number of its process.
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
        is_finished: folder.success().exists(),
        workers: Vec::new(),
    };
    for unit in 0..plan.units.len() {
        if let Some(record) = Record::of(folder, unit, plan.settings.format)? {
            status.units_written += 1;
            status.rows_written += record.rows;
            status.errors += record.errors;
        }
    }
    for (path, is_alive) in workers(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let note = std::fs::read(&path).unwrap_or_default();
        status.workers.push(WorkerStatus {
            process: name.split('.').nth(1).unwrap_or_default().to_owned(),
            is_alive,
            // One that is being written just now cannot be read.
            progress: serde_json::from_slice(&note).ok(),
        });
    }
    Ok(status)
}

/// Returns the files of workers, each with whether its worker lives.
fn workers(folder: &Folder) -> Vec<(PathBuf, bool)> {
    let files = temporary::list(&folder.temporary()).unwrap_or_default();
    let is_worker = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(WORKER)
    };
    files
        .into_iter()
        .filter(|(path, _)| is_worker(path))
        .collect()
}

/// A file that says how far a worker is, as long as it lives.
pub(crate) struct Heartbeat {
    _noting: Task<()>,
}

impl Heartbeat {
    /// Begins to note the progress of a worker.
    pub(crate) fn begin(folder: &Folder, progress: Arc<Progress>) -> Result<Self, BatchError> {
        let file = Temporary::create(&folder.temporary(), WORKER)?;
        let noting = Task::spawn(async move {
            loop {
                // A note that cannot be written is missed by nobody who computes.
                let _ = note(&file, &progress.snapshot());
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { _noting: noting })
    }

    /// Returns whether other workers live.
    pub(crate) fn is_in_company(&self, folder: &Folder) -> bool {
        workers(folder)
            .iter()
            .filter(|(_, is_alive)| *is_alive)
            .count()
            > 1
    }
}

fn note(file: &Temporary, snapshot: &Snapshot) -> std::io::Result<()> {
    let text = serde_json::to_vec(snapshot)?;
    let mut file = file.file();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

//! Rows of units, read ahead of what is computed, within a number of bytes.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::BatchError;
use crate::files::{Digest, Files, InputFile};
use crate::input::{InputRow, Origin, RowReader};
use crate::plan::{Input, Plan};
#[cfg(feature = "postgres")]
use crate::postgres::UnitRows;

/// Most bytes of rows that are read, but not written yet.
const BYTES: usize = 24 << 20;
/// Bytes that one permit stands for.
const PERMIT_BYTES: usize = 1 << 10;
/// Most rows that are read, but not computed yet.
const ROWS_AHEAD: usize = 64;

/// A row of a unit.
pub(crate) struct Item {
    /// Index of the unit.
    pub(crate) unit: usize,
    /// Number of the row in the batch.
    pub(crate) number: u64,
    /// It is the unit's last.
    pub(crate) is_last: bool,
    /// The row.
    pub(crate) row: InputRow,
    /// Its bytes, given back when this is dropped.
    pub(crate) held: OwnedSemaphorePermit,
}

/// Reads the rows of these units, on a thread of its own, in order, but for those that `is_written`
/// when it comes to them. Files are compared with the plan before their first row, the rows of a
/// query before the last of their unit.
pub(crate) fn read(
    files: &Files,
    plan: &Plan,
    origins: &[Origin],
    units: Vec<usize>,
    is_written: impl Fn(usize) -> Result<bool, BatchError> + Send + 'static,
) -> Receiver<Result<Item, BatchError>> {
    let (sender, receiver) = channel(ROWS_AHEAD);
    let (files, plan, handle) = (files.clone(), plan.clone(), Handle::current());
    let origins = origins.to_vec();
    // Dropping the receiver ends it.
    handle.clone().spawn_blocking(move || {
        let mut reading = Reading {
            bytes: Arc::new(Semaphore::new(BYTES / PERMIT_BYTES)),
            files,
            plan,
            origins,
            sender: sender.clone(),
            handle,
            open: None,
        };
        if let Err(error) = reading.units(&units, is_written) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

struct Reading {
    files: Files,
    plan: Plan,
    /// The inputs, in the order of the plan.
    origins: Vec<Origin>,
    sender: Sender<Result<Item, BatchError>>,
    handle: Handle,
    bytes: Arc<Semaphore>,
    open: Option<Open>,
}

/// An input that is read.
enum Open {
    /// The file with this index, as it was found, and its reader.
    File(usize, InputFile, RowReader),
    /// A unit of a query.
    #[cfg(feature = "postgres")]
    Query(UnitRows),
}

impl Reading {
    fn units(
        &mut self,
        units: &[usize],
        is_written: impl Fn(usize) -> Result<bool, BatchError>,
    ) -> Result<(), BatchError> {
        let before: Vec<u64> = self
            .plan
            .inputs
            .iter()
            .scan(0, |sum, input| {
                let before = *sum;
                *sum += input.rows;
                Some(before)
            })
            .collect();
        for &index in units {
            if is_written(index)? {
                continue;
            }
            self.go_to(index)?;
            let unit = self.plan.units[index].clone();
            for at in 0..unit.rows {
                let row = match &mut self.open {
                    None => return Ok(()),
                    Some(Open::File(_, _, reader)) => reader.next()?.ok_or_else(|| {
                        let path = &self.plan.inputs[unit.input].path;
                        BatchError::cannot(format!("{path} has lost rows since it was read"))
                    })?,
                    #[cfg(feature = "postgres")]
                    Some(Open::Query(rows)) => rows.next(unit.first + at)?,
                };
                let held = self.held(row.bytes);
                let Some(held) = held else {
                    return Ok(());
                };
                let item = Item {
                    unit: index,
                    number: before[unit.input] + unit.first + at,
                    is_last: at + 1 == unit.rows,
                    row,
                    held,
                };
                if self.sender.blocking_send(Ok(item)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Opens the input of a unit, or goes on in it, up to the unit's first row.
    fn go_to(&mut self, index: usize) -> Result<(), BatchError> {
        let unit = &self.plan.units[index];
        let found = match &self.origins[unit.input] {
            Origin::File(found, _) => found,
            #[cfg(feature = "postgres")]
            Origin::Query(query) => {
                let keys = unit.keys.clone().ok_or_else(|| {
                    let path = &self.plan.inputs[unit.input].path;
                    BatchError::cannot(format!("the plan has no keys of {path}: it is damaged"))
                })?;
                let rows = UnitRows::new(query, unit.rows, keys);
                self.open = Some(Open::Query(rows));
                return Ok(());
            }
        };
        let input = &self.plan.inputs[unit.input];
        let file = match &mut self.open {
            Some(Open::File(open, file, reader)) if *open == unit.input => {
                let is_ahead = reader.number() <= unit.first;
                if reader.number() == unit.first || (is_ahead && !reader.is_seekable()) {
                    return reader.skip_to(unit.first);
                }
                file.clone()
            }
            _ => unchanged(&self.files, found.path(), input)?,
        };
        let reader = RowReader::open_at(&file, input.format, unit.first, unit.place)?;
        self.open = Some(Open::File(unit.input, file, reader));
        Ok(())
    }

    /// Waits until there is room for a row. `None` at the end of the worker.
    fn held(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = bytes.div_ceil(PERMIT_BYTES).clamp(1, BYTES / PERMIT_BYTES);
        let room = self.bytes.clone().acquire_many_owned(permits as u32);
        let closed = self.sender.closed();
        self.handle.block_on(async {
            tokio::select! {
                held = room => held.ok(),
                () = closed => None,
            }
        })
    }
}

/// Returns the file of an input, which must be what it was when it was planned.
fn unchanged(files: &Files, path: &Path, input: &Input) -> Result<InputFile, BatchError> {
    let file = InputFile::find(files, path)?;
    let (bytes, digest) = file.identity()?;
    if (bytes, &digest) == (input.bytes, &input.digest) {
        return Ok(file);
    }
    let shown = |digest: &Digest| match digest {
        Digest::Sha256(digest) => format!("SHA-256 {digest}"),
        Digest::Etag(tag) => format!("ETag {tag}"),
    };
    Err(BatchError::cannot(format!(
        "{} changed since it was planned: it has {bytes} bytes with {}, not {} with {}",
        input.path,
        shown(&digest),
        input.bytes,
        shown(&input.digest)
    )))
}

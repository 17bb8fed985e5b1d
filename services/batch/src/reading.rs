//! Rows of units, read ahead of what is computed, within a number of bytes.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::BatchError;
use crate::input::{InputRow, RowReader};
use crate::plan::{Plan, digest};

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
/// when it comes to them. Files are compared with the plan before their first row.
pub(crate) fn read(
    plan: &Plan,
    units: Vec<usize>,
    is_written: impl Fn(usize) -> bool + Send + 'static,
) -> Receiver<Result<Item, BatchError>> {
    let (sender, receiver) = channel(ROWS_AHEAD);
    let (plan, handle) = (plan.clone(), Handle::current());
    // Dropping the receiver ends it.
    handle.clone().spawn_blocking(move || {
        let mut reading = Reading {
            bytes: Arc::new(Semaphore::new(BYTES / PERMIT_BYTES)),
            plan,
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
    plan: Plan,
    sender: Sender<Result<Item, BatchError>>,
    handle: Handle,
    bytes: Arc<Semaphore>,
    /// The file that is open, and its reader.
    open: Option<(usize, RowReader)>,
}

impl Reading {
    fn units(
        &mut self,
        units: &[usize],
        is_written: impl Fn(usize) -> bool,
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
            if is_written(index) {
                continue;
            }
            let unit = self.plan.units[index];
            self.go_to(index)?;
            for at in 0..unit.rows {
                let Some((_, reader)) = &mut self.open else {
                    return Ok(());
                };
                let path = || &self.plan.inputs[unit.input].path;
                let row = reader.next()?.ok_or_else(|| {
                    BatchError::cannot(format!("{} has lost rows since it was read", path()))
                })?;
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

    /// Opens the file of a unit, or goes on in it, up to the unit's first row.
    fn go_to(&mut self, index: usize) -> Result<(), BatchError> {
        let unit = self.plan.units[index];
        let input = &self.plan.inputs[unit.input];
        let path = PathBuf::from(&input.path);
        if let Some((open, reader)) = &mut self.open
            && *open == unit.input
        {
            let is_ahead = reader.number() <= unit.first;
            if reader.number() == unit.first || (is_ahead && !reader.is_seekable()) {
                return reader.skip_to(unit.first);
            }
        } else {
            let (bytes, sha256) = digest(&path)?;
            if (bytes, &sha256) != (input.bytes, &input.sha256) {
                return Err(BatchError::cannot(format!(
                    "{} changed since it was planned: it has {bytes} bytes with SHA-256 {sha256}, \
                     not {} with {}",
                    input.path, input.bytes, input.sha256
                )));
            }
        }
        let reader = RowReader::open_at(&path, input.format, unit.first, unit.place)?;
        self.open = Some((unit.input, reader));
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

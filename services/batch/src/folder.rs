//! The folder of a batch.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BatchError;
use crate::files::{
    Files, Note, NoteText, OwnPaths, Place, Record, Staged, UnitPaths, Unwritten, json, read_json,
};
#[cfg(feature = "postgres")]
use crate::output::Lines;
use crate::settings::OutputFormat;

/// The folder of a batch: parts with answers, and in `_motet` the plan and what workers need.
#[derive(Debug, Clone)]
pub struct Folder {
    files: Files,
    place: Arc<dyn Place>,
    path: PathBuf,
}

impl Folder {
    /// Returns the folder at a path: of a disk, of a bucket (`s3://BUCKET/FOLDER`), or the table of
    /// a database in its place (`postgres://USER@HOST/DATABASE?table=NAME`).
    ///
    /// # Errors
    /// A name of an object without a bucket; a store that cannot be one, by its variables of the
    /// environment.
    pub fn new(files: &Files, path: impl Into<PathBuf>) -> Result<Self, BatchError> {
        let (place, path) = files.folder(path.into())?;
        Ok(Self {
            files: files.clone(),
            place,
            path,
        })
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the means by which it is reached, and inputs are.
    pub(crate) const fn files(&self) -> &Files {
        &self.files
    }

    /// Makes it, where it is not there, and removes what killed workers have left.
    pub(crate) fn open(&self) -> Result<(), BatchError> {
        for folder in [self.temporary(), self.records_folder()] {
            self.place.make(&folder)?;
        }
        self.sweep(false)
    }

    /// Makes the table of answers, where they go to one, or compares it with their columns.
    ///
    /// # Errors
    /// Every column that does not fit.
    #[cfg(feature = "postgres")]
    pub(crate) fn declare(&self, lines: &mut Lines) -> Result<(), BatchError> {
        let table = self.place.declare(&lines.typed(), lines.has_gaps())?;
        lines.go_to(table);
        Ok(())
    }

    /// Returns how many rows a table has with a number from each of these up to the next one;
    /// `None` for a folder, whose files have digests.
    pub(crate) fn rows_from(&self, firsts: &[u64]) -> Result<Option<Vec<u64>>, BatchError> {
        self.place.rows_from(firsts)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.path.join("_motet").join(name)
    }

    /// Returns the folder of files that are not yet.
    fn temporary(&self) -> PathBuf {
        self.own("tmp")
    }

    /// Returns the path of the plan.
    pub(crate) fn plan(&self) -> PathBuf {
        self.own("plan.json")
    }

    /// Returns the path of standard input, as it was kept.
    pub(crate) fn stdin(&self) -> PathBuf {
        self.own("stdin")
    }

    fn records_folder(&self) -> PathBuf {
        self.own("units")
    }

    /// Returns the names of the files of a unit.
    pub(crate) fn unit(&self, unit: usize, format: OutputFormat) -> UnitPaths {
        let extension = format.extension();
        UnitPaths {
            part: self.path.join(format!("part-{unit:05}.{extension}")),
            errors: self.errors(unit),
            record: self.records_folder().join(format!("{unit:05}.json")),
        }
    }

    /// Returns the path of the rows with errors of a unit.
    pub(crate) fn errors(&self, unit: usize) -> PathBuf {
        self.path.join(errors_name(unit))
    }

    /// Returns the path of what is written when all is done.
    pub(crate) fn success(&self) -> PathBuf {
        self.path.join("_SUCCESS")
    }

    /// Returns the names of its files, without those in `_motet`.
    pub(crate) fn names(&self) -> Result<BTreeSet<String>, BatchError> {
        self.place.names(&self.path)
    }

    /// Returns the units of which there are files of rows with errors.
    pub(crate) fn with_errors(&self, units: usize) -> Result<Vec<usize>, BatchError> {
        let names = self.names()?;
        let units = (0..units).filter(|unit| names.contains(&errors_name(*unit)));
        Ok(units.collect())
    }

    /// Returns whether it is finished.
    pub(crate) fn is_finished(&self) -> Result<bool, BatchError> {
        Ok(self.place.about(&self.success())?.is_some())
    }

    /// Returns whether a unit is written.
    pub(crate) fn is_written(&self, unit: usize, format: OutputFormat) -> Result<bool, BatchError> {
        self.place.is_written(&self.unit(unit, format))
    }

    /// Returns the records of this many units, of those that are written.
    pub(crate) fn records(
        &self,
        units: usize,
        format: OutputFormat,
    ) -> Result<Vec<Option<Record>>, BatchError> {
        self.place.records(&self.units(units, format))
    }

    /// As [`records`](Self::records), and does what killed workers have left to do.
    pub(crate) fn settled(
        &self,
        units: usize,
        format: OutputFormat,
    ) -> Result<Vec<Option<Record>>, BatchError> {
        let units = self.units(units, format);
        let records = self.place.records(&units)?;
        for (unit, record) in units.iter().zip(&records) {
            if let Some(record) = record {
                self.place.settle(unit, record)?;
            }
        }
        Ok(records)
    }

    fn units(&self, units: usize, format: OutputFormat) -> Vec<UnitPaths> {
        (0..units).map(|unit| self.unit(unit, format)).collect()
    }

    /// Begins a file that has no name yet.
    pub(crate) fn stage(&self, name: &str) -> Result<Box<dyn Staged>, BatchError> {
        self.place.stage(&self.temporary(), name)
    }

    /// Gives a file its name, in the place of a file that has it.
    pub(crate) fn rename(&self, staged: Box<dyn Staged>, to: &Path) -> Result<(), BatchError> {
        self.place.rename(staged, to)
    }

    /// Gives the files of a unit their names: all of them, or none. Returns `false` where another
    /// worker did so before.
    pub(crate) fn commit(&self, unit: Unwritten) -> Result<bool, BatchError> {
        let own = OwnPaths {
            temporary: self.temporary(),
            lock: self.own("lock"),
        };
        self.place.commit(&own, unit)
    }

    /// Writes a file of JSON, unless there is one: then returns `false`.
    pub(crate) fn create<T: Serialize>(&self, path: &Path, value: &T) -> Result<bool, BatchError> {
        let bytes = json(path, value)?;
        self.place.create(&self.temporary(), path, &bytes)
    }

    /// Reads a file of JSON; `None` if there is none.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, BatchError> {
        read_json(&*self.place, path)
    }

    /// Writes notes of this worker, again and again, until the return value is dropped.
    pub(crate) fn note(&self, text: NoteText) -> Result<Box<dyn Send>, BatchError> {
        self.place.note(&self.temporary(), text)
    }

    /// Returns the last notes of workers.
    pub(crate) fn notes(&self) -> Result<Vec<Note>, BatchError> {
        self.place.notes(&self.temporary())
    }

    /// Removes what killed workers have left.
    pub(crate) fn sweep(&self, is_over: bool) -> Result<(), BatchError> {
        self.place.sweep(&self.temporary(), is_over)
    }
}

fn errors_name(unit: usize) -> String {
    format!("errors-{unit:05}.jsonl")
}

//! Places of files: disks, and buckets of object stores. Everything else of a batch reads
//! and writes them by [`Place`], and does not know which.
//!
//! * `disk`: files of this machine, and `temporary`, those that have no names yet.
//! * `store`: objects of S3 and Google Cloud Storage; `noting`: notes of workers where no process
//!   is known.
//! * `input`: a file that is read; `json`: small ones of JSON; `unit`: those of a unit.

mod disk;
mod input;
mod json;
#[cfg(any(feature = "postgres", feature = "stores"))]
pub(crate) mod noting;
#[cfg(feature = "stores")]
mod store;
mod temporary;
mod unit;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use input::{Digest, FileBytes, InputFile};
#[cfg(feature = "postgres")]
pub(crate) use json::parsed;
pub(crate) use json::{json, read_json};
#[cfg(feature = "postgres")]
pub(crate) use temporary::{stage_here, sweep_here};
pub(crate) use unit::{OwnPaths, Record, UnitPaths, Unwritten};

use crate::database::is_database;
use crate::error::BatchError;

/// Beginnings of the names of objects.
const SCHEMES: [&str; 2] = ["s3://", "gs://"];

/// Means of reaching files. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Files {
    #[cfg(feature = "stores")]
    stores: store::Stores,
    #[cfg(feature = "postgres")]
    postgres: crate::postgres::Servers,
}

impl Files {
    /// Returns means of reaching files. A store or database that is away is asked again for
    /// `retry_for`; `stop` ends whatever waits for one.
    pub fn new(retry_for: Duration, stop: CancellationToken) -> Self {
        #[cfg(any(feature = "postgres", feature = "stores"))]
        let requests = Arc::new(crate::waiting::Requests::new(stop));
        #[cfg(not(any(feature = "postgres", feature = "stores")))]
        drop((retry_for, stop));
        Self {
            #[cfg(feature = "stores")]
            stores: store::Stores::new(retry_for, requests.clone()),
            #[cfg(feature = "postgres")]
            postgres: crate::postgres::Servers::new(retry_for, requests),
        }
    }

    /// Returns the databases that are reached.
    #[cfg(feature = "postgres")]
    pub(crate) const fn postgres(&self) -> &crate::postgres::Servers {
        &self.postgres
    }

    /// Returns the place of a folder, and its path there, which has no password.
    ///
    /// # Errors
    /// As those of [`place`](Self::place).
    pub(crate) fn folder(&self, path: PathBuf) -> Result<(Arc<dyn Place>, PathBuf), BatchError> {
        #[cfg(feature = "postgres")]
        if is_database(&path) {
            let table = self.postgres.table(&path)?;
            let path = PathBuf::from(table.address());
            return Ok((table, path));
        }
        Ok((self.place(&path)?, path))
    }

    /// Returns whether a name is that of a file in a table of answers, not of a database.
    pub(crate) fn is_in_table(&self, path: &Path) -> bool {
        #[cfg(feature = "postgres")]
        return self.postgres.known(path).is_some();
        #[cfg(not(feature = "postgres"))]
        {
            let _ = path;
            false
        }
    }

    /// Returns the place of a file.
    ///
    /// # Errors
    /// A name of an object that has no bucket; a store that cannot be one, by its variables of the
    /// environment.
    pub(crate) fn place(&self, path: &Path) -> Result<Arc<dyn Place>, BatchError> {
        #[cfg(feature = "postgres")]
        if is_database(path) {
            return Ok(self.postgres.table(path)?);
        }
        #[cfg(not(feature = "postgres"))]
        if is_database(path) {
            let (name, absent) = (path.to_string_lossy(), crate::database::ABSENT);
            let name = crate::database::shown(&name);
            return Err(BatchError::cannot(format!("{name}: {absent}")));
        }
        match is_object(path) {
            false => Ok(Arc::new(disk::Disk)),
            #[cfg(feature = "stores")]
            true => self.stores.bucket(path),
            #[cfg(not(feature = "stores"))]
            true => Err(BatchError::cannot(format!(
                "{}: this build has no object stores: build motet with its feature `stores`",
                path.display()
            ))),
        }
    }
}

/// Returns whether a name is that of an object, or of some of them.
pub(crate) fn is_object(path: &Path) -> bool {
    let name = path.to_str().unwrap_or_default();
    SCHEMES.iter().any(|scheme| name.starts_with(scheme))
}

/// Facts about a file that are known without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) bytes: u64,
    /// The tag that a store gives to each version of an object.
    pub(crate) version: Option<String>,
}

/// A note of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// The worker's process.
    pub(crate) process: String,
    /// It was noted a short while ago, or its worker is known to run.
    pub(crate) is_alive: bool,
    pub(crate) text: Vec<u8>,
}

/// Text of a worker's notes, at the moment when it is called.
pub(crate) type NoteText = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

/// A file being written, which has no name yet. It is gone when this is dropped, at the latest when
/// the batch is finished.
pub(crate) trait Staged: Write + Send {
    /// Returns its place until it has a name.
    fn path(&self) -> &Path;

    /// Makes what was written last.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self) -> Result<(), BatchError>;
}

/// A place that keeps files: a disk, or a bucket. Paths are whole names.
pub(crate) trait Place: Debug + Send + Sync {
    /// Returns what is known of a file; `None` if there is none.
    fn about(&self, path: &Path) -> Result<Option<About>, BatchError>;

    /// Returns the bytes of a file of this version from one on.
    fn reader(
        &self,
        path: &Path,
        version: Option<&str>,
        from: u64,
    ) -> io::Result<Box<dyn Read + Send>>;

    /// Returns some bytes of a file of this version, fewer at its end.
    #[cfg(feature = "parquet")]
    fn range(
        &self,
        path: &Path,
        version: Option<&str>,
        from: u64,
        bytes: usize,
    ) -> io::Result<Vec<u8>> {
        let mut read = Vec::with_capacity(bytes);
        let reader = self.reader(path, version, from)?;
        reader.take(bytes as u64).read_to_end(&mut read)?;
        Ok(read)
    }

    /// Returns a small file; `None` if there is none.
    fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, BatchError>;

    /// Returns the names of the files in a folder, without those of folders in it.
    fn names(&self, folder: &Path) -> Result<BTreeSet<String>, BatchError>;

    /// Returns the files that fit a pattern, in alphabetical order.
    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, BatchError>;

    /// Makes a folder, where folders are made.
    fn make(&self, folder: &Path) -> Result<(), BatchError>;

    /// Writes a small file, unless there is one: then returns `false`. One with the same bytes may
    /// count as this one. `temporary` is the folder of files that have no names.
    fn create(&self, temporary: &Path, path: &Path, bytes: &[u8]) -> Result<bool, BatchError>;

    /// Begins a file that has no name yet. `name` begins the one that it has until then.
    fn stage(&self, temporary: &Path, name: &str) -> Result<Box<dyn Staged>, BatchError>;

    /// Gives a file its name, in the place of a file that has it.
    fn rename(&self, staged: Box<dyn Staged>, to: &Path) -> Result<(), BatchError>;

    /// Returns whether a unit is written.
    fn is_written(&self, unit: &UnitPaths) -> Result<bool, BatchError>;

    /// Returns the records of units of one folder, of those that are written.
    fn records(&self, units: &[UnitPaths]) -> Result<Vec<Option<Record>>, BatchError>;

    /// Gives the files of a unit their names, all of them or none; returns `false` where another
    /// worker did so before.
    fn commit(&self, own: &OwnPaths, unit: Unwritten) -> Result<bool, BatchError>;

    /// Makes the table of answers with these columns, or compares it with them; returns its
    /// columns. `has_gaps` says that some rows have no outputs. None, where answers are files.
    #[cfg(feature = "postgres")]
    fn declare(
        &self,
        _: &[(String, crate::columns::Node)],
        _has_gaps: bool,
    ) -> Result<crate::postgres::TableColumns, BatchError> {
        Ok(crate::postgres::TableColumns::default())
    }

    /// Returns how many rows there are with a number from each of these up to the next one; `None`
    /// where answers are files.
    fn rows_from(&self, _: &[u64]) -> Result<Option<Vec<u64>>, BatchError> {
        Ok(None)
    }

    /// Does what a worker that was killed has left to do of a unit that is written. Nothing, where
    /// files get their names at once.
    fn settle(&self, _unit: &UnitPaths, _record: &Record) -> Result<(), BatchError> {
        Ok(())
    }

    /// Writes notes of this process, again and again, until the return value is dropped.
    fn note(&self, temporary: &Path, text: NoteText) -> Result<Box<dyn Send>, BatchError>;

    /// Returns the last notes of workers.
    fn notes(&self, temporary: &Path) -> Result<Vec<Note>, BatchError>;

    /// Removes what workers have left that were killed. Where that cannot be told from what living
    /// ones still need, it stays until the batch `is_over`.
    fn sweep(&self, temporary: &Path, is_over: bool) -> Result<(), BatchError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_a_file_is() {
        for (name, expected) in [
            ("s3://bucket/rows.jsonl", true),
            ("gs://bucket", true),
            ("s3:/bucket/rows.jsonl", false),
            ("rows/s3://bucket", false),
            ("rows.jsonl", false),
        ] {
            assert_eq!(is_object(Path::new(name)), expected, "{name}");
        }
    }
}

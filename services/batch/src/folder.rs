//! The folder of a batch.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BatchError;
use crate::settings::OutputFormat;
use crate::temporary::{self, Temporary};

/// The folder of a batch: parts with answers, and in `_motet` the plan and what workers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// Returns the folder at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, where it is not there, and removes what killed workers have left.
    pub(crate) fn open(&self) -> Result<(), BatchError> {
        for folder in [self.temporary(), self.own("units")] {
            fs::create_dir_all(&folder).map_err(|error| BatchError::writing(&folder, &error))?;
        }
        temporary::sweep(&self.temporary())
    }

    fn own(&self, name: &str) -> PathBuf {
        self.0.join("_motet").join(name)
    }

    /// Returns the folder of files that are not yet.
    pub(crate) fn temporary(&self) -> PathBuf {
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

    /// Returns the path of the record of a unit.
    pub(crate) fn record(&self, unit: usize) -> PathBuf {
        self.own("units").join(format!("{unit:05}.json"))
    }

    /// Returns the path of the answers of a unit.
    pub(crate) fn part(&self, unit: usize, format: OutputFormat) -> PathBuf {
        let extension = format.extension();
        self.0.join(format!("part-{unit:05}.{extension}"))
    }

    /// Returns the path of the rows with errors of a unit.
    pub(crate) fn errors(&self, unit: usize) -> PathBuf {
        self.0.join(format!("errors-{unit:05}.jsonl"))
    }

    /// Returns the path of what is written when all is done.
    pub(crate) fn success(&self) -> PathBuf {
        self.0.join("_SUCCESS")
    }

    /// Returns whether there are parts.
    pub(crate) fn has_parts(&self) -> bool {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().starts_with("part-"))
    }

    /// Waits until no other worker commits a unit, and keeps others from it until the return value
    /// is dropped.
    pub(crate) fn lock(&self) -> Result<File, BatchError> {
        let path = self.own("lock");
        let locked = || {
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        locked().map_err(|error| BatchError::writing(&path, &error))
    }

    /// Returns a temporary file with `value` in JSON.
    pub(crate) fn json<T: Serialize>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<Temporary, BatchError> {
        let temporary = Temporary::create(&self.temporary(), name)?;
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|error| BatchError::cannot(format!("{name} cannot be written: {error}")))?;
        text.push('\n');
        std::io::Write::write_all(&mut temporary.file(), text.as_bytes())
            .map_err(|error| BatchError::writing(&self.0, &error))?;
        Ok(temporary)
    }
}

/// Reads a file of JSON; `None` if there is none.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, BatchError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| BatchError::reading(path, &error))?,
    };
    let read = serde_json::from_slice(&text);
    read.map(Some)
        .map_err(|error| BatchError::cannot(format!("{} is damaged: {error}", path.display())))
}

//! Files of this machine, or of one that shares its folders.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::temporary::{self, Temporary};
use super::{
    About, Note, NoteText, OwnPaths, Place, Record, Staged, UnitPaths, Unwritten, json, read_json,
};
use crate::error::BatchError;
use crate::task::Task;

/// The beginning of the names of workers' files.
const WORKER: &str = "worker";
/// Time between two notes of a worker.
const EVERY: Duration = Duration::from_secs(1);

/// The disks of this machine.
#[derive(Debug)]
pub(super) struct Disk;

impl Place for Disk {
    fn about(&self, path: &Path) -> Result<Option<About>, BatchError> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found
                .map(|found| {
                    Some(About {
                        bytes: found.len(),
                        version: None,
                    })
                })
                .map_err(|error| BatchError::reading(path, &error)),
        }
    }

    fn reader(&self, path: &Path, _: Option<&str>, from: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Box::new(file))
    }

    fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, BatchError> {
        match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read
                .map(Some)
                .map_err(|error| BatchError::reading(path, &error)),
        }
    }

    fn names(&self, folder: &Path) -> Result<BTreeSet<String>, BatchError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(|error| BatchError::reading(folder, &error))?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let entry = entry.map_err(|error| BatchError::reading(folder, &error))?;
            if !entry.path().is_dir() {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, BatchError> {
        let paths = glob::glob(pattern)
            .map_err(|error| BatchError::cannot(format!("`{pattern}` is no pattern: {error}")))?;
        let paths: Result<Vec<PathBuf>, _> = paths.collect();
        let paths = paths.map_err(|error| BatchError::reading(error.path(), error.error()))?;
        Ok(paths.into_iter().filter(|path| !path.is_dir()).collect())
    }

    fn make(&self, folder: &Path) -> Result<(), BatchError> {
        fs::create_dir_all(folder).map_err(|error| BatchError::writing(folder, &error))
    }

    fn create(&self, temporary: &Path, path: &Path, bytes: &[u8]) -> Result<bool, BatchError> {
        with(temporary, path, bytes)?.link(path)
    }

    fn stage(&self, temporary: &Path, name: &str) -> Result<Box<dyn Staged>, BatchError> {
        Ok(Box::new(Temporary::create(temporary, name)?))
    }

    fn rename(&self, mut staged: Box<dyn Staged>, to: &Path) -> Result<(), BatchError> {
        staged.finish()?;
        temporary::rename(staged.path(), to)
    }

    fn is_written(&self, unit: &UnitPaths) -> Result<bool, BatchError> {
        Ok(unit.part.exists())
    }

    fn records(&self, units: &[UnitPaths]) -> Result<Vec<Option<Record>>, BatchError> {
        let record = |unit: &UnitPaths| {
            // The part is what counts: the record comes before it.
            if !unit.part.exists() {
                return Ok(None);
            }
            let record = read_json(self, &unit.record)?;
            record.map(Some).ok_or_else(|| {
                BatchError::cannot(format!(
                    "{} is missing, but its part is there",
                    unit.record.display()
                ))
            })
        };
        units.iter().map(record).collect()
    }

    fn commit(&self, own: &OwnPaths, unit: Unwritten) -> Result<bool, BatchError> {
        let Unwritten {
            paths,
            mut part,
            errors,
            record,
        } = unit;
        part.finish()?;
        let _others_wait = lock(&own.lock)?;
        if paths.part.exists() {
            return Ok(false);
        }
        match errors {
            Some(errors) => self.rename(errors, &paths.errors)?,
            // One that was killed before its part had a name.
            None => match fs::remove_file(&paths.errors) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(BatchError::writing(&paths.errors, &error));
                }
                _ => {}
            },
        }
        let text = json(&paths.record, &record)?;
        let record = with(&own.temporary, &paths.record, &text)?;
        self.rename(Box::new(record), &paths.record)?;
        temporary::link(part.path(), &paths.part)
    }

    fn note(&self, temporary: &Path, text: NoteText) -> Result<Box<dyn Send>, BatchError> {
        let file = Temporary::create(temporary, WORKER)?;
        let noting = Task::spawn(async move {
            loop {
                // A note that cannot be written is missed by nobody who computes.
                let _ = file.set(&text());
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Box::new(noting))
    }

    fn notes(&self, temporary: &Path) -> Result<Vec<Note>, BatchError> {
        let files = temporary::list(temporary, "").unwrap_or_default();
        let note = |(path, is_alive): (PathBuf, bool)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut words = name.split('.');
            (words.next() == Some(WORKER)).then(|| Note {
                process: words.next().unwrap_or_default().to_owned(),
                is_alive,
                text: fs::read(&path).unwrap_or_default(),
            })
        };
        Ok(files.into_iter().filter_map(note).collect())
    }

    fn sweep(&self, temporary: &Path, _: bool) -> Result<(), BatchError> {
        temporary::sweep(temporary)
    }
}

/// Returns a file with these bytes, which will have the name `path`.
fn with(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<Temporary, BatchError> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut file = Temporary::create(temporary, &name)?;
    file.write_all(bytes)
        .map_err(|error| BatchError::writing(path, &error))?;
    Ok(file)
}

/// Waits until no other worker commits a unit, and keeps others from it until the return value is
/// dropped.
fn lock(path: &Path) -> Result<File, BatchError> {
    let locked = || {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|error| BatchError::writing(path, &error))
}

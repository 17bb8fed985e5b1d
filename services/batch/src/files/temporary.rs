//! Files that are not yet what they will be, and files that last as long as a worker.
//!
//! Each is locked by its process. So one that a killed process has left is known, and removed by
//! the next one that looks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Staged;
use crate::error::BatchError;

/// Bytes that are written at once.
const PIECE: usize = 256 << 10;

/// A file that is removed when this is dropped, unless it was given a name of its own.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Temporary {
    /// Creates an empty file in `folder`. `name` begins its name.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(super) fn create(folder: &Path, name: &str) -> Result<Self, BatchError> {
        Self::create_by(folder, name, &mut OpenOptions::new())
    }

    fn create_by(folder: &Path, name: &str, options: &mut OpenOptions) -> Result<Self, BatchError> {
        options.read(true).write(true).create_new(true);
        loop {
            let number = fastrand::u64(..);
            let path = folder.join(format!("{name}.{}.{number:016x}", std::process::id()));
            let created = options.open(&path).and_then(|file| {
                file.lock()?;
                Ok(file)
            });
            let file = created.map_err(|error| BatchError::writing(&path, &error))?;
            // Whoever looked between the two saw a file without an owner, and removed it.
            if path.exists() {
                let writer = BufWriter::with_capacity(PIECE, file);
                return Ok(Self { path, writer });
            }
        }
    }

    /// Gives it the name `to`, unless there is a file that has it: then returns `false`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn link(mut self, to: &Path) -> Result<bool, BatchError> {
        self.finish()?;
        link(&self.path, to)
    }

    /// Writes this in the place of what it has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn set(&self, text: &[u8]) -> io::Result<()> {
        let mut file = self.writer.get_ref();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text)?;
        file.set_len(text.len() as u64)
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Staged for Temporary {
    fn path(&self) -> &Path {
        &self.path
    }

    fn finish(&mut self) -> Result<(), BatchError> {
        let finished = self.writer.flush();
        let finished = finished.and_then(|()| self.writer.get_ref().sync_all());
        finished.map_err(|error| BatchError::writing(&self.path, &error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A file that stays is removed by the next process that looks.
        let _ = fs::remove_file(&self.path);
    }
}

/// Gives a file the name `to`, in the place of a file that has it.
///
/// # Errors
/// When it cannot be written.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), BatchError> {
    let named = fs::rename(from, to).and_then(|()| sync_folder(to));
    named.map_err(|error| BatchError::writing(to, &error))
}

/// Gives a file another name, unless there is a file that has it: then returns `false`.
///
/// # Errors
/// When it cannot be written.
pub(super) fn link(from: &Path, to: &Path) -> Result<bool, BatchError> {
    let named = || {
        match fs::hard_link(from, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            linked => linked?,
        }
        sync_folder(to)?;
        Ok(true)
    };
    named().map_err(|error| BatchError::writing(to, &error))
}

/// Makes the name of a new file last.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Returns the files of `folder` whose names begin so, each with whether the process that made it
/// still runs.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn list(folder: &Path, name: &str) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(name) {
            continue;
        }
        let path = entry.path();
        let is_owned = match File::open(&path) {
            Ok(file) => file.try_lock().is_err(),
            // It is gone meanwhile.
            Err(_) => continue,
        };
        found.push((path, is_owned));
    }
    found.sort();
    Ok(found)
}

/// Creates an empty file among the temporary ones of this machine, which only this user may read.
///
/// # Errors
/// When it cannot be created.
#[cfg(feature = "postgres")]
pub(crate) fn stage_here(name: &str) -> Result<Box<dyn Staged>, BatchError> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = Temporary::create_by(&std::env::temp_dir(), name, &mut options)?;
    Ok(Box::new(file))
}

/// Removes the files that [`stage_here`] has made with names that begin so, of processes that have
/// ended.
///
/// # Errors
/// When the folder cannot be read.
#[cfg(feature = "postgres")]
pub(crate) fn sweep_here(name: &str) -> Result<(), BatchError> {
    sweep_some(&std::env::temp_dir(), &format!("{name}."))
}

/// Removes the files of processes that have ended.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn sweep(folder: &Path) -> Result<(), BatchError> {
    sweep_some(folder, "")
}

/// As [`sweep`], of files whose names begin so.
fn sweep_some(folder: &Path, name: &str) -> Result<(), BatchError> {
    let files = list(folder, name).map_err(|error| BatchError::reading(folder, &error))?;
    for (path, is_owned) in files {
        if !is_owned {
            // Another worker may have been faster.
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_of_a_name_stays() {
        let folder = std::env::temp_dir().join(format!("motet-temporary-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("tmp")).unwrap();
        let (tmp, part) = (folder.join("tmp"), folder.join("part"));
        let with = |text: &str| {
            let mut temporary = Temporary::create(&tmp, "part").unwrap();
            temporary.write_all(text.as_bytes()).unwrap();
            temporary
        };
        let (first, second, mut third) = (with("first"), with("second"), with("third"));
        assert!(
            list(&tmp, "")
                .unwrap()
                .iter()
                .all(|(_, is_owned)| *is_owned)
        );
        sweep(&tmp).unwrap();
        assert_eq!(list(&tmp, "").unwrap().len(), 3);
        assert!(first.link(&part).unwrap());
        assert!(!second.link(&part).unwrap());
        assert_eq!(fs::read_to_string(&part).unwrap(), "first");
        third.finish().unwrap();
        rename(third.path(), &part).unwrap();
        drop(third);
        assert_eq!(fs::read_to_string(&part).unwrap(), "third");
        fs::write(tmp.join("left"), "").unwrap();
        sweep(&tmp).unwrap();
        assert_eq!(list(&tmp, "").unwrap(), []);
        fs::remove_dir_all(&folder).unwrap();
    }
}

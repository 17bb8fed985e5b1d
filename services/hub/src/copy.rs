//! [`copy()`]: a snapshot as a plain folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::hub::Snapshot;

/// Copies the files of a snapshot into a folder, for a machine that has neither the cache nor a
/// network. Files that are there with the same size and were not changed since stay.
///
/// # Errors
/// The file that cannot be written, and why.
pub fn copy(snapshot: &Snapshot, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    for path in &snapshot.files {
        let (from, to) = (snapshot.folder.join(path), folder.join(path));
        let failed = |error| (to.clone(), error);
        let of = fs::metadata(&from).map_err(|error| (from.clone(), error))?;
        let is_there = fs::metadata(&to).is_ok_and(|there| {
            let newer = there.modified().ok() >= of.modified().ok();
            there.is_file() && there.len() == of.len() && newer
        });
        if is_there {
            continue;
        }
        to.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(failed)?;
        let part = to.with_extension("incomplete");
        fs::copy(&from, &part)
            .and_then(|_| fs::rename(&part, &to))
            .map_err(|error| {
                // Half a copy is of no use.
                let _ = fs::remove_file(&part);
                failed(error)
            })?;
    }
    Ok(())
}

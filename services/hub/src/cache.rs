//! The cache of repositories, in the layout that other programs share:
//!
//! ```text
//! models--ORG--NAME/refs/main                   the commit of a branch or tag
//! models--ORG--NAME/blobs/DIGEST                content, by the entity tag
//! models--ORG--NAME/snapshots/COMMIT/PATH       a link to a blob
//! models--ORG--NAME/trees/COMMIT.json           the listing of a commit
//! models--ORG--NAME/.no_exist/COMMIT/PATH       a file that was asked for and is not there
//! .locks/models--ORG--NAME/DIGEST.lock          held while a blob is written
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use motet_config::files::{self, FileError};

use crate::listing::Listing;
use crate::name::{Repository, is_commit};

/// Most bytes of a listing.
const LISTING_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of the file of a branch.
const REFERENCE_BYTES_MAX: u64 = 1 << 10;
/// Most bytes of a file that says which others belong to a model.
const SETTINGS_BYTES_MAX: u64 = 64 << 20;

/// The folder of one repository in the cache.
#[derive(Clone, Debug)]
pub(crate) struct CachedRepository {
    folder: PathBuf,
    locks: PathBuf,
}

impl CachedRepository {
    pub(crate) fn new(cache: &Path, repository: &Repository) -> Self {
        let name = repository.folder();
        Self {
            folder: cache.join(&name),
            locks: cache.join(".locks").join(name),
        }
    }

    /// Returns the commit of a revision, as it was last asked for.
    pub(crate) fn commit(&self, repository: &Repository) -> Option<String> {
        if let Some(commit) = repository.commit() {
            return Some(commit.to_owned());
        }
        let path = self.folder.join("refs").join(repository.revision());
        let commit = files::read_text(&path, REFERENCE_BYTES_MAX).ok()?;
        let commit = commit.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// Returns the folder of the files of a commit.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(crate) fn blob(&self, digits: &str) -> PathBuf {
        self.folder.join("blobs").join(digits)
    }

    /// Returns the content of a small file of a commit, if it is there.
    pub(crate) fn read(&self, commit: &str, path: &str) -> Option<Vec<u8>> {
        files::read(&self.snapshot(commit).join(path), SETTINGS_BYTES_MAX).ok()
    }

    pub(crate) fn listing(&self, commit: &str) -> Option<Listing> {
        let bytes = files::read(&self.listing_path(commit), LISTING_BYTES_MAX).ok()?;
        Listing::from_json(&bytes)
    }

    fn listing_path(&self, commit: &str) -> PathBuf {
        self.folder.join("trees").join(format!("{commit}.json"))
    }

    /// Returns the paths of the files of a commit that are there.
    pub(crate) fn paths(&self, commit: &str) -> BTreeSet<String> {
        paths_in(&self.snapshot(commit))
    }

    /// Returns whether a program that asked for this file learnt that there is none.
    pub(crate) fn is_known_absent(&self, commit: &str, path: &str) -> bool {
        self.folder
            .join(".no_exist")
            .join(commit)
            .join(path)
            .exists()
    }
}

/// Writing.
impl CachedRepository {
    /// Keeps the commit of a branch or tag.
    pub(crate) fn keep_commit(&self, repository: &Repository, commit: &str) -> io::Result<()> {
        if repository.commit().is_some() || self.commit(repository).as_deref() == Some(commit) {
            return Ok(());
        }
        write(
            &self.folder.join("refs").join(repository.revision()),
            commit.as_bytes(),
        )
    }

    pub(crate) fn keep_listing(&self, commit: &str, listing: &Listing) -> io::Result<()> {
        write(
            &self.listing_path(commit),
            &serde_json::to_vec_pretty(listing)?,
        )
    }

    /// Locks a blob for this process, which others wait for. `wait` is called if another process
    /// has it.
    pub(crate) fn lock(&self, digits: &str, wait: impl FnOnce()) -> io::Result<BlobLock> {
        fs::create_dir_all(&self.locks)?;
        let path = self.locks.join(format!("{digits}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                wait();
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(BlobLock { _file: file })
    }

    /// Returns the path of a blob that is not whole.
    pub(crate) fn part(&self, digits: &str) -> io::Result<PathBuf> {
        let path = self.blob(digits);
        create_parent(&path)?;
        Ok(path.with_file_name(format!("{digits}.incomplete")))
    }

    /// Makes a file of a commit of a blob.
    pub(crate) fn link(&self, commit: &str, path: &str, digits: &str) -> io::Result<()> {
        let place = self.snapshot(commit).join(path);
        create_parent(&place)?;
        let temporary = temporary(&place);
        // Out of the folders of the path, of the commit and of the snapshots.
        let up = "../".repeat(path.split('/').count() + 1);
        let target = format!("{up}blobs/{digits}");
        #[cfg(unix)]
        std::os::unix::fs::symlink(target, &temporary)?;
        #[cfg(not(unix))]
        {
            let _ = target;
            fs::copy(self.blob(digits), &temporary)?;
        }
        fs::rename(&temporary, &place)
    }
}

/// A blob that no other process writes. The lock ends with it.
#[derive(Debug)]
pub(crate) struct BlobLock {
    _file: File,
}

/// Returns the paths of all files in a folder, with slashes. Links are followed.
pub(crate) fn paths_in(folder: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut folders = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = format!("{prefix}{name}");
            match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => {
                    paths.insert(path);
                }
                // Modules lie in folders of the model's, or in one of these.
                Ok(metadata) if metadata.is_dir() && depth < 3 && !name.starts_with('.') => {
                    folders.push((entry.path(), format!("{path}/"), depth + 1));
                }
                _ => {}
            }
        }
    }
    paths
}

/// Reads a small file of a folder, if it is there.
pub(crate) fn read_in(folder: &Path, path: &str) -> Option<Vec<u8>> {
    let read: Result<_, FileError> = files::read(&folder.join(path), SETTINGS_BYTES_MAX);
    read.ok()
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_parent(path)?;
    let temporary = temporary(path);
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Returns a path beside another that no other process writes.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = fastrand::u64(..);
    path.with_file_name(format!(".{name}.{number:016x}.tmp"))
}

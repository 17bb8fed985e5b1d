//! [`DigestCache`]: SHA-256 of large files, computed once for as long as they do not change.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use motet_config::files;
use serde::{Deserialize, Serialize};

use crate::cache::write;
use crate::digest::sha256;

/// Smallest file that is worth an entry.
const CACHED_BYTES_MIN: u64 = 1 << 20;
/// Most bytes of the cache's file.
const CACHE_BYTES_MAX: u64 = 16 << 20;
/// Most entries; more are those of files that are gone.
const ENTRIES_MAX: usize = 10_000;

/// The digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Bytes.
    pub size: u64,
    /// SHA-256, as lower-case hexadecimal digits.
    pub sha256: String,
}

/// Digests of large files by path, size and time of the last change, kept from one run to the next.
#[derive(Debug, Default)]
pub struct DigestCache {
    path: Option<PathBuf>,
    entries: BTreeMap<PathBuf, Entry>,
    is_changed: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    size: u64,
    modified_ns: u64,
    inode: u64,
    sha256: String,
}

impl DigestCache {
    /// Opens the cache of this user: `motet/digests.json` in `XDG_CACHE_HOME`, or in `~/.cache`. A
    /// file that cannot be used is as if it were not there.
    pub fn of_user() -> Self {
        let caches = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
        let home = || std::env::home_dir().map(|home| home.join(".cache"));
        let folder = caches.map(PathBuf::from).or_else(home);
        folder.map_or_else(Self::default, |folder| {
            Self::open(folder.join("motet").join("digests.json"))
        })
    }

    /// Opens a cache at a path.
    pub fn open(path: PathBuf) -> Self {
        let bytes = files::read(&path, CACHE_BYTES_MAX).ok();
        let entries = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            path: Some(path),
            entries: entries.unwrap_or_default(),
            is_changed: false,
        }
    }

    /// Returns the digest of a file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn digest(&mut self, path: &Path) -> io::Result<FileDigest> {
        // A link's target, so that files of one blob are one.
        let path = fs::canonicalize(path)?;
        let now = Entry::of(&fs::metadata(&path)?, String::new());
        let size = now.size;
        if let Some(known) = self.entries.get(&path)
            && (known.size, known.modified_ns, known.inode)
                == (now.size, now.modified_ns, now.inode)
        {
            let sha256 = known.sha256.clone();
            return Ok(FileDigest { size, sha256 });
        }
        let sha256 = sha256(&path)?;
        // A file that changed while it was read has another time by now, and is not remembered.
        let then = Entry::of(&fs::metadata(&path)?, String::new());
        if size >= CACHED_BYTES_MIN && now == then && self.entries.len() < ENTRIES_MAX {
            let sha256 = sha256.clone();
            self.entries.insert(path, Entry { sha256, ..now });
            self.is_changed = true;
        }
        Ok(FileDigest { size, sha256 })
    }
}

impl Drop for DigestCache {
    /// Keeps what was computed. Without room or rights for it, it is computed again the next time.
    fn drop(&mut self) {
        if let (true, Some(path)) = (self.is_changed, &self.path) {
            let text = serde_json::to_vec(&self.entries).unwrap_or_default();
            let _ = write(path, &text);
        }
    }
}

impl Entry {
    fn of(metadata: &Metadata, sha256: String) -> Self {
        let modified = metadata.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            size: metadata.len(),
            modified_ns: modified.map_or(0, |time| time.as_nanos() as u64),
            inode: inode(metadata),
            sha256,
        }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_computed_again_when_the_file_changes() {
        let folder = std::env::temp_dir().join(format!("motet-digests-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, cache) = (folder.join("weights"), folder.join("cache/digests.json"));
        let digest = |content: &[u8]| {
            fs::write(&file, content).unwrap();
            DigestCache::open(cache.clone()).digest(&file).unwrap()
        };
        let large = vec![1; CACHED_BYTES_MIN as usize];
        let first = digest(&large);
        assert_eq!(first.size, CACHED_BYTES_MIN);
        assert_eq!(first.sha256, sha256(&file).unwrap());
        // From the cache: the entry is what is believed.
        let text = fs::read_to_string(&cache).unwrap();
        fs::write(&cache, text.replace(&first.sha256, "of the cache")).unwrap();
        let known = DigestCache::open(cache.clone()).digest(&file).unwrap();
        assert_eq!(known.sha256, "of the cache");
        let mut other = large.clone();
        other[7] = 2;
        let changed = digest(&other);
        assert_eq!(changed.sha256, sha256(&file).unwrap());
        fs::write(&cache, "{").unwrap();
        assert_eq!(digest(b"small").sha256, sha256(&file).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }
}

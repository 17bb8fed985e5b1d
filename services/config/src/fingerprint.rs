//! [`Fingerprint`]: which files are in a folder, and which version of each, without reading them.

use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Folders below the first one in which files are looked at.
const DEPTH_MAX: usize = 3;
/// Most files that are looked at.
const FILES_MAX: usize = 10_000;

/// The files of a folder, or one file: each by its name inside the folder, its size, the time of
/// its last change and, where the system has them, its device and number. A link counts as the file
/// that it leads to, so folders of links to the same files are equal. Cheap to clone.
///
/// ```
/// use motet_config::Fingerprint;
///
/// let folder = std::env::temp_dir().join(format!("motet-fingerprint-{}", std::process::id()));
/// std::fs::create_dir_all(folder.join("inner"))?;
/// std::fs::write(folder.join("inner/a"), "1")?;
/// let before = Fingerprint::of(&folder);
/// assert_eq!(Fingerprint::of(&folder), before);
/// std::fs::write(folder.join("inner/a"), "22")?;
/// assert_ne!(Fingerprint::of(&folder), before);
/// std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(Arc<[FileVersion]>);

/// A version of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct FileVersion {
    name: String,
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: u128,
    /// Device and number of the file on it.
    place: (u64, u64),
}

impl Fingerprint {
    /// Looks at a folder or a file. What cannot be looked at counts as not there.
    pub fn of(path: &Path) -> Self {
        let mut files = Vec::new();
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => look(path, "", DEPTH_MAX, &mut files),
            Ok(found) => files.push(FileVersion::of(String::new(), &found)),
            Err(_) => {}
        }
        files.sort();
        Self(files.into())
    }

    /// Returns whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FileVersion {
    fn of(name: String, found: &Metadata) -> Self {
        let changed = found.modified().ok();
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            name,
            bytes: found.len(),
            changed: changed.unwrap_or_default().as_nanos(),
            place: place(found),
        }
    }
}

#[cfg(unix)]
fn place(found: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn place(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// Looks at the files of a folder, whose names get `prefix`.
fn look(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<FileVersion>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if files.len() >= FILES_MAX {
            return;
        }
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() && depth > 0 => {
                look(&path, &format!("{name}/"), depth - 1, files);
            }
            Ok(found) if found.is_file() => files.push(FileVersion::of(name, &found)),
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("motet-fingerprint-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn every_change_of_a_file_changes_the_fingerprint() {
        let folder = folder("changes");
        let file = folder.join("a");
        assert!(Fingerprint::of(&folder).is_empty() && Fingerprint::of(&file).is_empty());
        let mut seen = vec![Fingerprint::default()];
        let mut changed = || {
            let now = Fingerprint::of(&folder);
            assert!(!seen.contains(&now), "{now:?}");
            seen.push(now);
        };
        std::fs::write(&file, "a").unwrap();
        changed();
        std::fs::write(&file, "longer").unwrap();
        changed();
        let other = folder.join("other");
        std::fs::write(&other, "longer").unwrap();
        changed();
        std::fs::remove_file(&file).unwrap();
        changed();
        std::fs::rename(&other, &file).unwrap();
        changed();
        assert!(!Fingerprint::of(&file).is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn folders_of_links_to_the_same_files_are_equal() {
        let (real, links) = (folder("real"), folder("links"));
        std::fs::write(real.join("a"), "a").unwrap();
        std::os::unix::fs::symlink(real.join("a"), links.join("a")).unwrap();
        assert_eq!(Fingerprint::of(&real), Fingerprint::of(&links));
        // A link that leads nowhere, and one to the folder that it is in.
        std::os::unix::fs::symlink("nowhere", links.join("b")).unwrap();
        std::os::unix::fs::symlink(".", links.join("same")).unwrap();
        assert_ne!(Fingerprint::of(&links), Fingerprint::default());
        std::fs::remove_dir_all(&real).unwrap();
        std::fs::remove_dir_all(&links).unwrap();
    }
}

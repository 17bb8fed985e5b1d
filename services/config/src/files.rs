//! Bounded reads of files that a user names: the one way in which motet reads one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// A file that was not read. The text is the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("no such file")]
    Missing,
    /// This user may not read it.
    #[error("permission denied")]
    Denied,
    /// A folder.
    #[error("it is a folder")]
    Folder,
    /// A pipe, a socket or a device, which may have no end and may never begin.
    #[error("it is no regular file but a pipe, a socket or a device")]
    NotRegular,
    /// A file over the limit.
    #[error("it has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes, or the limit and one more if it grew while it was read.
        bytes: u64,
        /// The most bytes.
        limit: u64,
    },
    /// Another error of the system.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::IsADirectory => Self::Folder,
            _ => Self::Io(error),
        }
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// When it is none, is larger, or cannot be read.
///
/// ```
/// use motet_config::files::{FileError, read};
///
/// let path = std::env::temp_dir().join(format!("motet-files-{}", std::process::id()));
/// std::fs::write(&path, "12345")?;
/// assert_eq!(read(&path, 5).unwrap(), b"12345");
/// assert!(matches!(read(&path, 4), Err(FileError::TooLarge { bytes: 5, limit: 4 })));
/// std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    let too_large = |bytes| FileError::TooLarge { bytes, limit };
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match read as u64 > limit {
        true => Err(too_large(read as u64)),
        false => Ok(bytes),
    }
}

/// Reads a regular file of at most `limit` bytes as text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    let bytes = read(path, limit)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let why = format!("it is not UTF-8 text (byte {at} is where it stops being so)");
        FileError::Io(io::Error::new(io::ErrorKind::InvalidData, why))
    })
}

/// Opens a regular file to be read.
///
/// # Errors
/// When it is none or cannot be opened.
pub fn open(path: &Path) -> Result<File, FileError> {
    // Before it is opened, since that alone can act on a device.
    check(&std::fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A pipe that took the place of the file meanwhile would wait for a writer.
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(flags.cast_signed());
    }
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &std::fs::Metadata) -> Result<(), FileError> {
    match metadata.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(FileError::Folder),
        _ => Err(FileError::NotRegular),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_none_makes_it_wait() {
        let folder = std::env::temp_dir().join(format!("motet-kinds-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let reason = |path: &Path| read(path, 10).unwrap_err().to_string();
        assert_eq!(reason(&folder), "it is a folder");
        assert_eq!(reason(&folder.join("none")), "no such file");
        #[cfg(unix)]
        {
            let irregular = "it is no regular file but a pipe, a socket or a device";
            let socket = folder.join("socket");
            let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            let link = folder.join("link");
            std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
            for path in [Path::new("/dev/zero"), &link, &socket] {
                assert_eq!(reason(path), irregular, "{}", path.display());
            }
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            let pipe = folder.join("pipe");
            mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
            assert_eq!(
                reason(&pipe),
                "it is no regular file but a pipe, a socket or a device"
            );
        }
        let file = folder.join("file");
        std::fs::write(&file, [b'a'; 11]).unwrap();
        assert_eq!(reason(&file), "it has 11 bytes, more than the limit of 10");
        std::fs::write(&file, b"caf\xe9").unwrap();
        let why = read_text(&file, 10).unwrap_err().to_string();
        assert_eq!(
            why,
            "it is not UTF-8 text (byte 3 is where it stops being so)"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

//! A file that is read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{About, Files, Place};
use crate::error::BatchError;
use crate::hash::hex;

/// Bytes that are read at once for a digest.
const PIECE: usize = 256 << 10;

/// Identity of what a file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Digest {
    /// SHA-256 of all bytes, in hexadecimal.
    Sha256(String),
    /// Tag that a store gives to each version of an object. It is another one after every write,
    /// perhaps even of the same bytes.
    Etag(String),
}

/// A file that is read: its place, and what it was like when it was found. Another version of an
/// object is not read in its place.
#[derive(Debug, Clone)]
pub(crate) struct InputFile {
    place: Arc<dyn Place>,
    path: PathBuf,
    about: About,
    /// The end of a place's patience, which decoders on the way would make another error of.
    failed: Arc<OnceLock<BatchError>>,
}

/// The bytes of a file, as they are read.
pub(crate) struct FileBytes {
    reader: Box<dyn Read + Send>,
    failed: Arc<OnceLock<BatchError>>,
}

impl InputFile {
    /// Finds a file.
    ///
    /// # Errors
    /// When there is none, or its place cannot be asked.
    pub(crate) fn find(files: &Files, path: &Path) -> Result<Self, BatchError> {
        let place = files.place(path)?;
        let about = place.about(path)?.ok_or_else(|| {
            BatchError::cannot(format!(
                "{} cannot be read: it is not there",
                path.display()
            ))
        })?;
        Ok(Self {
            place,
            path: path.to_owned(),
            about,
            failed: Arc::default(),
        })
    }

    /// Returns its name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its size.
    pub(crate) const fn bytes(&self) -> u64 {
        self.about.bytes
    }

    /// Returns the tag of its version, where its place gives one.
    pub(crate) fn etag(&self) -> Option<Digest> {
        self.about.version.clone().map(Digest::Etag)
    }

    /// Returns its bytes from one on.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn reader(&self, from: u64) -> io::Result<FileBytes> {
        let reader = self.place.reader(&self.path, self.version(), from);
        Ok(FileBytes {
            reader: reader.inspect_err(|error| keep(error, &self.failed))?,
            failed: self.failed.clone(),
        })
    }

    /// Returns some of its bytes, fewer at its end.
    ///
    /// # Errors
    /// When they cannot be read.
    #[cfg(feature = "parquet")]
    pub(crate) fn range(&self, from: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let read = self.place.range(&self.path, self.version(), from, bytes);
        read.inspect_err(|error| keep(error, &self.failed))
    }

    fn version(&self) -> Option<&str> {
        self.about.version.as_deref()
    }

    /// Returns its size and identity. Files whose place gives no tags are read for that.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn identity(&self) -> Result<(u64, Digest), BatchError> {
        if let Some(etag) = self.etag() {
            return Ok((self.bytes(), etag));
        }
        let (bytes, sha256) = self.digest()?;
        Ok((bytes, Digest::Sha256(sha256)))
    }

    /// Returns the SHA-256 of all of it.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn sha256(&self) -> Result<String, BatchError> {
        Ok(self.digest()?.1)
    }

    fn digest(&self) -> Result<(u64, String), BatchError> {
        let read = || {
            let (mut digest, mut bytes) = (Sha256::new(), 0);
            let mut reader = self.reader(0)?;
            let mut piece = vec![0; PIECE];
            loop {
                match reader.read(&mut piece) {
                    Ok(0) => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => {
                        let read = read?;
                        bytes += read as u64;
                        digest.update(&piece[..read]);
                    }
                }
            }
            io::Result::Ok((bytes, digest))
        };
        let (bytes, digest) = read().map_err(|error| BatchError::reading(&self.path, &error))?;
        Ok((bytes, hex(digest)))
    }

    /// Returns the error of a file that cannot be read on after a line or row. 0 is its beginning.
    pub(crate) fn broken(&self, line: u64, cause: &io::Error) -> BatchError {
        if let Some(failed) = self.failed.get() {
            return failed.clone();
        }
        let path = self.path.display();
        match cause.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other => {
                let place = match line {
                    0 => "at its beginning".to_owned(),
                    line => format!("after line or row {line}"),
                };
                BatchError::cannot(format!("{path} is broken {place}: {cause}"))
            }
            _ => BatchError::reading(&self.path, cause),
        }
    }
}

impl Read for FileBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf);
        read.inspect_err(|error| keep(error, &self.failed))
    }
}

/// Keeps the error of a place.
fn keep(error: &io::Error, failed: &OnceLock<BatchError>) {
    if let Some(error) = BatchError::within(error) {
        let _ = failed.set(error);
    }
}

//! [`ModelFolder`]: the files of a model.

use std::path::{Path, PathBuf};

use motet_config::files::{self, FileError};
use serde::de::DeserializeOwned;

use super::Weights;

/// Largest file that is not weights.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A folder with the files of a model.
#[derive(Clone, Debug)]
pub struct ModelFolder(PathBuf);

/// A file of a model that cannot be used. The message is one line with the file's path.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there, or cannot be read.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: FileError,
    },
    /// It is not what it should be.
    #[error("{path}: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl ModelFolder {
    /// Returns the folder at a path.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self(path)),
            Ok(_) => Err(FolderError::Content {
                path,
                reason: "it is no folder".to_owned(),
            }),
            Err(error) => Err(FolderError::File {
                path,
                cause: error.into(),
            }),
        }
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads a file of at most 64 MiB.
    ///
    /// # Errors
    /// If it is not there, is larger, or cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let path = self.0.join(name);
        files::read(&path, FILE_BYTES_MAX).map_err(|cause| FolderError::File { path, cause })
    }

    /// Reads a JSON file.
    ///
    /// # Errors
    /// As [`read`](Self::read), and if it is no JSON of this form.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, FolderError> {
        let bytes = self.read(name)?;
        serde_json::from_slice(&bytes).map_err(|error| FolderError::Content {
            path: self.0.join(name),
            reason: error.to_string(),
        })
    }

    /// Opens the weights: `model.safetensors`, the files that `model.safetensors.index.json` lists,
    /// or the only file with this ending. Reads their headers.
    ///
    /// # Errors
    /// If there are none, or several without an index, or one of them is no safetensors file.
    pub fn weights(&self) -> Result<Weights, FolderError> {
        Weights::open(&self.0)
    }
}

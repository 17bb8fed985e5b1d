//! Typed access to the JSON files of one model, with errors that name the file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::Source;
use crate::error::LoadError;

/// Returns the content of a file, or `None` where there is no such file.
pub(crate) type ReadFile<'a> = dyn Fn(&str) -> Result<Option<Cow<'static, [u8]>>, LoadError> + 'a;

/// Returns whether a file is the pointer that git LFS leaves in the place of a large file.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.")
}

/// Shapes of the tensors of a model's weights, by their names.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// Returns the shapes of the weights, by their headers.
pub(crate) type ReadShapes<'a> = dyn Fn() -> Result<Shapes, LoadError> + 'a;

/// The JSON files of a model, and what its weights say of themselves.
pub(crate) struct JsonFiles<'a> {
    pub(crate) model: &'a Source,
    pub(crate) read: &'a ReadFile<'a>,
    pub(crate) shapes: &'a ReadShapes<'a>,
}

impl JsonFiles<'_> {
    /// Returns the shapes of the weights: what some families do not say elsewhere.
    ///
    /// # Errors
    /// Weights that are missing, or whose headers cannot be read.
    pub(crate) fn shapes(&self) -> Result<Shapes, LoadError> {
        (self.shapes)()
    }

    /// Returns a file's value.
    pub(crate) fn required<T: DeserializeOwned>(&self, file: &str) -> Result<T, LoadError> {
        self.optional(file)?.ok_or_else(|| LoadError::FileMissing {
            model: self.model.clone(),
            file: file.to_owned(),
        })
    }

    /// Returns a file's value, or `None` where there is no such file.
    pub(crate) fn optional<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, LoadError> {
        let Some(bytes) = (self.read)(file)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes).map_err(|cause| {
            let (model, file) = (self.model.clone(), file.to_owned());
            match is_lfs_pointer(&bytes) {
                true => LoadError::LfsPointer { model, file },
                false => LoadError::BadJson { model, file, cause },
            }
        })?;
        Ok(Some(value))
    }

    /// Returns the error of a value that is not supported.
    pub(crate) fn unsupported(&self, file: &str, reason: impl Into<String>) -> LoadError {
        LoadError::Unsupported {
            model: self.model.clone(),
            file: file.to_owned(),
            reason: reason.into(),
        }
    }
}

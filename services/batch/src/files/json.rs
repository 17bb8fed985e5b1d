//! Small files of JSON.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Place;
use crate::error::BatchError;

/// Returns a value as the text of a file.
///
/// # Errors
/// None that a program meets.
pub(crate) fn json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, BatchError> {
    let text = serde_json::to_vec_pretty(value);
    let mut text = text.map_err(|error| {
        BatchError::cannot(format!("{} cannot be written: {error}", path.display()))
    })?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a file of JSON; `None` if there is none.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub(crate) fn read_json<T: DeserializeOwned>(
    place: &dyn Place,
    path: &Path,
) -> Result<Option<T>, BatchError> {
    let text = place.bytes(path)?;
    text.map(|text| parsed(path, &text)).transpose()
}

/// Reads the text of a file of JSON.
///
/// # Errors
/// A file that is damaged.
pub(crate) fn parsed<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, BatchError> {
    let read = serde_json::from_slice(text);
    read.map_err(|error| BatchError::cannot(format!("{} is damaged: {error}", path.display())))
}

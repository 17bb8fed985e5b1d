//! One safetensors file: its header, and its bytes.

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo};

use super::convert::Element;
use crate::error::LoadError;
use crate::source::{PIECE, Source, WeightBytes, is_lfs_pointer};

/// Bytes before the header, which say how many it has.
const LENGTH_BYTES: usize = 8;
/// Bytes of a file that say whether it is one of another kind.
const START_BYTES: u64 = 64;
/// Most bytes of a header, as the format has it.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// A file whose header was read.
pub(super) struct WeightsFile {
    name: String,
    bytes: WeightBytes,
    header: Metadata,
    /// Bytes before the first tensor.
    data_start: u64,
}

impl WeightsFile {
    pub(super) fn open(model: &Source, name: &str, bytes: WeightBytes) -> Result<Self, LoadError> {
        let (header, data_start) = read_header(&bytes).map_err(|error| match error {
            HeaderError::Io(cause) => unreadable(model, name, cause),
            HeaderError::Corrupt(_) if is_lfs_pointer(&start(&bytes)) => LoadError::LfsPointer {
                model: model.clone(),
                file: name.to_owned(),
            },
            HeaderError::Corrupt(reason) => LoadError::CorruptWeights {
                model: model.clone(),
                file: name.to_owned(),
                bytes: bytes.len(),
                reason,
            },
        })?;
        Ok(Self {
            name: name.to_owned(),
            bytes,
            header,
            data_start,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = (String, TensorInfo)> {
        let tensors = self.header.tensors().into_iter();
        tensors.map(|(name, info)| (name, info.clone()))
    }

    pub(super) fn info(&self, tensor: &str) -> Option<TensorInfo> {
        self.header.info(tensor).cloned()
    }

    /// Reads elements of tensors from byte `start` on as f32, as many as `values` has, piece by
    /// piece.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(
        &self,
        model: &Source,
        start: usize,
        element: Element,
        values: &mut [f32],
    ) -> Result<(), LoadError> {
        let start = self.data_start + start as u64;
        let bytes = values.len() * element.size();
        let mut pieces = values.chunks_mut(PIECE / element.size());
        let read = self.bytes.for_each_piece(start, bytes, |piece| {
            if let Some(values) = pieces.next() {
                element.to_f32(piece, values);
            }
        });
        read.map_err(|cause| unreadable(model, &self.name, cause))
    }
}

enum HeaderError {
    Io(std::io::Error),
    Corrupt(String),
}

impl From<std::io::Error> for HeaderError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SafeTensorError> for HeaderError {
    fn from(error: SafeTensorError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Returns the header, and the number of bytes before the first tensor.
fn read_header(bytes: &WeightBytes) -> Result<(Metadata, u64), HeaderError> {
    let size = bytes.len();
    if size < LENGTH_BYTES as u64 {
        return Err(SafeTensorError::HeaderTooSmall.into());
    }
    let length = u64::from_le_bytes(read(bytes, 0, LENGTH_BYTES)?.try_into().unwrap_or_default());
    if length > HEADER_BYTES_MAX {
        return Err(SafeTensorError::HeaderTooLarge.into());
    }
    let data_start = LENGTH_BYTES as u64 + length;
    if data_start > size {
        return Err(SafeTensorError::InvalidHeaderLength.into());
    }
    let header = read(bytes, LENGTH_BYTES as u64, length as usize)?;
    // Parsing also checks that shapes, element types and offsets go together.
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|error| HeaderError::Corrupt(format!("its header: {error}")))?;
    if data_start + header.data_len() as u64 != size {
        return Err(SafeTensorError::MetadataIncompleteBuffer.into());
    }
    Ok((header, data_start))
}

/// Returns the first bytes of a file, as far as they can be read.
fn start(bytes: &WeightBytes) -> Vec<u8> {
    read(bytes, 0, bytes.len().min(START_BYTES) as usize).unwrap_or_default()
}

fn read(bytes: &WeightBytes, start: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::with_capacity(len);
    bytes.for_each_piece(start, len, |piece| all.extend_from_slice(piece))?;
    Ok(all)
}

fn unreadable(model: &Source, file: &str, cause: std::io::Error) -> LoadError {
    LoadError::Unreadable {
        model: model.clone(),
        file: file.to_owned(),
        cause: cause.into(),
    }
}

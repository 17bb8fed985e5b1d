//! The raw form of `BYTES`: each element is its length (four bytes, little-endian), then its bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::TensorError;
use crate::types::ElementType;

/// Bytes of an element's length.
pub(super) const PREFIX: usize = 4;

/// Checks that `data` holds exactly `count` elements, each UTF-8 if `element` is a string.
pub(super) fn validate(data: &[u8], count: usize, element: ElementType) -> Result<(), TensorError> {
    let mut rest = data;
    for at in 0..count {
        let (item, tail) = split(rest).ok_or(TensorError::Truncated { at, count })?;
        if element == ElementType::String && std::str::from_utf8(item).is_err() {
            return Err(TensorError::Utf8 { at });
        }
        rest = tail;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(TensorError::Trailing {
            extra: rest.len(),
            count,
        })
    }
}

/// Returns the first element and the rest.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = data.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(u32::from_le_bytes(*prefix) as usize)
}

/// Returns the bytes of the first `count` elements of a checked buffer, lengths included.
pub(super) fn raw_length(data: &[u8], count: usize) -> usize {
    let mut rest = data;
    for _ in 0..count {
        let Some((_, tail)) = split(rest) else { break };
        rest = tail;
    }
    data.len() - rest.len()
}

/// A view of the elements of a checked `BYTES` buffer.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'a> {
    data: &'a [u8],
    count: usize,
}

impl<'a> Strings<'a> {
    pub(super) fn new(data: &'a [u8], count: usize) -> Self {
        Self { data, count }
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there is no element.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.data;
        std::iter::from_fn(move || {
            let (item, tail) = split(rest)?;
            rest = tail;
            Some(item)
        })
    }

    /// Returns the elements as strings, in order. An element of a `bytes` tensor that is not UTF-8
    /// is an empty string here; those of a `string` tensor were checked when it was created.
    pub fn texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.iter().map(|s| std::str::from_utf8(s).unwrap_or(""))
    }
}

/// Writes the raw form of `BYTES`.
#[derive(Debug, Default)]
pub struct StringsBuilder {
    data: BytesMut,
    count: usize,
}

impl StringsBuilder {
    /// Creates a builder with capacity for `count` elements of `bytes` bytes in all.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self {
            data: BytesMut::with_capacity(count * PREFIX + bytes),
            count: 0,
        }
    }

    /// Appends an element, which must be shorter than 4 GiB: the format has four bytes for a
    /// length.
    pub fn push(&mut self, element: &[u8]) {
        debug_assert!(u32::try_from(element.len()).is_ok());
        self.data.reserve(PREFIX + element.len());
        self.data.put_u32_le(element.len() as u32);
        self.data.put_slice(element);
        self.count += 1;
    }

    /// Number of elements so far.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there is no element yet.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the buffer.
    pub fn finish(self) -> Bytes {
        self.data.freeze()
    }
}

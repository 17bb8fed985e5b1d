//! Values that start where a cache line starts: a vector that spans two lines costs two reads.

use super::prefetch::{LINE, line};

/// Values at the start of a cache line.
#[derive(Debug, Default)]
pub(super) struct Aligned<T> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.as_mut_slice().copy_from_slice(values);
        aligned
    }
}

impl<T: Copy + Default> Aligned<T> {
    /// So many zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut zeros = Self {
            values: Vec::new(),
            start: 0,
            len: 0,
        };
        zeros.resize(len);
        zeros
    }

    /// Makes room for so many values, which are whatever was there before. Memory is never given
    /// back.
    pub(super) fn resize(&mut self, len: usize) {
        let line = const { line::<T>() };
        if self.values.len() < len + line {
            self.values = vec![T::default(); len + line];
            self.start = self.values.as_ptr().align_offset(LINE).min(line);
        }
        self.len = len;
    }

    pub(super) fn as_slice(&self) -> &[T] {
        &self.values[self.start..][..self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.values[self.start..][..self.len]
    }
}

//! Buffers that start at a cache line: a vector that spans two lines costs two reads.

use crate::gemm::prefetch::{LINE, line};

/// Values that start at a cache line.
#[derive(Debug, Default)]
pub struct Aligned<T> {
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
    /// Returns `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut zeros = Self {
            values: Vec::new(),
            start: 0,
            len: 0,
        };
        zeros.resize(len);
        zeros
    }

    /// Changes the number of values. Which values these are is not specified; memory is never given
    /// back.
    pub fn resize(&mut self, len: usize) {
        let line = const { line::<T>() };
        if self.values.len() < len + line {
            self.values = vec![T::default(); len + line];
            self.start = self.values.as_ptr().align_offset(LINE).min(line);
        }
        self.len = len;
    }

    /// Returns all values.
    pub fn as_slice(&self) -> &[T] {
        &self.values[self.start..][..self.len]
    }

    /// Returns all values, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.values[self.start..][..self.len]
    }
}

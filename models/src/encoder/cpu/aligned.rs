//! f32 values that start where a cache line starts: a vector that spans two lines costs two reads.

use super::prefetch::LINE;

/// Values at the start of a cache line.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// So many zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut zeros = Self::default();
        zeros.resize(len);
        zeros
    }

    /// Makes room for so many values, which are whatever was there before. Memory is never given back.
    pub(super) fn resize(&mut self, len: usize) {
        if self.values.len() < len + LINE {
            self.values = vec![0.0; len + LINE];
            let bytes = LINE * size_of::<f32>();
            self.start = self.values.as_ptr().align_offset(bytes).min(LINE);
        }
        self.len = len;
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        &self.values[self.start..][..self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.len]
    }
}

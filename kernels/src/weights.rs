//! Weights on their way into the memory where they are kept.

use std::convert::Infallible;
use std::ops::Range;

/// A matrix of weights, row-major, of which packing takes a few rows at a time: those of a large
/// model are never in memory as a whole beside their packed form.
pub trait WeightRows {
    /// Error of reading.
    type Error;

    /// Returns some rows: a part of what is in memory, or read into `scratch`.
    ///
    /// # Errors
    /// As reading them.
    fn rows<'a>(
        &'a self,
        rows: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], Self::Error>;
}

/// Weights in memory.
#[derive(Clone, Copy, Debug)]
pub struct InMemory<'a> {
    /// All rows, one after another.
    pub values: &'a [f32],
    /// Number of values of a row.
    pub size: usize,
}

impl WeightRows for InMemory<'_> {
    type Error = Infallible;

    fn rows<'a>(
        &'a self,
        rows: Range<usize>,
        _: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], Infallible> {
        Ok(&self.values[rows.start * self.size..rows.end * self.size])
    }
}

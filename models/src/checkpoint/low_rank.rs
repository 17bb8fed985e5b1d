//! [`LowRank`]: a change of a tensor that is the product of two small factors.

use std::sync::OnceLock;

use super::convert::Element;
use super::file::WeightsFile;
use crate::error::LoadError;
use crate::source::Source;

/// The change `scale * rows * columns` of a tensor `[outputs, inputs]`.
pub(super) struct LowRank {
    /// `[outputs, rank]`
    pub(super) rows: Factor,
    /// `[rank, inputs]`
    pub(super) columns: Factor,
    pub(super) rank: usize,
    pub(super) scale: f32,
}

/// A factor, read when it is needed first.
pub(super) struct Factor {
    /// Number of the file that has it.
    pub(super) file: usize,
    /// Bytes before it among those of the file's tensors.
    pub(super) start: usize,
    pub(super) element: Element,
    /// Rows and columns as they are stored.
    pub(super) shape: [usize; 2],
    /// `true` if the factor is the transpose of what is stored.
    pub(super) is_transposed: bool,
    pub(super) values: OnceLock<Vec<f32>>,
}

impl LowRank {
    /// Adds the change to `values`, rows of the tensor from `first` on.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn add_to(
        &self,
        model: &Source,
        files: &[WeightsFile],
        first: usize,
        values: &mut [f32],
    ) -> Result<(), LoadError> {
        let rows = self.rows.values(model, files)?;
        let columns = self.columns.values(model, files)?;
        let size = columns.len() / self.rank;
        let factors = rows[first * self.rank..].chunks_exact(self.rank);
        for (row, factors) in values.chunks_exact_mut(size).zip(factors) {
            for (factor, column) in factors.iter().zip(columns.chunks_exact(size)) {
                let factor = factor * self.scale;
                let pairs = row.iter_mut().zip(column);
                pairs.for_each(|(value, change)| *value += factor * change);
            }
        }
        Ok(())
    }
}

impl Factor {
    /// Returns the values, row-major. Of threads that read them at once, one's are kept.
    fn values(&self, model: &Source, files: &[WeightsFile]) -> Result<&[f32], LoadError> {
        if let Some(values) = self.values.get() {
            return Ok(values);
        }
        let [rows, columns] = self.shape;
        let mut stored = vec![0.0; rows * columns];
        let bytes = stored.len() * self.element.size();
        let mut pieces = stored.chunks_mut(crate::source::PIECE / self.element.size());
        files[self.file].for_each_piece(model, self.start, bytes, |piece| {
            if let Some(values) = pieces.next() {
                self.element.to_f32(piece, values);
            }
        })?;
        let values = match self.is_transposed {
            false => stored,
            true => {
                let of_column = |column| (0..rows).map(move |row| row * columns + column);
                let order = (0..columns).flat_map(of_column);
                order.map(|at| stored[at]).collect()
            }
        };
        Ok(self.values.get_or_init(|| values))
    }
}

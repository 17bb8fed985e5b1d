//! [`LowRank`]: a change of a tensor that is the product of two small factors.

use std::sync::OnceLock;

use safetensors::tensor::TensorInfo;

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
    file: usize,
    /// Bytes before it among those of the file's tensors.
    start: usize,
    element: Element,
    /// Rows and columns as they are stored.
    shape: [usize; 2],
    /// `true` if the factor is the transpose of what is stored.
    is_transposed: bool,
    values: OnceLock<Vec<f32>>,
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
    /// Returns the factor in a tensor of a file, the number `at` of those that are stacked in it.
    /// Its last two dimensions are rows and columns.
    ///
    /// # Errors
    /// A type that is not read.
    pub(super) fn stored(file: usize, info: &TensorInfo, at: usize) -> Result<Self, String> {
        let Some(element) = Element::of_weights(info.dtype) else {
            return Err(format!("is stored as {:?}", info.dtype));
        };
        let [.., rows, columns] = info.shape[..] else {
            return Err(format!("has the shape {:?}", info.shape));
        };
        Ok(Self {
            file,
            start: info.data_offsets.0 + at * rows * columns * element.size(),
            element,
            shape: [rows, columns],
            is_transposed: false,
            values: OnceLock::new(),
        })
    }

    /// Returns its transpose.
    pub(super) fn transposed(self) -> Self {
        Self {
            is_transposed: !self.is_transposed,
            ..self
        }
    }

    /// Returns the values, row-major. Of threads that read them at once, one's are kept.
    fn values(&self, model: &Source, files: &[WeightsFile]) -> Result<&[f32], LoadError> {
        if let Some(values) = self.values.get() {
            return Ok(values);
        }
        let [rows, columns] = self.shape;
        let mut stored = vec![0.0; rows * columns];
        files[self.file].read(model, self.start, self.element, &mut stored)?;
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

//! Weights as they are packed: straight from the files, a few rows at a time.

use std::ops::Range;

use motet_kernels::WeightRows;

use crate::architecture::TensorRef;
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Rows of tensors of a checkpoint, one tensor after the other.
#[derive(Clone, Copy)]
pub(in crate::encoder) struct StoredRows<'a> {
    pub(in crate::encoder) checkpoint: &'a Checkpoint,
    pub(in crate::encoder) tensors: &'a [&'a TensorRef],
}

impl WeightRows for StoredRows<'_> {
    type Error = LoadError;

    fn rows<'a>(
        &'a self,
        rows: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], LoadError> {
        let size = self.tensors.first().map_or(0, |first| first.row_size());
        scratch.resize(rows.len() * size, 0.0);
        let (mut rest, mut first) = (scratch.as_mut_slice(), 0);
        for tensor in self.tensors {
            let of_tensor = first..first + tensor.len();
            let start = rows.start.clamp(of_tensor.start, of_tensor.end);
            let end = rows.end.clamp(start, of_tensor.end);
            let values;
            (values, rest) = rest.split_at_mut((end - start) * size);
            self.checkpoint
                .read(tensor, start - first..end - first, values)?;
            first = of_tensor.end;
        }
        Ok(scratch)
    }
}

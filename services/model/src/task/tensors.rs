//! Rows to one Candle tensor and back.

use candle_core::{DType, Result, Tensor};
use motet_batcher::BatchError;
use motet_models::DeviceFailure;

use super::BoxError;

/// Returns rows of one shape as one tensor with a first dimension for them.
///
/// # Errors
/// If the shapes differ, or there are no rows.
pub fn stack(rows: &[&Tensor]) -> Result<Tensor> {
    Tensor::stack(rows, 0)
}

/// Returns rows that differ in their first dimension as one tensor `[rows, longest, ...]`, padded
/// at the end with `value`, and a mask `[rows, longest]` of type `u8`: 1 where a row has values.
///
/// # Errors
/// If the rows differ in another dimension, or there are none.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use motet_service::task::pad;
///
/// let row = |values: &[u32]| Tensor::new(values, &Device::Cpu);
/// let (padded, mask) = pad(&[&row(&[5, 6, 7])?, &row(&[8])?], 0.0)?;
/// assert_eq!(padded.to_vec2::<u32>()?, [[5, 6, 7], [8, 0, 0]]);
/// assert_eq!(mask.to_vec2::<u8>()?, [[1, 1, 1], [1, 0, 0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn pad(rows: &[&Tensor], value: f64) -> Result<(Tensor, Tensor)> {
    let lengths = rows.iter().map(|row| row.dim(0));
    let lengths = lengths.collect::<Result<Vec<usize>>>()?;
    let longest = lengths.iter().copied().max().unwrap_or_default();
    let mut padded = Vec::with_capacity(rows.len());
    let mut mask = Vec::with_capacity(rows.len() * longest);
    for (row, length) in rows.iter().zip(lengths) {
        mask.extend((0..longest).map(|at| u8::from(at < length)));
        if length == longest {
            padded.push((*row).clone());
            continue;
        }
        let mut shape = row.dims().to_vec();
        shape[0] = longest - length;
        let rest = Tensor::full(value, shape, row.device())?.to_dtype(row.dtype())?;
        padded.push(Tensor::cat(&[*row, &rest], 0)?);
    }
    let padded = Tensor::stack(&padded, 0)?;
    let mask = Tensor::from_vec(mask, (rows.len(), longest), padded.device())?;
    Ok((padded, mask.to_dtype(DType::U8)?))
}

/// Returns rows that differ in their first dimension one after the other in one tensor, without
/// padding, and where each begins, with the end of the last.
///
/// # Errors
/// If the rows differ in another dimension, or there are none.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use motet_service::task::{pack, split_rows};
///
/// let row = |values: &[f32]| Tensor::new(values, &Device::Cpu);
/// let (packed, offsets) = pack(&[&row(&[5., 6., 7.])?, &row(&[8.])?])?;
/// assert_eq!((packed.to_vec1::<f32>()?, &offsets[..]), (vec![5., 6., 7., 8.], &[0, 3, 4][..]));
/// let rows = split_rows(&packed, &offsets)?;
/// assert_eq!(rows[1].to_vec1::<f32>()?, [8.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn pack(rows: &[&Tensor]) -> Result<(Tensor, Vec<usize>)> {
    let mut offsets = vec![0];
    for row in rows {
        offsets.push(offsets[offsets.len() - 1] + row.dim(0)?);
    }
    Ok((Tensor::cat(rows, 0)?, offsets))
}

/// Returns the parts of a packed tensor between `offsets`, as [`pack`] gives them.
///
/// # Errors
/// If the offsets are not within the tensor's first dimension, or not in order.
pub fn split_rows(packed: &Tensor, offsets: &[usize]) -> Result<Vec<Tensor>> {
    let bounds = offsets.windows(2);
    bounds
        .map(|bounds| match bounds[1].checked_sub(bounds[0]) {
            Some(length) => packed.narrow(0, bounds[0], length),
            None => candle_core::bail!("offsets {bounds:?} are not in order"),
        })
        .collect()
}

/// Returns the error of a batch. A device that is out of memory, or lost, is recognised by the
/// number of CUDA's error, or by a message's words.
pub fn batch_error(error: impl Into<BoxError>) -> BatchError {
    let error = error.into();
    match DeviceFailure::of(&*error) {
        DeviceFailure::OutOfMemory => BatchError::OutOfMemory,
        DeviceFailure::Lost => BatchError::DeviceLost(error.to_string()),
        DeviceFailure::None => BatchError::Failed(error.to_string()),
    }
}

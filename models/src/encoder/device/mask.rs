//! Masks of attention.

use candle_core::{DType, Device, Result, Tensor};
use motet_kernels::Mask;

/// Mask that is added to the scores of keys that a query does not see: far below any score, so that
/// the softmax gives them exactly 0, and finite in every type.
pub(super) const MASKED: f32 = -3e4;

/// Returns what a mask adds to the scores of a row of `tokens` tokens, `[tokens, tokens]` of
/// queries and keys; `None` if all keys are seen.
pub(super) fn of(
    mask: Mask,
    tokens: usize,
    device: &Device,
    dtype: DType,
) -> Result<Option<Tensor>> {
    let (before, after) = match mask {
        Mask::All => return Ok(None),
        Mask::Causal => (usize::MAX, 0),
        Mask::Window { before, after } => (before, after),
    };
    let positions = Tensor::arange(0, tokens as u32, device)?.to_dtype(DType::F32)?;
    let (keys, queries) = (positions.unsqueeze(0)?, positions.unsqueeze(1)?);
    let distances = keys.broadcast_sub(&queries)?;
    let near = distances.ge(-(before as f64))?;
    let seen = near.mul(&distances.le(after as f64)?)?;
    let (zero, masked) = (
        distances.zeros_like()?,
        (distances.zeros_like()? + f64::from(MASKED))?,
    );
    seen.where_cond(&zero, &masked)?.to_dtype(dtype).map(Some)
}

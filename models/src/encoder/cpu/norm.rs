//! Layer norms of a model, from its weights.

use motet_kernels::Norm;

use crate::architecture;
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Returns the layer norm with its scale and shift.
pub(in crate::encoder) fn load(
    checkpoint: &Checkpoint,
    norm: &architecture::Norm,
) -> Result<Norm, LoadError> {
    let (scale, shift) = (
        checkpoint.values(&norm.scale)?,
        checkpoint.values(&norm.shift)?,
    );
    Ok(Norm::layer(scale, Some(shift), norm.eps))
}

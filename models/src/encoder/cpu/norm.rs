//! Layer norms of a model, from its weights.

use motet_kernels::LayerNorm;

use crate::architecture::Norm;
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Returns the layer norm with its scale and shift.
pub(super) fn load(checkpoint: &Checkpoint, norm: &Norm) -> Result<LayerNorm, LoadError> {
    Ok(LayerNorm::new(
        checkpoint.values(&norm.scale)?,
        checkpoint.values(&norm.shift)?,
        norm.eps,
    ))
}

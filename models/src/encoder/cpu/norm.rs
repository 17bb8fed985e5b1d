//! Norms of a model, from its weights.

use motet_kernels::Norm;

use crate::architecture::{self, NormKind};
use crate::checkpoint::Checkpoint;
use crate::encoder::tables;
use crate::error::LoadError;

/// Returns the norm with its scale and shift.
pub(in crate::encoder) fn load(
    checkpoint: &Checkpoint,
    norm: &architecture::Norm,
) -> Result<Norm, LoadError> {
    let (scale, shift) = tables::norm(checkpoint, norm)?;
    Ok(match norm.kind {
        NormKind::Layer => Norm::layer(scale, shift, norm.eps),
        NormKind::Rms => Norm::rms(scale, norm.eps),
    })
}

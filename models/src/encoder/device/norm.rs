//! Norms: each token's vector to mean 0 and variance 1, or to mean square 1, then scaled and
//! shifted.

use candle_core::{Result, Tensor};

use super::placement::Placement;
use crate::architecture::{self, NormKind};
use crate::encoder::tables;
use crate::error::LoadError;

#[derive(Debug)]
pub(super) struct Norm {
    kind: NormKind,
    /// `[H]`
    scale: Tensor,
    /// `[H]`, of a layer norm.
    shift: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn load(
        placement: &Placement<'_>,
        norm: &architecture::Norm,
    ) -> std::result::Result<Self, LoadError> {
        Self::load_scaled(placement, norm, 1.0)
    }

    /// As [`load`](Self::load), with results multiplied by `factor`.
    pub(super) fn load_scaled(
        placement: &Placement<'_>,
        norm: &architecture::Norm,
        factor: f32,
    ) -> std::result::Result<Self, LoadError> {
        let (mut scale, shift) = tables::norm(placement.checkpoint, norm)?;
        let size = [scale.len()];
        let mut shift = shift.unwrap_or_else(|| vec![0.0; scale.len()]);
        scale
            .iter_mut()
            .chain(&mut shift)
            .for_each(|x| *x *= factor);
        Ok(Self {
            kind: norm.kind,
            scale: placement.place(scale, &size)?,
            shift: placement.place(shift, &size)?,
            eps: norm.eps,
        })
    }

    /// Returns the number of values of a vector.
    pub(super) fn size(&self) -> usize {
        self.scale.elem_count()
    }

    /// Normalizes the last dimension.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.kind {
            NormKind::Layer => candle_nn::ops::layer_norm(x, &self.scale, &self.shift, self.eps),
            NormKind::Rms => candle_nn::ops::rms_norm(x, &self.scale, self.eps),
        }
    }
}

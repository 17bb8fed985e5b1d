//! Images to the vectors that enter the first layer.

use candle_core::{DType, Result, Tensor};

use super::linear::Linear;
use super::norm::Norm;
use super::pack::Pack;
use super::placement::Placement;
use crate::architecture::PatchEmbedding;
use crate::encoder::{RowInput, tables};
use crate::error::LoadError;

/// The product of patches, the table that it is added to, and the norm of the sum.
#[derive(Debug)]
pub(super) struct PatchEmbeddings {
    /// From a patch to `[H]`, without its bias.
    product: Linear,
    /// Values of a patch.
    size: usize,
    /// Of positions, with the bias of the product: `[tokens, H]`.
    positions: Tensor,
    norm: Option<Norm>,
}

impl PatchEmbeddings {
    pub(super) fn load(
        placement: &Placement<'_>,
        embedding: &PatchEmbedding,
    ) -> std::result::Result<Self, LoadError> {
        let size = embedding.patch_values();
        let (weight, _) = placement.stack(&[&embedding.product])?;
        let shape = [embedding.tokens(), embedding.product.outputs()];
        let positions = tables::patch_positions(placement.checkpoint, embedding)?;
        let norm = embedding.norm.as_ref();
        Ok(Self {
            product: Linear::new(placement, size, weight, None)?,
            size,
            positions: placement.place(positions, &shape)?,
            norm: norm.map(|norm| Norm::load(placement, norm)).transpose()?,
        })
    }

    /// Returns the type that the encoder computes in.
    pub(super) fn dtype(&self) -> DType {
        self.positions.dtype()
    }

    /// `[T, H]`
    pub(super) fn forward(&self, rows: &[RowInput<'_>], pack: &Pack) -> Result<Tensor> {
        let positions = self.positions.index_select(&pack.positions, 0)?;
        let mut patches = Vec::with_capacity(positions.dim(0)? * self.size);
        for patch in rows
            .iter()
            .flat_map(|row| tables::patch_rows(*row, self.size))
        {
            patches.extend_from_slice(patch);
            if patch.is_empty() {
                patches.resize(patches.len() + self.size, 0.0);
            }
        }
        let patches = Tensor::from_vec(patches, ((), self.size), positions.device())?;
        let sums = (self.product.forward(&patches.to_dtype(self.dtype())?)? + positions)?;
        match &self.norm {
            Some(norm) => norm.forward(&sums),
            None => Ok(sums),
        }
    }
}

//! Token ids to the vectors that enter the first layer.

use candle_core::{DType, Result, Tensor};
use motet_kernels::WeightRows;

use super::linear::Linear;
use super::norm::Norm;
use super::pack::Pack;
use super::placement::Placement;
use crate::architecture::TokenEmbedding;
use crate::encoder::tables::{PositionTypes, WordRows};
use crate::error::LoadError;

/// Word and position tables, what follows their sum, and the product after that.
#[derive(Debug)]
pub(super) struct Embeddings {
    /// `[V, E]`
    words: Tensor,
    /// Of positions and types, `[rows, E]`.
    positions: Tensor,
    position_types: PositionTypes,
    /// Factor of the sums.
    scale: f32,
    norm: Option<Norm>,
    /// `[E]` to `[H]`
    projection: Option<Linear>,
    /// The norm of what the product gives.
    projected_norm: Option<Norm>,
}

impl Embeddings {
    pub(super) fn load(
        placement: &Placement<'_>,
        embedding: &TokenEmbedding,
    ) -> std::result::Result<Self, LoadError> {
        let position_types = PositionTypes::of(embedding);
        let positions = position_types.load(placement.checkpoint, embedding)?;
        let shape = [position_types.rows(), embedding.size()];
        let norm = |norm: &Option<_>| {
            let norm = norm.as_ref();
            norm.map(|norm| Norm::load(placement, norm)).transpose()
        };
        Ok(Self {
            words: words(placement, embedding)?,
            positions: placement.place(positions, &shape)?,
            position_types,
            scale: embedding.scale,
            norm: norm(&embedding.norm)?,
            projection: embedding
                .projection
                .as_ref()
                .map(|projection| Linear::load(placement, projection))
                .transpose()?,
            projected_norm: norm(&embedding.projected_norm)?,
        })
    }

    /// Returns the type that the encoder computes in.
    pub(super) fn dtype(&self) -> DType {
        self.words.dtype()
    }

    /// Returns which rows of the table of positions and types tokens take.
    pub(super) fn position_types(&self) -> PositionTypes {
        self.position_types
    }

    /// `[T, H]`
    pub(super) fn forward(&self, pack: &Pack) -> Result<Tensor> {
        let words = self.words.index_select(&pack.ids, 0)?;
        let positions = self.positions.index_select(&pack.positions, 0)?;
        let mut sums = (words + positions)?;
        if self.scale != 1.0 {
            sums = (sums * f64::from(self.scale))?;
        }
        if let Some(norm) = &self.norm {
            sums = norm.forward(&sums)?;
        }
        if let Some(projection) = &self.projection {
            sums = projection.forward(&sums)?;
        }
        match &self.projected_norm {
            Some(norm) => norm.forward(&sums),
            None => Ok(sums),
        }
    }
}

/// Places the vectors of all token ids.
fn words(
    placement: &Placement<'_>,
    embedding: &TokenEmbedding,
) -> std::result::Result<Tensor, LoadError> {
    let words = [&embedding.words];
    let words = WordRows::load(placement.checkpoint, embedding, &words)?;
    let (vocabulary, mut values) = (embedding.vocabulary(), Vec::new());
    words.rows(0..vocabulary, &mut values)?;
    placement.place(values, &[vocabulary, embedding.size()])
}

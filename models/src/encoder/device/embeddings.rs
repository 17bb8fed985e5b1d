//! Token ids, or images, to the vectors that enter the first layer.

use candle_core::{DType, Result, Tensor};
use motet_kernels::WeightRows;

use super::linear::Linear;
use super::norm::Norm;
use super::pack::Pack;
use super::patches::PatchEmbeddings;
use super::placement::Placement;
use crate::architecture::{Embedding, TokenEmbedding};
use crate::encoder::RowInput;
use crate::encoder::tables::{PositionTypes, WordRows};
use crate::error::LoadError;

/// The first step of a model.
#[derive(Debug)]
pub(super) struct Embeddings {
    position_types: PositionTypes,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Of texts.
    Tokens(Box<TokenEmbeddings>),
    /// Of images.
    Patches(Box<PatchEmbeddings>),
}

impl Embeddings {
    pub(super) fn load(
        placement: &Placement<'_>,
        embedding: &Embedding,
    ) -> std::result::Result<Self, LoadError> {
        let position_types = PositionTypes::of(embedding);
        let kind = match embedding {
            Embedding::Tokens(embedding) => {
                let tokens = TokenEmbeddings::load(placement, embedding, position_types)?;
                Kind::Tokens(Box::new(tokens))
            }
            Embedding::Patches(embedding) => {
                Kind::Patches(Box::new(PatchEmbeddings::load(placement, embedding)?))
            }
        };
        Ok(Self {
            position_types,
            kind,
        })
    }

    /// Returns the type that the encoder computes in.
    pub(super) fn dtype(&self) -> DType {
        match &self.kind {
            Kind::Tokens(tokens) => tokens.words.dtype(),
            Kind::Patches(patches) => patches.dtype(),
        }
    }

    /// Returns which rows of the table of positions and types tokens take.
    pub(super) fn position_types(&self) -> PositionTypes {
        self.position_types
    }

    /// `[T, H]`
    pub(super) fn forward(&self, rows: &[RowInput<'_>], pack: &Pack) -> Result<Tensor> {
        match &self.kind {
            Kind::Tokens(tokens) => tokens.forward(pack),
            Kind::Patches(patches) => patches.forward(rows, pack),
        }
    }
}

/// Word and position tables, what follows their sum, and the product after that.
#[derive(Debug)]
struct TokenEmbeddings {
    /// `[V, E]`
    words: Tensor,
    /// Of positions and types, `[rows, E]`.
    positions: Tensor,
    /// Factor of the sums.
    scale: f32,
    norm: Option<Norm>,
    /// `[E]` to `[H]`
    projection: Option<Linear>,
    /// The norm of what the product gives.
    projected_norm: Option<Norm>,
}

impl TokenEmbeddings {
    fn load(
        placement: &Placement<'_>,
        embedding: &TokenEmbedding,
        position_types: PositionTypes,
    ) -> std::result::Result<Self, LoadError> {
        let positions = position_types.load(placement.checkpoint, embedding)?;
        let shape = [position_types.rows(), embedding.size()];
        let norm = |norm: &Option<_>| {
            let norm = norm.as_ref();
            norm.map(|norm| Norm::load(placement, norm)).transpose()
        };
        Ok(Self {
            words: words(placement, embedding)?,
            positions: placement.place(positions, &shape)?,
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

    /// `[T, H]`
    fn forward(&self, pack: &Pack) -> Result<Tensor> {
        let Some(ids) = &pack.ids else {
            candle_core::bail!("the rows have no token ids");
        };
        let words = self.words.index_select(ids, 0)?;
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

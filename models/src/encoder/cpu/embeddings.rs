//! Token ids, or images, to the vectors that enter the first layer.

use motet_kernels::elementwise;
use motet_kernels::embedding::sum_rows;
use motet_kernels::{
    Aligned, Arithmetic, ColumnBlocks, EmbeddingTable, Epilogue, InMemory, Init, Linear, Matrix,
    Norm, Parallelism, Relocatable, Scratch,
};

use super::norm;
use super::patches::PatchEmbeddings;
use super::weights::Weights;
use crate::architecture::{Embedding, TokenEmbedding};
use crate::checkpoint::Checkpoint;
use crate::encoder::RowInput;
use crate::encoder::tables::{PositionTypes, WordRows};
use crate::error::LoadError;

/// The first step of a model.
#[derive(Debug)]
pub(super) enum Embeddings {
    /// Of texts.
    Tokens(Box<TokenEmbeddings>),
    /// Of images.
    Patches(Box<PatchEmbeddings>),
}

impl Embeddings {
    /// `columns` are those of the model's vectors.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        embedding: &Embedding,
        columns: ColumnBlocks,
    ) -> Result<Self, LoadError> {
        let position_types = PositionTypes::of(embedding);
        Ok(match embedding {
            Embedding::Tokens(embedding) => {
                let tokens = TokenEmbeddings::load(checkpoint, embedding, position_types, columns)?;
                Self::Tokens(Box::new(tokens))
            }
            Embedding::Patches(embedding) => {
                let patches =
                    PatchEmbeddings::load(checkpoint, embedding, position_types, columns)?;
                Self::Patches(Box::new(patches))
            }
        })
    }

    /// Returns the weights, to be moved.
    pub(super) fn relocatable(&mut self) -> Vec<&mut dyn Relocatable> {
        match self {
            Self::Tokens(tokens) => tokens.relocatable().collect(),
            Self::Patches(patches) => patches.relocatable().collect(),
        }
    }

    /// Writes the vectors of the tokens of rows to the scratch memory's `x`.
    pub(super) fn run(
        &self,
        rows: &[RowInput<'_>],
        scratch: &mut Scratch,
        parallelism: Parallelism,
    ) {
        match self {
            Self::Tokens(tokens) => tokens.run(rows, scratch, parallelism),
            Self::Patches(patches) => patches.run(rows, scratch, parallelism),
        }
    }
}

/// Word and position tables, what follows their sum, and the product after that.
#[derive(Debug)]
pub(super) struct TokenEmbeddings {
    /// `[V, E]`
    words: EmbeddingTable,
    /// Of positions and types, `[rows, E]`.
    positions: EmbeddingTable,
    position_types: PositionTypes,
    /// Factor of the sums.
    scale: f32,
    norm: Option<Norm>,
    /// `[E]` to `[H]`, and how the vectors that enter are cut.
    projection: Option<(Linear, ColumnBlocks)>,
    /// The norm of what the product gives.
    projected_norm: Option<Norm>,
}

impl TokenEmbeddings {
    fn load(
        checkpoint: &Checkpoint,
        embedding: &TokenEmbedding,
        position_types: PositionTypes,
        columns: ColumnBlocks,
    ) -> Result<Self, LoadError> {
        let size = embedding.size();
        let words = [&embedding.words];
        let words = WordRows::load(checkpoint, embedding, &words)?;
        let positions = position_types.load(checkpoint, embedding)?;
        let in_memory = InMemory {
            values: &positions,
            size,
        };
        let Ok(positions) = EmbeddingTable::pack(&in_memory, position_types.rows(), size);
        let projection = embedding.projection.as_ref().map(|projection| {
            let inputs = ColumnBlocks::new(size, 1);
            // In floats whatever the layers are in: it is small, and everything follows from it.
            let weights = Weights {
                checkpoint,
                arithmetic: Arithmetic::F32,
            };
            Ok((weights.pack(&[projection], inputs, columns)?, inputs))
        });
        let norm = |norm: &Option<_>| {
            let norm = norm.as_ref();
            norm.map(|norm| norm::load(checkpoint, norm)).transpose()
        };
        Ok(Self {
            words: EmbeddingTable::pack(&words, embedding.vocabulary(), size)?,
            positions,
            position_types,
            scale: embedding.scale,
            norm: norm(&embedding.norm)?,
            projection: projection.transpose()?,
            projected_norm: norm(&embedding.projected_norm)?,
        })
    }

    /// Returns the weights, to be moved.
    fn relocatable(&mut self) -> impl Iterator<Item = &mut dyn Relocatable> {
        let tables = [&mut self.words, &mut self.positions];
        let tables = tables.into_iter().filter_map(EmbeddingTable::relocatable);
        let projection = self.projection.as_mut();
        tables.chain(projection.and_then(|(linear, _)| linear.relocatable()))
    }

    /// Writes the vectors of the tokens of rows to the scratch memory's `x`.
    fn run(&self, rows: &[RowInput<'_>], scratch: &mut Scratch, parallelism: Parallelism) {
        let Scratch {
            tokens,
            columns,
            x,
            intermediate,
            quantized_lhs,
            statistics,
            ..
        } = scratch;
        let x = x.as_mut_slice();
        let Some((projection, inputs)) = &self.projection else {
            return self.sum(rows, x, *columns, statistics, parallelism);
        };
        intermediate.resize(*tokens * inputs.count);
        let sums = intermediate.as_mut_slice();
        self.sum(rows, sums, *inputs, statistics, parallelism);
        projection.product(
            Matrix::new(sums, *inputs),
            quantized_lhs,
            x,
            Init::Bias,
            Epilogue::Store,
            parallelism,
        );
        if let Some(norm) = &self.projected_norm {
            norm.run(x, *columns, statistics, parallelism);
        }
    }

    /// Writes the sums of the tables, scaled and normed, to `out`, `[T, E]` in the blocks
    /// `columns`.
    fn sum(
        &self,
        rows: &[RowInput<'_>],
        out: &mut [f32],
        columns: ColumnBlocks,
        statistics: &mut Aligned<f32>,
        parallelism: Parallelism,
    ) {
        let tokens = rows.iter().flat_map(|row| {
            let positions = self.position_types.indices(*row);
            row.ids().iter().zip(positions)
        });
        let tokens: Vec<[u32; 2]> = tokens.map(|(id, position)| [*id, position]).collect();
        let tables = [&self.words, &self.positions];
        sum_rows(tables, &tokens, out, columns, parallelism);
        if self.scale != 1.0 {
            elementwise::scale(out, self.scale, parallelism);
        }
        if let Some(norm) = &self.norm {
            norm.run(out, columns, statistics, parallelism);
        }
    }
}

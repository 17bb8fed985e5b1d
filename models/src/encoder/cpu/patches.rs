//! Images to the vectors that enter the first layer.

use motet_kernels::embedding::sum_rows;
use motet_kernels::{
    Arithmetic, ColumnBlocks, EmbeddingTable, Epilogue, InMemory, Init, Linear, Matrix, Norm,
    Parallelism, Relocatable, Scratch,
};

use super::norm;
use super::weights::Weights;
use crate::architecture::{self, PatchEmbedding};
use crate::checkpoint::Checkpoint;
use crate::encoder::RowInput;
use crate::encoder::tables::{self, PositionTypes};
use crate::error::LoadError;

/// The product of patches, the table that it is added to, and the norm of the sum.
#[derive(Debug)]
pub(super) struct PatchEmbeddings {
    /// From a patch to `[H]`, without its bias, and how the patches are cut.
    product: Linear,
    inputs: ColumnBlocks,
    /// Of positions, with the bias of the product: `[tokens, H]`.
    positions: EmbeddingTable,
    position_types: PositionTypes,
    norm: Option<Norm>,
    /// Patch of a token that has none.
    zeros: Vec<f32>,
}

impl PatchEmbeddings {
    /// `columns` are those of the model's vectors.
    pub(super) fn load(
        checkpoint: &Checkpoint,
        embedding: &PatchEmbedding,
        position_types: PositionTypes,
        columns: ColumnBlocks,
    ) -> Result<Self, LoadError> {
        let size = embedding.patch_values();
        let inputs = ColumnBlocks::new(size, 1);
        // In floats whatever the layers are in: everything follows from it.
        let weights = Weights {
            checkpoint,
            arithmetic: Arithmetic::F32,
        };
        let product = architecture::Linear {
            bias: None,
            ..embedding.product.clone()
        };
        let positions = tables::patch_positions(checkpoint, embedding)?;
        let in_memory = InMemory {
            values: &positions,
            size: columns.count,
        };
        let Ok(positions) = EmbeddingTable::pack(&in_memory, embedding.tokens(), columns.count);
        let norm = embedding.norm.as_ref();
        Ok(Self {
            product: weights.pack(&[&product], inputs, columns)?,
            inputs,
            positions,
            position_types,
            norm: norm.map(|norm| norm::load(checkpoint, norm)).transpose()?,
            zeros: vec![0.0; size],
        })
    }

    /// Returns the weights, to be moved.
    pub(super) fn relocatable(&mut self) -> impl Iterator<Item = &mut dyn Relocatable> {
        let product = self.product.relocatable().into_iter();
        product.chain(self.positions.relocatable())
    }

    /// Writes the vectors of the tokens of images to the scratch memory's `x`.
    pub(super) fn run(
        &self,
        rows: &[RowInput<'_>],
        scratch: &mut Scratch,
        parallelism: Parallelism,
    ) {
        let Scratch {
            tokens,
            columns,
            x,
            intermediate,
            quantized_lhs,
            statistics,
            ..
        } = scratch;
        let (columns, x) = (*columns, x.as_mut_slice());
        let indices = rows
            .iter()
            .flat_map(|row| self.position_types.indices(*row));
        let indices: Vec<[u32; 1]> = indices.map(|index| [index]).collect();
        sum_rows([&self.positions], &indices, x, columns, parallelism);

        let patches = rows.iter();
        let patches = patches.flat_map(|row| tables::patch_rows(*row, self.inputs.count));
        let patches: Vec<&[f32]> = patches
            .map(|patch| if patch.is_empty() { &self.zeros } else { patch })
            .collect();
        intermediate.resize(*tokens * self.inputs.count);
        let left = intermediate.as_mut_slice();
        self.inputs.write_rows(&patches, left, parallelism);
        let left = Matrix::new(left, self.inputs);
        let (init, epilogue) = (Init::Residual, Epilogue::Store);
        self.product
            .product(left, quantized_lhs, x, init, epilogue, parallelism);
        if let Some(norm) = &self.norm {
            norm.run(x, columns, statistics, parallelism);
        }
    }
}

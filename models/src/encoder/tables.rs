//! Tables of embeddings and of position biases, and weights of norms, as both engines compute with
//! them.

use motet_kernels::gemm::int8::QuantizedActivations;
use motet_kernels::{
    Aligned, Arithmetic, Buckets, ColumnBlocks, Epilogue, Init, Matrix, Parallelism, RelativeBias,
};

use super::RowInput;
use super::cpu::{norm as norms, weights::Weights};
use crate::architecture::{
    Convolution, Counting, Linear, Norm, PositionBias, RelativeEmbedding, TensorRef, TokenEmbedding,
};
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Sums of the vector of a position and that of a token type: one table for both.
#[derive(Clone, Copy, Debug)]
pub(super) struct PositionTypes {
    counting: Counting,
    positions: usize,
    types: usize,
}

impl PositionTypes {
    /// Returns the table of a description.
    pub(super) fn of(embedding: &TokenEmbedding) -> Self {
        Self {
            counting: embedding.counting,
            positions: embedding.positions.as_ref().map_or(1, TensorRef::len),
            types: embedding.types.as_ref().map_or(1, TensorRef::len),
        }
    }

    /// Returns the number of rows of the table.
    pub(super) fn rows(self) -> usize {
        self.types * self.positions
    }

    /// Returns the table, `[rows, E]`: all positions with type 0, then all with type 1.
    pub(super) fn load(
        self,
        checkpoint: &Checkpoint,
        embedding: &TokenEmbedding,
    ) -> Result<Vec<f32>, LoadError> {
        // Without a table of positions, all tokens are at one, whose vector is 0.
        let positions = match &embedding.positions {
            Some(table) => checkpoint.values(table)?,
            None => vec![0.0; embedding.size()],
        };
        let Some(types) = &embedding.types else {
            return Ok(positions);
        };
        let size = embedding.size();
        let types = checkpoint.values(types)?;
        let sums = types.chunks_exact(size).flat_map(|of_type| {
            let vectors = positions.chunks_exact(size);
            vectors.flat_map(move |vector| vector.iter().zip(of_type).map(|(a, b)| a + b))
        });
        Ok(sums.collect())
    }

    /// Returns which row of the table each token of a row takes.
    pub(super) fn indices<'a>(self, row: RowInput<'a>) -> impl Iterator<Item = u32> + Clone + 'a {
        let positions = self.positions as u32;
        // Without a table of types, all tokens are of one type.
        let types = if self.types > 1 { row.types } else { &[] };
        let types = types.iter().copied().chain(std::iter::repeat(0));
        let indices = self.counting.positions(row.ids).zip(types);
        indices.map(move |(position, of_type)| of_type * positions + position)
    }
}

/// The values of a position bias.
pub(super) enum BiasValues<'a> {
    /// A table, `[buckets, heads]`, and its buckets.
    Buckets(Vec<f32>, Buckets),
    /// The slopes of ALiBi, one for each head.
    Alibi(&'a [f32]),
}

impl<'a> BiasValues<'a> {
    pub(super) fn load(checkpoint: &Checkpoint, bias: &'a PositionBias) -> Result<Self, LoadError> {
        Ok(match bias {
            PositionBias::Buckets {
                table,
                max_distance,
            } => {
                let buckets = Buckets {
                    count: table.len(),
                    max_distance: *max_distance,
                    bidirectional: true,
                };
                Self::Buckets(checkpoint.values(table)?, buckets)
            }
            PositionBias::Alibi { slopes } => Self::Alibi(slopes),
        })
    }

    /// Returns the values for rows of at most `reach` tokens.
    pub(super) fn relative(&self, heads: usize, reach: usize) -> RelativeBias {
        match self {
            Self::Buckets(table, buckets) => RelativeBias::bucketed(table, heads, *buckets, reach),
            Self::Alibi(slopes) => RelativeBias::alibi(slopes, reach),
        }
    }

    /// Returns the values of all heads for a distance, the key's position less the query's.
    pub(super) fn of(&self, distance: isize) -> Vec<f32> {
        match self {
            Self::Buckets(table, buckets) => {
                let heads = table.len() / buckets.count;
                table[buckets.of(distance) * heads..][..heads].to_vec()
            }
            Self::Alibi(slopes) => {
                let distance = distance.unsigned_abs() as f32;
                slopes.iter().map(|slope| -slope * distance).collect()
            }
        }
    }
}

/// Returns the weights of a convolution's product with each of the neighbours, `[hidden, hidden]`.
pub(super) fn convolution(
    checkpoint: &Checkpoint,
    convolution: &Convolution,
) -> Result<Vec<Vec<f32>>, LoadError> {
    let (values, kernel) = (
        checkpoint.values(&convolution.weight)?,
        convolution.kernel(),
    );
    let of_neighbour = |number: usize| values.iter().skip(number).step_by(kernel).copied();
    Ok((0..kernel)
        .map(|number| of_neighbour(number).collect())
        .collect())
}

/// Returns the scale of a norm, and its shift if it has one.
pub(super) fn norm(
    checkpoint: &Checkpoint,
    norm: &Norm,
) -> Result<(Vec<f32>, Option<Vec<f32>>), LoadError> {
    let mut scale = checkpoint.values(&norm.scale)?;
    // Not where it is 0: that would change the sign of a scale of -0.
    if norm.scale_offset != 0.0 {
        scale.iter_mut().for_each(|x| *x += norm.scale_offset);
    }
    let shift = norm.shift.as_ref();
    let shift = shift.map(|shift| checkpoint.values(shift)).transpose()?;
    Ok((scale, shift))
}

/// Returns what a layer makes of the vectors of distances, `[2 span, outputs]`.
pub(super) fn relative(
    checkpoint: &Checkpoint,
    relative: &RelativeEmbedding,
    linear: &Linear,
) -> Result<Vec<f32>, LoadError> {
    let in_one = |count| ColumnBlocks {
        count,
        width: count,
    };
    let (inputs, outputs) = (in_one(linear.inputs()), in_one(linear.outputs()));
    let parallelism = Parallelism::WithinThread;
    let mut vectors = checkpoint.values(&relative.table)?;
    if let Some(norm) = &relative.norm {
        let norm = norms::load(checkpoint, norm)?;
        norm.run(&mut vectors, inputs, &mut Aligned::default(), parallelism);
    }
    let weights = Weights {
        checkpoint,
        arithmetic: Arithmetic::F32,
    };
    let product = weights.pack(&[linear], inputs, outputs)?;
    let mut made = vec![0.0; relative.table.len() * outputs.count];
    product.product(
        Matrix::new(&vectors, inputs),
        &mut QuantizedActivations::default(),
        &mut made,
        Init::Bias,
        Epilogue::Store,
        parallelism,
    );
    Ok(made)
}

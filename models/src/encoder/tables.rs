//! Tables of embeddings and of position biases, and weights of norms, as both engines compute with
//! them.

use std::ops::Range;

use motet_kernels::gemm::int8::QuantizedActivations;
use motet_kernels::{
    Aligned, Arithmetic, Buckets, ColumnBlocks, Epilogue, Init, Matrix, Parallelism, RelativeBias,
    WeightRows,
};

use super::cpu::{norm as norms, stored_rows::StoredRows, weights::Weights};
use super::{RowInput, RowTokens};
use crate::architecture::{
    Convolution, Counting, Embedding, Linear, Norm, PatchEmbedding, PositionBias,
    RelativeEmbedding, TensorRef, TokenEmbedding,
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
    pub(super) fn of(embedding: &Embedding) -> Self {
        let embedding = match embedding {
            Embedding::Tokens(tokens) => tokens,
            Embedding::Patches(patches) => {
                return Self {
                    counting: Counting::All,
                    positions: patches.tokens(),
                    types: 1,
                };
            }
        };
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
        let indices = self.counting.positions(row.ids()).zip(types);
        let indices = indices.map(move |(position, of_type)| of_type * positions + position);
        // The tokens of an image are at the places that they have.
        let of_image = match row.tokens {
            RowTokens::Ids(_) => 0,
            RowTokens::Patches { tokens, .. } => tokens as u32,
        };
        indices.chain(0..of_image)
    }
}

/// Returns what is added to the products of an image's patches, `[tokens, H]`: the vectors of the
/// positions and the bias of the product, and first that of the token that has no patch.
pub(super) fn patch_positions(
    checkpoint: &Checkpoint,
    embedding: &PatchEmbedding,
) -> Result<Vec<f32>, LoadError> {
    let mut sums = checkpoint.values(&embedding.positions)?;
    let mut of_patches = sums.as_mut_slice();
    if let Some(class) = &embedding.class {
        let class = checkpoint.values(class)?;
        let first;
        (first, of_patches) = of_patches.split_at_mut(class.len());
        first.iter_mut().zip(class).for_each(|(x, add)| *x += add);
    }
    if let Some(bias) = &embedding.product.bias {
        let bias = checkpoint.values(bias)?;
        for sum in of_patches.chunks_exact_mut(bias.len()) {
            sum.iter_mut().zip(&bias).for_each(|(x, add)| *x += add);
        }
    }
    Ok(sums)
}

/// Returns the values of the patch of each token of a row; no values for a token without a patch.
pub(super) fn patch_rows<'r>(row: RowInput<'r>, size: usize) -> impl Iterator<Item = &'r [f32]> {
    let patches = row.patches().chunks_exact(size);
    let without = row.len() - patches.len();
    std::iter::repeat_n(&[][..], without).chain(patches)
}

/// The vector of each token id, as it is read: a row of the table of words, for some models by way
/// of a mapping, and times a factor.
pub(super) struct WordRows<'a> {
    stored: StoredRows<'a>,
    rows: Option<Vec<usize>>,
    factors: Option<Vec<f32>>,
}

impl<'a> WordRows<'a> {
    /// `words` is the table of the embedding by itself.
    ///
    /// # Errors
    /// A mapping that names a row which the table has not.
    pub(super) fn load(
        checkpoint: &'a Checkpoint,
        embedding: &TokenEmbedding,
        words: &'a [&'a TensorRef],
    ) -> Result<Self, LoadError> {
        let (mut rows, mut factors) = (None, None);
        if let Some(shared) = &embedding.shared {
            let values = |tensor: &Option<TensorRef>| {
                let tensor = tensor.as_ref();
                tensor.map(|tensor| checkpoint.values(tensor)).transpose()
            };
            factors = values(&shared.factors)?;
            rows = values(&shared.rows)?.map(|rows| rows.into_iter().map(|row| row as usize));
        }
        let rows: Option<Vec<usize>> = rows.map(Iterator::collect);
        let most = embedding.words.len();
        let beyond = |rows: &Vec<usize>| rows.iter().copied().find(|row| *row >= most);
        if let Some(row) = rows.as_ref().and_then(beyond) {
            return Err(LoadError::Unsupported {
                model: checkpoint.model().clone(),
                file: checkpoint.listing().to_owned(),
                reason: format!(
                    "mapping gives a token the row {row}, but {} has {most}",
                    embedding.words.name
                ),
            });
        }
        Ok(Self {
            stored: StoredRows {
                checkpoint,
                tensors: words,
            },
            rows,
            factors,
        })
    }
}

impl WeightRows for WordRows<'_> {
    type Error = LoadError;

    fn rows<'a>(
        &'a self,
        ids: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], LoadError> {
        let StoredRows {
            checkpoint,
            tensors,
        } = self.stored;
        let (Some(words), true) = (
            tensors.first(),
            self.rows.is_some() || self.factors.is_some(),
        ) else {
            return self.stored.rows(ids, scratch);
        };
        let size = words.row_size();
        scratch.resize(ids.len() * size, 0.0);
        for (id, vector) in ids.zip(scratch.chunks_exact_mut(size)) {
            let row = self.rows.as_ref().map_or(id, |rows| rows[id]);
            checkpoint.read(words, row..row + 1, vector)?;
            if let Some(factors) = &self.factors {
                vector.iter_mut().for_each(|x| *x *= factors[id]);
            }
        }
        Ok(scratch)
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

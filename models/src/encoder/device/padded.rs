//! A group of rows padded to one length. What stands for padding is the row's last token again, a
//! number like any other, and it counts for nothing: its scores are masked, its results are not
//! read.

use std::iter::repeat_n;

use candle_core::{Result, Tensor};
use motet_kernels::Mask;

use super::groups::Group;
use super::mask::{self, MASKED};
use super::pack::{Packing, Row};
use super::upload::{Place, Upload, Uploaded};
use crate::architecture::{Pooling, Readout};

/// R rows of L tokens each on a device.
pub(super) struct Padded {
    /// The numbers of the rows in the batch.
    pub(super) rows: Vec<usize>,
    /// L
    pub(super) tokens: usize,
    /// Queries, keys and values of each head: where they are among the vectors of all tokens, u32
    /// `[3 * R * heads * L]`.
    pub(super) parts: Tensor,
    /// Added to the scores, `[R * heads, L, L]`, for each of the model's masks: the mask, that of
    /// padding and the position bias; `None` with none of them.
    pub(super) added: Vec<Option<Tensor>>,
    /// How vectors of tokens become one of a row; `None` where each token gives its
    /// own.
    pub(super) pooling: Option<PaddedPooling>,
}

/// How R rows of L tokens become R vectors.
pub(super) struct PaddedPooling {
    /// The token at each place, u32 `[R * L]`.
    pub(super) tokens: Tensor,
    /// Weight of each token in the vector of its row, f32 `[R, 1, L]`.
    pub(super) weights: Tensor,
}

/// A group whose numbers wait for their transfer.
pub(super) struct PaddedPlaces {
    group: Group,
    /// The first vector of each token, `[R * L]`.
    vectors: Place,
    /// `[R, L]`
    mask: Option<Place>,
    /// Tokens and weights, `[R * L]`.
    pooling: Option<(Place, Place)>,
}

impl PaddedPlaces {
    pub(super) fn new(
        group: Group,
        rows: &[Row],
        packing: Packing<'_>,
        whole: &mut Upload<u32>,
        real: &mut Upload<f32>,
    ) -> Self {
        let padded = group.padded;
        let members = || group.rows.iter().map(|row| rows[*row]);
        let tokens = || {
            members().flat_map(|row| {
                (0..padded).map(move |at| (row.start + at.min(row.tokens - 1)) as u32)
            })
        };
        let vectors_of_token = packing.vectors_of_token() as u32;
        let vectors = whole.add(tokens().map(|token| token * vectors_of_token));
        let mask = members().any(|row| row.tokens < padded).then(|| {
            real.add(members().flat_map(|row| {
                repeat_n(0.0, row.tokens).chain(repeat_n(MASKED, padded - row.tokens))
            }))
        });
        let pooling = match packing.readout {
            Readout::EveryToken => None,
            Readout::Pooled(pooling) => {
                let weights = members().flat_map(|row| weights(row, pooling, padded));
                Some((whole.add(tokens()), real.add(weights)))
            }
        };
        Self {
            group,
            vectors,
            mask,
            pooling,
        }
    }

    /// `each_part` says which of a token's vectors are the queries, keys and values of each head,
    /// `[3, 1, heads, 1]`.
    pub(super) fn get(
        self,
        whole: &Uploaded,
        real: &Uploaded,
        each_part: &Tensor,
        packing: Packing<'_>,
    ) -> Result<Padded> {
        let (rows, tokens, heads) = (self.group.rows.len(), self.group.padded, packing.heads);
        let dtype = packing.dtype;
        let vectors = whole.get(self.vectors)?.reshape((1, rows, 1, tokens))?;
        let padding = |places| {
            real.get(places)?
                .to_dtype(dtype)?
                .reshape((rows, 1, 1, tokens))
        };
        let padding = self.mask.map(padding).transpose()?;
        let bias = packing.position_bias.map(|bias| bias.of(tokens));
        let bias = bias.transpose()?;
        let added = |mask: &Mask| {
            let mask = mask::of(*mask, tokens, each_part.device(), dtype)?;
            let mask = mask.map(|mask| mask.reshape((1, 1, tokens, tokens)));
            let parts = [padding.clone(), bias.clone(), mask.transpose()?];
            let sum = parts.into_iter().flatten().map(Ok);
            let sum = sum.reduce(|a: Result<Tensor>, b| a?.broadcast_add(&b?));
            // Made in full once, since each layer adds it: adding numbers of one shape is far
            // faster than repeating some while adding.
            let in_full = |sum: Result<Tensor>| {
                sum?.broadcast_as((rows, heads, tokens, tokens))?
                    .contiguous()?
                    .reshape((rows * heads, tokens, tokens))
            };
            sum.map(in_full).transpose()
        };
        let pooling = |(places, weights)| -> Result<PaddedPooling> {
            Ok(PaddedPooling {
                tokens: whole.get(places)?,
                weights: real.get(weights)?.reshape((rows, 1, tokens))?,
            })
        };
        Ok(Padded {
            rows: self.group.rows,
            tokens,
            parts: vectors.broadcast_add(each_part)?.flatten_all()?,
            added: packing.masks.iter().map(added).collect::<Result<_>>()?,
            pooling: self.pooling.map(pooling).transpose()?,
        })
    }
}

/// Returns the weights of the tokens of a row in its vector.
fn weights(row: Row, pooling: Pooling, padded: usize) -> impl Iterator<Item = f32> {
    let pooled = row.tokens - row.unpooled;
    let (counted, weight) = match pooling {
        Pooling::Mean => (pooled, 1.0 / pooled as f32),
        Pooling::Cls => (1, 1.0),
    };
    let after = padded - row.unpooled - counted;
    let before = repeat_n(0.0, row.unpooled);
    before
        .chain(repeat_n(weight, counted))
        .chain(repeat_n(0.0, after))
}

//! A group of rows padded to one length. What stands for padding is the row's last token again, a
//! number like any other, and it counts for nothing: its scores are masked, its results are not
//! read.

use std::iter::repeat_n;

use candle_core::{Result, Tensor};
use motet_kernels::Mask;

use super::groups::Group;
use super::mask::{self, MASKED};
use super::pack::{Packing, Row};
use super::relative::PairVectors;
use super::upload::{Place, Upload, Uploaded};
use crate::architecture::Pooling;
use crate::encoder::RowInput;

/// R rows of L tokens each on a device.
pub(super) struct Padded {
    /// The numbers of the rows in the batch.
    pub(super) rows: Vec<usize>,
    /// L
    pub(super) tokens: usize,
    /// The indices and masks of attention; `None` where it does not take the rows in groups.
    pub(super) attention: Option<PaddedAttention>,
    /// How vectors of tokens become one of a row; `None` where each token gives its own.
    pub(super) pooling: Option<PaddedPooling>,
}

/// The indices and masks of attention for R rows of L tokens.
pub(super) struct PaddedAttention {
    /// Queries, keys and values of each head: where they are among the vectors of all tokens, u32
    /// `[3 * R * heads * L]`.
    pub(super) parts: Tensor,
    /// Added to the scores, `[R * heads, L, L]`, for each of the model's masks: the mask, that of
    /// padding and of what is not attended to, and the position bias; `None` with none of them.
    pub(super) added: Vec<Option<Tensor>>,
    /// The vectors of the distances between its tokens.
    pub(super) distances: Option<PairVectors>,
}

/// How R rows of L tokens become R rows of P vectors, one for each pooling.
pub(super) struct PaddedPooling {
    /// The token at each place, u32 `[R * L]`. Where the greatest numbers are taken, the last token
    /// is in the places of those that are not pooled.
    pub(super) tokens: Tensor,
    /// Weight of each token in the vectors of its row, f32 `[R, P, L]`.
    pub(super) weights: Tensor,
}

/// A group whose numbers wait for their transfer.
pub(super) struct PaddedPlaces {
    group: Group,
    /// The first vector of each token, `[R * L]`.
    vectors: Place,
    /// `[R, L]`
    mask: Option<Place>,
    /// Tokens, `[R * L]`, weights, `[R * P * L]`, and P.
    pooling: Option<(Place, Place, usize)>,
}

impl PaddedPlaces {
    pub(super) fn new(
        group: Group,
        rows: &[Row],
        inputs: &[RowInput<'_>],
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
        let mask = members().any(|row| row.attended < padded).then(|| {
            real.add(members().flat_map(|row| {
                repeat_n(0.0, row.attended).chain(repeat_n(MASKED, padded - row.attended))
            }))
        });
        let pooling = match packing.poolings {
            [] => None,
            poolings => {
                let takes_max = poolings.contains(&Pooling::Max);
                let weights = group.rows.iter().flat_map(|row| {
                    let (row, input) = (rows[*row], inputs[*row]);
                    let of_row = move |pooling: &Pooling| weights(row, input, *pooling, padded);
                    poolings.iter().flat_map(of_row)
                });
                let tokens = match takes_max {
                    false => whole.add(tokens()),
                    true => whole.add(members().flat_map(|row| {
                        let last = row.tokens - 1;
                        let pooled = move |at: usize| if at < row.unpooled { last } else { at };
                        (0..padded).map(move |at| (row.start + pooled(at).min(last)) as u32)
                    })),
                };
                Some((tokens, real.add(weights), poolings.len()))
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
        let attention = !packing.packs_attention;
        let attention = attention.then(|| self.attention(whole, real, each_part, packing));
        let (rows, tokens) = (self.group.rows.len(), self.group.padded);
        let pooling = |(places, weights, poolings)| -> Result<PaddedPooling> {
            Ok(PaddedPooling {
                tokens: whole.get(places)?,
                weights: real.get(weights)?.reshape((rows, poolings, tokens))?,
            })
        };
        Ok(Padded {
            attention: attention.transpose()?,
            rows: self.group.rows,
            tokens,
            pooling: self.pooling.map(pooling).transpose()?,
        })
    }

    fn attention(
        &self,
        whole: &Uploaded,
        real: &Uploaded,
        each_part: &Tensor,
        packing: Packing<'_>,
    ) -> Result<PaddedAttention> {
        let (rows, tokens, heads) = (self.group.rows.len(), self.group.padded, packing.heads);
        let dtype = packing.dtype;
        let vectors = whole
            .get(self.vectors.clone())?
            .reshape((1, rows, 1, tokens))?;
        let padding = |places| {
            real.get(places)?
                .to_dtype(dtype)?
                .reshape((rows, 1, 1, tokens))
        };
        let padding = self.mask.clone().map(padding).transpose()?;
        let bias = packing.position_bias.map(|bias| bias.of(tokens));
        let bias = bias.transpose()?;
        let distances = packing.distances;
        let distances = distances.map(|distances| distances.of(rows, heads, tokens));
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
        Ok(PaddedAttention {
            parts: vectors.broadcast_add(each_part)?.flatten_all()?,
            distances: distances.transpose()?,
            added: packing.masks.iter().map(added).collect::<Result<_>>()?,
        })
    }
}

/// Returns the weights of the tokens of a row in the vector of a pooling; of the greatest numbers,
/// which are no sum, none has one.
fn weights(
    row: Row,
    input: RowInput<'_>,
    pooling: Pooling,
    padded: usize,
) -> impl Iterator<Item = f32> {
    let pooled = match input.chosen(pooling) {
        Some(chosen) => chosen..chosen + 1,
        None => row.unpooled..row.tokens,
    };
    let count = pooled.len() as f32;
    // Places count from 1: their sum, those of the tokens that are not pooled left out.
    let triangle = |tokens: usize| (tokens * (tokens + 1) / 2) as f32;
    let places = triangle(row.tokens) - triangle(row.unpooled);
    let weight = move |at: usize| match pooling {
        Pooling::Mean => 1.0 / count,
        Pooling::MeanSqrtLen => 1.0 / count.sqrt(),
        Pooling::WeightedMean => (at + 1) as f32 / places,
        Pooling::Cls
        | Pooling::LastToken
        | Pooling::LastTokenBut(_)
        | Pooling::FirstOf(_)
        | Pooling::GreatestId => 1.0,
        Pooling::Max => 0.0,
    };
    (0..padded).map(move |at| {
        if pooled.contains(&at) {
            weight(at)
        } else {
            0.0
        }
    })
}

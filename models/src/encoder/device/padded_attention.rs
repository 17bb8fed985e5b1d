//! A group of rows padded to one length, as attention takes it.

use std::iter::repeat_n;

use candle_core::{Result, Tensor};
use motet_kernels::Mask;

use super::groups::Group;
use super::mask::{self, MASKED};
use super::pack::{Packing, Row};
use super::padded;
use super::relative::PairVectors;
use super::upload::{Place, Upload, Uploaded};

/// The indices and masks of attention for R rows of L tokens.
pub(super) struct PaddedAttention {
    /// R
    pub(super) rows: usize,
    /// L
    pub(super) tokens: usize,
    /// Queries, keys and values of each head: where they are among the vectors of all tokens, u32
    /// `[3 * R * heads * L]`.
    pub(super) parts: Tensor,
    /// Added to the scores, `[R * heads, L, L]`, for each of the model's masks: the mask, that of
    /// padding and of what is not attended to, and the position bias; `None` with none of them.
    pub(super) added: Vec<Option<Tensor>>,
    /// The vectors of the distances between its tokens.
    pub(super) distances: Option<PairVectors>,
}

/// A group whose numbers wait for their transfer.
pub(super) struct PaddedAttentionPlaces {
    rows: usize,
    tokens: usize,
    /// The first vector of each token, `[R * L]`.
    vectors: Place,
    /// `[R, L]`
    mask: Option<Place>,
}

impl PaddedAttentionPlaces {
    pub(super) fn new(
        group: &Group,
        rows: &[Row],
        packing: Packing<'_>,
        whole: &mut Upload<u32>,
        real: &mut Upload<f32>,
    ) -> Self {
        let tokens = group.padded;
        let vectors_of_token = packing.vectors_of_token() as u32;
        let vectors = padded::tokens(group, rows).map(|token| token * vectors_of_token);
        let attended = || group.rows.iter().map(|row| rows[*row].attended);
        let mask = attended().any(|attended| attended < tokens).then(|| {
            real.add(attended().flat_map(|attended| {
                repeat_n(0.0, attended).chain(repeat_n(MASKED, tokens - attended))
            }))
        });
        Self {
            rows: group.rows.len(),
            tokens,
            vectors: whole.add(vectors),
            mask,
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
    ) -> Result<PaddedAttention> {
        let Self { rows, tokens, .. } = self;
        let (heads, dtype) = (packing.heads, packing.dtype);
        let vectors = whole.get(self.vectors)?.reshape((1, rows, 1, tokens))?;
        let padding = |places| {
            real.get(places)?
                .to_dtype(dtype)?
                .reshape((rows, 1, 1, tokens))
        };
        let padding = self.mask.map(padding).transpose()?;
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
            rows,
            tokens,
            parts: vectors.broadcast_add(each_part)?.flatten_all()?,
            distances: distances.transpose()?,
            added: packing.masks.iter().map(added).collect::<Result<_>>()?,
        })
    }
}

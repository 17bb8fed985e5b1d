//! A group of rows padded to one length. Padding is the row's last token again, a number like any
//! other, and it counts for nothing: its scores are masked, its results are not read.

use candle_core::{Result, Tensor};

use super::groups::Group;
use super::pack::{Packing, Row};
use super::upload::{Place, Upload, Uploaded};
use crate::architecture::Pooling;
use crate::encoder::RowInput;

/// R rows of L tokens each on a device.
pub(super) struct Padded {
    /// The numbers of the rows in the batch.
    pub(super) rows: Vec<usize>,
    /// L
    pub(super) tokens: usize,
    /// How vectors of tokens become one of a row; `None` where each token gives its own.
    pub(super) pooling: Option<PaddedPooling>,
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
                    false => whole.add(tokens(&group, rows)),
                    true => whole.add(members().flat_map(|row| {
                        let last = row.tokens - 1;
                        let pooled = move |at: usize| if at < row.unpooled { last } else { at };
                        (0..padded).map(move |at| (row.start + pooled(at).min(last)) as u32)
                    })),
                };
                Some((tokens, real.add(weights), poolings.len()))
            }
        };
        Self { group, pooling }
    }

    pub(super) fn get(self, whole: &Uploaded, real: &Uploaded) -> Result<Padded> {
        let (rows, tokens) = (self.group.rows.len(), self.group.padded);
        let pooling = |(places, weights, poolings)| -> Result<PaddedPooling> {
            Ok(PaddedPooling {
                tokens: whole.get(places)?,
                weights: real.get(weights)?.reshape((rows, poolings, tokens))?,
            })
        };
        Ok(Padded {
            rows: self.group.rows,
            tokens,
            pooling: self.pooling.map(pooling).transpose()?,
        })
    }
}

/// Returns the token at each place of a group, `[R * L]`.
pub(super) fn tokens(group: &Group, rows: &[Row]) -> impl Iterator<Item = u32> {
    let members = group.rows.iter().map(|row| rows[*row]);
    let padded = group.padded;
    members
        .flat_map(move |row| (0..padded).map(move |at| (row.start + at.min(row.tokens - 1)) as u32))
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

//! Outputs of the rows, from the last layer's vectors. Rows are pooled on the device, so that only
//! one vector of each is copied to the host, where the head's own products are computed.

use candle_core::{DType, Result, Tensor};

use super::pack::Pack;
use super::padded::Padded;
use crate::architecture::{Pooling, Readout};
use crate::encoder::{HeadedRow, LoadedHead};
use crate::values::Values;

/// Returns the poolings of any row, each once.
pub(super) fn poolings(rows: &[HeadedRow<'_>]) -> Vec<Pooling> {
    let mut all = Vec::new();
    for head in rows.iter().flat_map(|row| row.heads) {
        let Readout::Pooled(poolings) = head.readout() else {
            continue;
        };
        for pooling in poolings {
            if !all.contains(pooling) {
                all.push(*pooling);
            }
        }
    }
    all
}

/// The vectors of a batch that heads read, on the host.
pub(super) struct Read {
    /// Size of a vector.
    size: usize,
    /// The vectors of all tokens, if any head reads one.
    tokens: Vec<f32>,
    /// The vectors of each pooling, of the rows in the order of their groups.
    pooled: Vec<f32>,
    /// The place of each row in that order.
    places: Vec<usize>,
}

/// Copies to the host what the heads of any row read; `hidden` is `[T, H]`, and `poolings` are
/// those of any row.
pub(super) fn read(
    hidden: &Tensor,
    rows: &[HeadedRow<'_>],
    pack: &Pack,
    poolings: &[Pooling],
) -> Result<Read> {
    let size = hidden.dim(1)?;
    // Sums of 16-bit numbers would lose what the layers kept.
    let hidden = hidden.to_dtype(DType::F32)?;
    let reads_tokens = |head: &&LoadedHead| !matches!(head.readout(), Readout::Pooled(_));
    let reads_tokens = rows.iter().any(|row| row.heads.iter().any(reads_tokens));
    let tokens: Vec<f32> = match reads_tokens {
        true => hidden.flatten_all()?.to_vec1()?,
        false => Vec::new(),
    };
    let pooled = pooled(&hidden, poolings, pack)?;
    let mut places = vec![0; rows.len()];
    let grouped = pack.groups.iter().flat_map(|group| &group.rows);
    grouped.enumerate().for_each(|(at, row)| places[*row] = at);
    Ok(Read {
        size,
        tokens,
        pooled,
        places,
    })
}

impl Read {
    /// Returns what the heads of each row make of it, in their order.
    pub(super) fn outputs(&self, rows: &[HeadedRow<'_>], poolings: &[Pooling]) -> Vec<Vec<Values>> {
        let size = self.size;
        let mut first = 0;
        let of_row = |(row, place): (&HeadedRow<'_>, &usize)| {
            let count = row.row.len();
            let start = first;
            first += count;
            let of_head = |head: &&LoadedHead| {
                let vectors = match head.readout() {
                    Readout::EveryToken | Readout::AfterFirst => {
                        let mut kept = Vec::with_capacity(count * size);
                        for at in head.tokens_read(row.row) {
                            kept.extend_from_slice(&self.tokens[(start + at) * size..][..size]);
                        }
                        kept
                    }
                    Readout::Pooled(own) => {
                        let vector = |pooling: &Pooling| {
                            let at = poolings.iter().position(|known| known == pooling);
                            let at = place * poolings.len() + at.unwrap_or(0);
                            &self.pooled[at * size..][..size]
                        };
                        own.iter().flat_map(vector).copied().collect()
                    }
                };
                head.apply(vectors, row.row)
            };
            row.heads.iter().map(of_head).collect()
        };
        rows.iter().zip(&self.places).map(of_row).collect()
    }
}

/// Returns the vectors of the rows of all groups with rows that are pooled, one after another.
fn pooled(hidden: &Tensor, poolings: &[Pooling], pack: &Pack) -> Result<Vec<f32>> {
    let group = |group: &Padded| {
        let pooling = group.pooling.as_ref()?;
        let shape = (group.rows.len(), group.tokens, ());
        let vectors = hidden.index_select(&pooling.tokens, 0);
        let vectors = vectors.and_then(|vectors| vectors.reshape(shape));
        Some(vectors.and_then(|vectors| {
            let sums = pooling.weights.matmul(&vectors)?;
            with_greatest(sums, &vectors, poolings)
        }))
    };
    let groups: Vec<Tensor> = pack
        .groups
        .iter()
        .filter_map(group)
        .collect::<Result<_>>()?;
    match &groups[..] {
        [] => Ok(Vec::new()),
        [one] => one.flatten_all()?.to_vec1(),
        several => Tensor::cat(several, 0)?.flatten_all()?.to_vec1(),
    }
}

/// Returns the vectors of R rows, `[R, P, H]`, with the greatest numbers of the tokens' vectors,
/// `[R, L, H]`, where a pooling wants these.
fn with_greatest(sums: Tensor, vectors: &Tensor, poolings: &[Pooling]) -> Result<Tensor> {
    if !poolings.contains(&Pooling::Max) {
        return Ok(sums);
    }
    let greatest = vectors.max_keepdim(1)?;
    let of_pooling = |(at, pooling): (usize, &Pooling)| match pooling {
        Pooling::Max => Ok(greatest.clone()),
        _ => sums.narrow(1, at, 1),
    };
    let all = poolings.iter().enumerate().map(of_pooling);
    Tensor::cat(&all.collect::<Result<Vec<_>>>()?, 1)
}

//! Outputs of the rows, from the last layer's vectors. Rows are pooled on the device, so that only
//! one vector of each is copied to the host, where the head's own products are computed.

use candle_core::{DType, Result, Tensor};

use super::pack::Pack;
use super::padded::Padded;
use crate::architecture::{Pooling, Readout};
use crate::encoder::{LoadedHead, RowInput};
use crate::values::Values;

/// Returns what `head` makes of each row, in their order; `hidden` is `[T, H]`.
pub(super) fn outputs(
    hidden: &Tensor,
    rows: &[RowInput<'_>],
    pack: &Pack,
    head: &LoadedHead,
) -> Result<Vec<Values>> {
    let size = head.readout().size(hidden.dim(1)?);
    // Sums of 16-bit numbers would lose what the layers kept.
    let hidden = hidden.to_dtype(DType::F32)?;
    match head.readout() {
        Readout::EveryToken => {
            let hidden: Vec<f32> = hidden.flatten_all()?.to_vec1()?;
            let mut rest = hidden.as_slice();
            let row = |row: &RowInput<'_>| {
                let (vectors, others) = rest.split_at(row.ids.len() * size);
                rest = others;
                head.apply(vectors.to_vec())
            };
            Ok(rows.iter().map(row).collect())
        }
        Readout::Pooled(poolings) => {
            let pooled = pooled(&hidden, poolings, pack)?;
            // The row of `pooled` that is each row's.
            let mut place = vec![0; rows.len()];
            let grouped = pack.groups.iter().flat_map(|group| &group.rows);
            grouped.enumerate().for_each(|(at, row)| place[*row] = at);
            let vector = |place: usize| &pooled[place * size..][..size];
            let row = |place| head.apply(vector(place).to_vec());
            Ok(place.into_iter().map(row).collect())
        }
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

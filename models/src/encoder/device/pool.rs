//! Outputs of the rows, from the last layer's vectors. Rows are pooled on the device, so that only
//! one vector of each is copied to the host, where the head's own products are computed.

use candle_core::{DType, Result, Tensor};

use super::pack::Pack;
use super::padded::Padded;
use crate::architecture::Readout;
use crate::encoder::{LoadedHead, RowInput};
use crate::values::Values;

/// Returns what `head` makes of each row, in their order; `hidden` is `[T, H]`.
pub(super) fn outputs(
    hidden: &Tensor,
    rows: &[RowInput<'_>],
    pack: &Pack,
    head: &LoadedHead,
) -> Result<Vec<Values>> {
    let size = hidden.dim(1)?;
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
        Readout::Pooled(_) => {
            let pooled = pooled(&hidden, pack)?;
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
fn pooled(hidden: &Tensor, pack: &Pack) -> Result<Vec<f32>> {
    let group = |group: &Padded| {
        let pooling = group.pooling.as_ref()?;
        let shape = (group.rows.len(), group.tokens, ());
        let vectors = hidden.index_select(&pooling.tokens, 0);
        Some(vectors.and_then(|vectors| pooling.weights.matmul(&vectors.reshape(shape)?)))
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

//! Outputs of the rows, from the last layer's vectors. Rows are pooled on the device, so that only
//! the outputs are copied to the host.

use candle_core::{DType, Result, Tensor};

use super::pack::Pack;
use super::padded::Padded;
use crate::config::{ModelConfig, Pooling};
use crate::encoder::output;
use crate::encoder::{RowEmbedding, RowInput, RowOutput};

/// `hidden` is `[T, H]`; the results are in the order of the rows.
pub(super) fn outputs(
    hidden: &Tensor,
    rows: &[&RowInput<'_>],
    pack: &Pack,
    config: &ModelConfig,
) -> Result<Vec<RowEmbedding>> {
    let size = config.hidden_size();
    // Sums of 16-bit numbers would lose what the layers kept.
    let hidden = hidden.to_dtype(DType::F32)?;
    let pooled = pooled(&hidden, pack)?;
    let tokens = match &pack.wanted {
        Some(wanted) if wanted.elem_count() == hidden.dim(0)? => hidden.flatten_all()?.to_vec1()?,
        Some(wanted) => hidden.index_select(wanted, 0)?.flatten_all()?.to_vec1()?,
        None => Vec::new(),
    };
    // The row of `pooled` that is each row's.
    let mut place = vec![0; rows.len()];
    let groups = pack.groups.iter().filter(|group| group.pooling.is_some());
    groups
        .flat_map(|group| &group.rows)
        .enumerate()
        .for_each(|(at, row)| place[*row] = at);
    let mut tokens = tokens.as_slice();
    let row = |(row, place): (&&RowInput<'_>, usize)| match row.output {
        RowOutput::Tokens { .. } => {
            let (vectors, others) = tokens.split_at(row.ids.len() * size);
            tokens = others;
            output::of_row(row.output, config, row.ids.len(), |token, vector| {
                vector.copy_from_slice(&vectors[token * size..][..size]);
            })
        }
        RowOutput::Pooled { normalize, .. } => {
            // It is pooled already: the row is its one vector.
            let one = RowOutput::Pooled {
                pooling: Some(Pooling::Cls),
                normalize,
            };
            output::of_row(one, config, 1, |_, vector| {
                vector.copy_from_slice(&pooled[place * size..][..size]);
            })
        }
    };
    Ok(rows.iter().zip(place).map(row).collect())
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

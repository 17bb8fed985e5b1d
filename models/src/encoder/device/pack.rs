//! A batch laid out on a device: rows one after another without padding, and the groups in which
//! attention takes them.

use candle_core::{DType, Device, Result, Tensor};

use super::groups;
use super::padded::{Padded, PaddedPlaces};
use super::upload::Upload;
use crate::config::ModelConfig;
use crate::encoder::{RowInput, RowOutput};

/// A batch of T tokens in all.
pub(super) struct Pack {
    /// Token ids of all rows, u32 `[T]`.
    pub(super) ids: Tensor,
    /// Position of each token in its row, u32 `[T]`.
    pub(super) positions: Tensor,
    /// The rows again, in groups padded to one length.
    pub(super) groups: Vec<Padded>,
    /// For each token and head, which of the vectors that attention makes in all groups is its own;
    /// u32 `[T * heads]`.
    pub(super) back: Tensor,
    /// The tokens whose own vectors are wanted, row after row, u32; `None` if there are none.
    pub(super) wanted: Option<Tensor>,
}

/// Where a row is among the tokens of the batch, and what is wanted of it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) start: usize,
    pub(super) tokens: usize,
    pub(super) output: RowOutput,
}

impl Row {
    /// Returns whether the vectors of its tokens are wanted, and not one for the row.
    pub(super) fn wants_tokens(&self) -> bool {
        matches!(self.output, RowOutput::Tokens { .. })
    }
}

impl Pack {
    /// There must be one row at least, none empty. `dtype` is that of attention's scores.
    pub(super) fn new(
        inputs: &[&RowInput<'_>],
        config: &ModelConfig,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let heads = config.architecture.heads();
        let rows = rows(inputs);
        let lengths: Vec<usize> = rows.iter().map(|row| row.tokens).collect();
        let groups = groups::split(&lengths, heads);

        let (mut whole, mut real) = (Upload::new(), Upload::new());
        let ids = whole.add(inputs.iter().flat_map(|row| row.ids.iter().copied()));
        let positions = whole.add(rows.iter().flat_map(|row| 0..row.tokens as u32));
        let each_head = whole.add(0..heads as u32);
        let each_part = whole.add(0..3 * heads as u32);
        let (first, step) = ways_back(&rows, &groups, heads);
        let tokens = first.len();
        let (first, step) = (whole.add(first), whole.add(step));
        let of_tokens = || rows.iter().filter(|row| row.wants_tokens());
        let wanted = of_tokens().next().is_some().then(|| {
            let all = of_tokens().flat_map(|row| row.start..row.start + row.tokens);
            whole.add(all.map(|token| token as u32))
        });
        let groups: Vec<PaddedPlaces> = groups
            .into_iter()
            .map(|group| PaddedPlaces::new(group, &rows, config, &mut whole, &mut real))
            .collect();

        let (whole, real) = (whole.send(device)?, real.send(device)?);
        let each_head = whole.get(each_head)?.reshape((1, heads))?;
        let each_part = whole.get(each_part)?.reshape((3, 1, heads, 1))?;
        let back = whole
            .get(step)?
            .reshape((tokens, 1))?
            .broadcast_mul(&each_head)?
            .broadcast_add(&whole.get(first)?.reshape((tokens, 1))?)?;
        Ok(Self {
            ids: whole.get(ids)?,
            positions: whole.get(positions)?,
            groups: groups
                .into_iter()
                .map(|group| group.get(&whole, &real, &each_part, dtype))
                .collect::<Result<_>>()?,
            back: back.flatten_all()?,
            wanted: wanted.map(|wanted| whole.get(wanted)).transpose()?,
        })
    }
}

fn rows(inputs: &[&RowInput<'_>]) -> Vec<Row> {
    let mut start = 0;
    let row = |input: &&RowInput<'_>| {
        let row = Row {
            start,
            tokens: input.ids.len(),
            output: input.output,
        };
        start += row.tokens;
        row
    };
    inputs.iter().map(row).collect()
}

/// Attention makes a vector for each row, head and place of each group, in this order of
/// significance, one group after the other. For each token: which is that of its first head, and
/// how far on is that of its next head.
fn ways_back(rows: &[Row], groups: &[groups::Group], heads: usize) -> (Vec<u32>, Vec<u32>) {
    let tokens = rows.last().map_or(0, |row| row.start + row.tokens);
    let (mut first, mut step) = (vec![0; tokens], vec![0; tokens]);
    let mut vectors = 0;
    for group in groups {
        for row in group.rows.iter().map(|row| rows[*row]) {
            let places = row.start..row.start + row.tokens;
            step[places.clone()].fill(group.padded as u32);
            first[places]
                .iter_mut()
                .zip(vectors as u32..)
                .for_each(|(first, at)| *first = at);
            vectors += heads * group.padded;
        }
    }
    (first, step)
}

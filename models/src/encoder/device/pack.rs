//! A batch laid out on a device: rows one after another without padding, and the groups in which
//! attention takes them.

use candle_core::{DType, Device, Result, Tensor};
use motet_kernels::Mask;

use super::convolution::neighbours;
use super::groups;
use super::packed_attention::{PackedPlaces, PackedRows};
use super::padded::{Padded, PaddedPlaces};
use super::padded_attention::{PaddedAttention, PaddedAttentionPlaces};
use super::position_bias::PositionBias;
use super::relative::DistanceVectors;
use super::rotary::{Rotary, Rotations};
use super::upload::{Place, Upload};
use crate::architecture::Pooling;
use crate::encoder::RowInput;
use crate::encoder::tables::PositionTypes;

/// A batch of T tokens in all, on the device.
pub(super) struct Pack {
    /// Token ids of all rows, u32 `[T]`; `None` where rows are images.
    pub(super) ids: Option<Tensor>,
    /// Row of the table of positions and types that each token takes, u32 `[T]`.
    pub(super) positions: Tensor,
    /// The rotations of the tokens, for each of the model's rotary embeddings.
    pub(super) rotations: Vec<Rotations>,
    /// The neighbours of each token, for the model's convolution: u32 `[T * kernel]`. A place
    /// beyond the ends of a row is `T`.
    pub(super) neighbours: Option<Tensor>,
    /// The rows again, in groups padded to one length.
    pub(super) groups: Vec<Padded>,
    pub(super) attended: Attended,
}

/// How attention takes the rows.
pub(super) enum Attended {
    /// All at once.
    AtOnce(PackedRows),
    /// In groups padded to one length.
    InGroups {
        groups: Vec<PaddedAttention>,
        /// For each token and head, which of the vectors that attention makes in all groups is its
        /// own; u32 `[T * heads]`.
        back: Tensor,
    },
}

/// Where a row is among the tokens of the batch.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) start: usize,
    pub(super) tokens: usize,
    /// Tokens at its beginning that are not pooled.
    pub(super) unpooled: usize,
    /// Tokens at its beginning that are attended to.
    pub(super) attended: usize,
}

/// Properties of the model for which a batch is laid out.
#[derive(Clone, Copy)]
pub(super) struct Packing<'a> {
    /// Number of heads of queries.
    pub(super) heads: usize,
    /// Number of heads of keys and of values.
    pub(super) kv_heads: usize,
    /// `true` if attention takes all rows at once where they attend to all of their tokens.
    pub(super) packs_attention: bool,
    /// The rotary embeddings of the layers.
    pub(super) rotaries: &'a [Rotary],
    /// The masks of the layers.
    pub(super) masks: &'a [Mask],
    /// Which rows of the table of positions and types tokens take.
    pub(super) position_types: PositionTypes,
    /// Added to the scores of attention.
    pub(super) position_bias: Option<&'a PositionBias>,
    /// Vectors of distances.
    pub(super) distances: Option<&'a DistanceVectors>,
    /// Neighbours of a token in the model's convolution.
    pub(super) kernel: Option<usize>,
    /// Poolings of any row.
    pub(super) poolings: &'a [Pooling],
    /// Element type of attention's scores.
    pub(super) dtype: DType,
}

impl Packing<'_> {
    /// Returns the number of vectors that a token has: queries, keys and values of all heads.
    pub(super) fn vectors_of_token(&self) -> usize {
        self.heads + 2 * self.kv_heads
    }

    /// Returns which of a token's vectors are the query of each head, its key and its value:
    /// `[3 * heads]`.
    fn parts(&self) -> impl Iterator<Item = u32> {
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        let shared_by = heads / kv_heads;
        let shared = move |first| (0..heads).map(move |head| first + head / shared_by);
        let parts = (0..heads)
            .chain(shared(heads))
            .chain(shared(heads + kv_heads));
        parts.map(|vector| vector as u32)
    }
}

/// A batch laid out on the host. It takes no device: one batch is laid out while another runs.
pub(super) struct Layout<'a> {
    packing: Packing<'a>,
    whole: Upload<u32>,
    real: Upload<f32>,
    ids: Option<Place>,
    positions: Place,
    each_head: Place,
    each_part: Place,
    /// Places of tokens in their rows, for rotations, and the most that a row has.
    places: Option<(Place, usize)>,
    neighbours: Option<Place>,
    attended: AttendedPlaces,
    groups: Vec<PaddedPlaces>,
}

impl<'a> Layout<'a> {
    /// There must be one row at least, none empty.
    pub(super) fn new(inputs: &[RowInput<'_>], packing: Packing<'a>) -> Self {
        let Packing {
            heads,
            position_types,
            ..
        } = packing;
        let rows = rows(inputs);
        let lengths: Vec<usize> = rows.iter().map(|row| row.tokens).collect();
        let groups = groups::split(&lengths, heads);

        let (mut whole, mut real) = (Upload::new(), Upload::new());
        let mut ids = inputs.iter().flat_map(|row| row.ids()).copied().peekable();
        let has_ids = ids.peek().is_some();
        let ids = has_ids.then(|| whole.add(ids));
        let positions = inputs.iter().flat_map(|row| position_types.indices(*row));
        let positions = whole.add(positions);
        let each_head = whole.add(0..heads as u32);
        let each_part = whole.add(packing.parts());
        // Tokens are rotated by their places in the row, also those that have no row of the table.
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let places = (!packing.rotaries.is_empty()).then(|| {
            let places = lengths.iter().flat_map(|tokens| 0..*tokens as u32);
            (whole.add(places), longest)
        });
        let kernel = packing.kernel;
        let neighbours = kernel.map(|kernel| whole.add(neighbours(&rows, kernel)));
        let is_at_once =
            packing.packs_attention && rows.iter().all(|row| row.attended == row.tokens);
        let attended = match is_at_once {
            true => AttendedPlaces::AtOnce(PackedPlaces::new(&lengths, &mut whole)),
            false => {
                let (first, step) = ways_back(&rows, &groups, heads);
                let mut places = |group| {
                    PaddedAttentionPlaces::new(group, &rows, packing, &mut whole, &mut real)
                };
                AttendedPlaces::InGroups {
                    groups: groups.iter().map(&mut places).collect(),
                    ways_back: [first, step].map(|way| whole.add(way)),
                }
            }
        };
        let groups = groups
            .into_iter()
            .map(|group| PaddedPlaces::new(group, &rows, inputs, packing, &mut whole, &mut real))
            .collect();
        Self {
            packing,
            whole,
            real,
            ids,
            positions,
            each_head,
            each_part,
            places,
            neighbours,
            attended,
            groups,
        }
    }

    /// Brings it to the device.
    pub(super) fn send(self, device: &Device) -> Result<Pack> {
        let (packing, heads) = (self.packing, self.packing.heads);
        let (whole, real) = (self.whole.send(device)?, self.real.send(device)?);
        let each_head = whole.get(self.each_head)?.reshape((1, heads))?;
        let each_part = whole.get(self.each_part)?.reshape((3, 1, heads, 1))?;
        let attended = match self.attended {
            AttendedPlaces::AtOnce(places) => Attended::AtOnce(places.get(&whole)?),
            AttendedPlaces::InGroups { groups, ways_back } => {
                let [first, step] = ways_back.map(|way| whole.get(way)?.reshape(((), 1)));
                let back = step?.broadcast_mul(&each_head)?.broadcast_add(&first?)?;
                let groups = groups.into_iter();
                let groups = groups.map(|group| group.get(&whole, &real, &each_part, packing));
                Attended::InGroups {
                    groups: groups.collect::<Result<_>>()?,
                    back: back.flatten_all()?,
                }
            }
        };
        let rotations = match self.places {
            Some((places, longest)) => {
                let places = whole.get(places)?;
                let rotaries = packing.rotaries.iter();
                rotaries
                    .map(|rotary| rotary.of(&places, longest))
                    .collect::<Result<_>>()?
            }
            None => Vec::new(),
        };
        let get = |place: Option<Place>| place.map(|place| whole.get(place)).transpose();
        Ok(Pack {
            ids: get(self.ids)?,
            positions: whole.get(self.positions)?,
            rotations,
            neighbours: get(self.neighbours)?,
            groups: self
                .groups
                .into_iter()
                .map(|group| group.get(&whole, &real))
                .collect::<Result<_>>()?,
            attended,
        })
    }
}

/// [`Attended`], while its numbers wait for their transfer.
enum AttendedPlaces {
    AtOnce(PackedPlaces),
    InGroups {
        groups: Vec<PaddedAttentionPlaces>,
        /// For each token: which vector is that of its first head, and how far on the next is.
        ways_back: [Place; 2],
    },
}

fn rows(inputs: &[RowInput<'_>]) -> Vec<Row> {
    let mut start = 0;
    let row = |input: &RowInput<'_>| {
        let row = Row {
            start,
            tokens: input.len(),
            unpooled: input.unpooled,
            attended: input.len() - input.unattended,
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

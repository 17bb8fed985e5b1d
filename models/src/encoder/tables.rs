//! Tables of embeddings and of position biases, as both engines compute with them.

use motet_kernels::Buckets;

use crate::architecture::{PositionBias, TokenEmbedding};
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;

/// Returns the table of position vectors, `[P, E]`. The vector of token type 0 is already added:
/// rows are single texts, whose tokens are all of that type.
pub(super) fn positions(
    checkpoint: &Checkpoint,
    embedding: &TokenEmbedding,
) -> Result<Vec<f32>, LoadError> {
    let mut positions = checkpoint.values(&embedding.positions)?;
    if let Some(types) = &embedding.types {
        let first = checkpoint.values(&types.clone().with_rows(0..1))?;
        for position in positions.chunks_exact_mut(first.len()) {
            let sums = position.iter_mut().zip(&first);
            sums.for_each(|(value, of_type)| *value += of_type);
        }
    }
    Ok(positions)
}

/// Returns the table of a position bias, `[buckets, heads]`, and its buckets.
pub(super) fn position_bias(
    checkpoint: &Checkpoint,
    bias: &PositionBias,
) -> Result<(Vec<f32>, Buckets), LoadError> {
    let buckets = Buckets {
        count: bias.table.len(),
        max_distance: bias.max_distance,
        bidirectional: true,
    };
    Ok((checkpoint.values(&bias.table)?, buckets))
}

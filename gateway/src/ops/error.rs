//! Why an op cannot answer.

use motet_proto::tensor::TensorError;
use motet_proto::types::ElementType;

/// The most bytes that an op gives: those of the largest message that can be configured. A short
/// index over a long text, or a text joined with itself again and again, would else grow past any
/// memory.
pub const OUTPUT_BYTES_MAX: usize = 1 << 30;

/// Why an op cannot answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpError {
    /// A tensor is not what the op takes.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An index points outside the columns.
    #[error("index {index} at {at} is out of range: there are {rows} rows")]
    Index {
        /// Where in the index.
        at: usize,
        /// What it says.
        index: i32,
        /// Rows there are.
        rows: usize,
    },
    /// Vectors of different widths.
    #[error("the query has {query} dimensions and the keys have {keys}")]
    Width {
        /// Of the query.
        query: usize,
        /// Of each key.
        keys: usize,
    },
    /// The result would be larger than an op may give.
    #[error("the result would have more than {OUTPUT_BYTES_MAX} bytes, which is the limit")]
    TooLarge,
    /// A text that is no value of the type that it is cast to.
    #[error("element {at} cannot be read as {to}")]
    Cast {
        /// Which element.
        at: usize,
        /// The type.
        to: ElementType,
    },
    /// Another number of labels than of scores.
    #[error("there are {labels} labels for {scores} scores")]
    Labels {
        /// Labels.
        labels: usize,
        /// Scores of a row.
        scores: usize,
    },
    /// The best of nothing.
    #[error("a row without scores has no best")]
    Nothing,
    /// A parameter is missing or of another type: the check lets none of these through.
    #[error("parameter {0} is not what the op takes")]
    Parameter(usize),
}

/// Refuses a result of these parts when it is too large, before it is made.
pub(super) fn within_limit(mut bytes: impl Iterator<Item = usize>) -> Result<(), OpError> {
    bytes
        .try_fold(0usize, |all, n| {
            all.checked_add(n).filter(|all| *all <= OUTPUT_BYTES_MAX)
        })
        .map(drop)
        .ok_or(OpError::TooLarge)
}

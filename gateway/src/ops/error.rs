//! Errors of ops, with the arguments that cause them.

use motet_proto::tensor::TensorError;
use motet_proto::types::ElementType;

use crate::compute::Cancelled;

/// Largest result of an op in bytes: the largest message that can be configured. A short index over
/// a long text, or a text joined with itself repeatedly, would otherwise exhaust the memory.
pub const OUTPUT_BYTES_MAX: usize = 1 << 30;

/// An input or setting of an op, by index in its [`Signature`].
///
/// [`Signature`]: super::ports::Signature
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentId {
    /// The input of this index.
    Input(usize),
    /// The parameter of this index.
    Setting(usize),
}

/// Error of an op, with the arguments that caused it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{kind}")]
pub struct OpError {
    /// Cause of the error.
    pub kind: OpErrorKind,
    /// Arguments whose content is at fault, the likeliest first. Empty for a bug or a limit.
    pub arguments: Vec<ArgumentId>,
}

/// Causes of errors of ops.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpErrorKind {
    /// A tensor is of another type or shape than the op accepts.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An index points outside the columns.
    #[error("index {index} at {at} is out of range: there are {rows} rows")]
    Index {
        /// Position in the list of indices.
        at: usize,
        /// Value of the index.
        index: i32,
        /// Number of rows.
        rows: usize,
    },
    /// Vectors have different numbers of dimensions.
    #[error("the query has {query} dimensions and the keys have {keys}")]
    Width {
        /// Dimensions of the query.
        query: usize,
        /// Dimensions of each key.
        keys: usize,
    },
    /// The result is larger than [`OUTPUT_BYTES_MAX`].
    #[error("the result would have more than {OUTPUT_BYTES_MAX} bytes, which is the limit")]
    OutputTooLarge,
    /// A string is not a value of the type to which it is cast.
    #[error("element {at} cannot be read as {to}")]
    Unreadable {
        /// Index of the element.
        at: usize,
        /// The target type.
        to: ElementType,
    },
    /// The number of labels is not the number of scores in a row.
    #[error("there are {labels} labels for {scores} scores")]
    Labels {
        /// Number of labels.
        labels: usize,
        /// Number of scores in a row.
        scores: usize,
    },
    /// A row without elements has no extreme element.
    #[error("a row without elements has no {0}")]
    EmptyRow(&'static str),
    /// The op does not accept a value.
    #[error("{0}")]
    Value(&'static str),
    /// An argument is missing or of another type; the check of the pipeline prevents this.
    #[error("an argument of the op is missing or of the wrong type")]
    Argument,
    /// The request ended while the op ran.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl OpErrorKind {
    /// Returns the error with the arguments that caused it, the likeliest first.
    pub fn caused_by(self, arguments: impl Into<Vec<ArgumentId>>) -> OpError {
        OpError {
            kind: self,
            arguments: arguments.into(),
        }
    }

    /// Returns the error, caused by the content of one input.
    pub fn in_input(self, input: usize) -> OpError {
        self.caused_by([ArgumentId::Input(input)])
    }
}

impl From<OpErrorKind> for OpError {
    /// Returns an error that no argument causes.
    fn from(kind: OpErrorKind) -> Self {
        kind.caused_by([])
    }
}

impl From<TensorError> for OpError {
    fn from(error: TensorError) -> Self {
        OpErrorKind::from(error).into()
    }
}

impl From<Cancelled> for OpError {
    fn from(cancelled: Cancelled) -> Self {
        OpErrorKind::from(cancelled).into()
    }
}

/// Checks the size of a result made of parts of these sizes, before it is made.
pub(super) fn within_output_limit(mut bytes: impl Iterator<Item = usize>) -> Result<(), OpError> {
    bytes
        .try_fold(0usize, |all, n| {
            all.checked_add(n).filter(|all| *all <= OUTPUT_BYTES_MAX)
        })
        .map(drop)
        .ok_or_else(|| OpErrorKind::OutputTooLarge.into())
}

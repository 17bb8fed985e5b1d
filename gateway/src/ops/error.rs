//! Why an op cannot answer, and which of its arguments is at fault.

use motet_proto::tensor::TensorError;
use motet_proto::types::ElementType;

use crate::compute::Cancelled;

/// The most bytes of an op's result: those of the largest message that can be configured. A short
/// index over a long text, or a text joined with itself again and again, would otherwise outgrow
/// any memory.
pub const OUTPUT_BYTES_MAX: usize = 1 << 30;

/// What an op takes: one of its inputs or settings, by index of its [`Signature`].
///
/// [`Signature`]: super::ports::Signature
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentId {
    /// The input of this index.
    Input(usize),
    /// The parameter of this index.
    Setting(usize),
}

/// The failure of an op, and the arguments that caused it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{kind}")]
pub struct OpError {
    /// What is wrong.
    pub kind: OpErrorKind,
    /// The arguments whose content is at fault, the likeliest first. Empty where the fault is in
    /// no argument: a bug, or a limit.
    pub arguments: Vec<ArgumentId>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpErrorKind {
    /// A tensor is not what the op takes.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An index points outside the columns.
    #[error("index {index} at {at} is out of range: there are {rows} rows")]
    Index {
        /// The position in the list of indices.
        at: usize,
        /// The index.
        index: i32,
        /// The number of rows.
        rows: usize,
    },
    /// Vectors of different widths.
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
    /// A text is not a value of the type that it is cast to.
    #[error("element {at} cannot be read as {to}")]
    Unreadable {
        /// The index of the element.
        at: usize,
        /// The type.
        to: ElementType,
    },
    /// The number of labels is not the number of scores in a row.
    #[error("there are {labels} labels for {scores} scores")]
    Labels {
        /// The number of labels.
        labels: usize,
        /// The number of scores in a row.
        scores: usize,
    },
    /// A row without elements has neither a best nor a smallest one.
    #[error("a row without elements has no {0}")]
    EmptyRow(&'static str),
    /// A value that the op does not take.
    #[error("{0}")]
    Value(&'static str),
    /// An argument is missing or of another type, which the check of a pipeline rules out.
    #[error("an argument of the op is missing or of the wrong type")]
    Argument,
    /// The request ended while the op ran.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl OpErrorKind {
    /// The error with the arguments that caused it, the likeliest first.
    pub fn caused_by(self, arguments: impl Into<Vec<ArgumentId>>) -> OpError {
        OpError {
            kind: self,
            arguments: arguments.into(),
        }
    }

    /// The error, caused by the content of one input.
    pub fn in_input(self, input: usize) -> OpError {
        self.caused_by([ArgumentId::Input(input)])
    }
}

impl From<OpErrorKind> for OpError {
    /// A failure that no argument is at fault for.
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

/// Refuses a result made of parts of these sizes when it is too large, before it is made.
pub(super) fn within_output_limit(mut bytes: impl Iterator<Item = usize>) -> Result<(), OpError> {
    bytes
        .try_fold(0usize, |all, n| {
            all.checked_add(n).filter(|all| *all <= OUTPUT_BYTES_MAX)
        })
        .map(drop)
        .ok_or_else(|| OpErrorKind::OutputTooLarge.into())
}

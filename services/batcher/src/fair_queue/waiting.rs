//! [`Waiting`]: a call with rows that have not left.

use crate::row::{Row, Rows, Work};
use crate::time::Time;

/// A call with rows that have not left.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) flow: usize,
    /// Start tag, in the virtual time of its flow.
    pub(super) start: u64,
    /// The call's first row, as the pattern of all.
    pub(super) first: Row,
    /// Rows that have been released.
    pub(super) released: usize,
    /// Parts after the first that have been released: the first row of each, and when it falls due.
    pub(super) later: Vec<(usize, Time)>,
    /// Tokens of all rows; empty if there was never a backlog.
    pub(super) tokens: Box<[u32]>,
    /// Groups of all rows; empty if there was never a backlog, or all are in group 0.
    pub(super) groups: Box<[u64]>,
    /// Rows that have not left.
    pub(super) work: Work,
    pub(super) places: usize,
}

impl Waiting {
    pub(super) fn row(&self, index: usize, tokens: u32) -> Row {
        let rows = Rows {
            tokens: &self.tokens,
            groups: &self.groups,
        };
        self.first.sibling(index, tokens, rows.group(index))
    }

    /// Tokens of the rows in the backlog.
    pub(super) fn backlog(&self) -> &[u32] {
        self.tokens.get(self.released..).unwrap_or_default()
    }
}

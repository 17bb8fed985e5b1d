//! Rows as the scheduler knows them: sizes and times, never contents.

use std::ops::AddAssign;

use crate::time::Time;

/// Identity of a row. Rows admitted later have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub u64);

/// Identity of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Identity of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Urgency of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// A caller waits for the answer.
    #[default]
    Interactive,
    /// Background work: takes the capacity that interactive rows leave, and a guaranteed share.
    Bulk,
}

/// One row in the queue or in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Identity of the row.
    pub id: RowId,
    /// The call that the row belongs to.
    pub call: CallId,
    /// Position in the call, from 0.
    pub index: usize,
    /// Number of rows of the call.
    pub call_rows: usize,
    /// Length in tokens.
    pub tokens: u32,
    /// Group of rows that may share a batch.
    pub group: u64,
    /// Time at which the call was admitted.
    pub arrived: Time,
    /// Time by which the call must be answered.
    pub deadline: Option<Time>,
    /// Sort key of the queue: the deadline, or the arrival plus some patience where there is none;
    /// as much later for the later parts of a call as these become ready later.
    pub due: Time,
    /// Urgency of the call.
    pub priority: Priority,
    /// The request that the call is part of, where the caller named it.
    pub request: Option<u64>,
}

impl Row {
    /// Returns another row of the same call; `self` is its first.
    pub(crate) fn sibling(&self, index: usize, tokens: u32, group: u64) -> Row {
        Row {
            id: RowId(self.id.0 + index as u64),
            index,
            tokens,
            group,
            ..*self
        }
    }

    /// The work that the row brings.
    pub(crate) fn work(&self) -> Work {
        Work {
            rows: 1,
            tokens: self.tokens.into(),
        }
    }

    /// `true` if the row's deadline has come.
    pub(crate) fn is_expired(&self, now: Time) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// Lengths and groups of the rows of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// Tokens of each row.
    pub(crate) tokens: &'a [u32],
    /// Group of each row; empty if all are in group 0.
    pub(crate) groups: &'a [u64],
}

impl Rows<'_> {
    /// Returns the group of a row.
    pub(crate) fn group(&self, index: usize) -> u64 {
        self.groups.get(index).copied().unwrap_or_default()
    }
}

/// An amount of work: a number of rows and the sum of their tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) rows: usize,
    pub(crate) tokens: u64,
}

impl Work {
    /// The work without a part of it.
    pub(crate) fn minus(self, part: Work) -> Work {
        Work {
            rows: self.rows.saturating_sub(part.rows),
            tokens: self.tokens.saturating_sub(part.tokens),
        }
    }

    /// The work times a factor from 0 to 1, rounded up.
    pub(crate) fn scaled(self, factor: f64) -> Work {
        Work {
            rows: (self.rows as f64 * factor).ceil() as usize,
            tokens: (self.tokens as f64 * factor).ceil() as u64,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.rows += other.rows;
        self.tokens += other.tokens;
    }
}

impl FromIterator<u32> for Work {
    /// Sums rows of the given lengths in tokens.
    fn from_iter<I: IntoIterator<Item = u32>>(lengths: I) -> Self {
        let mut work = Work::default();
        for tokens in lengths {
            work += Work {
                rows: 1,
                tokens: tokens.into(),
            };
        }
        work
    }
}

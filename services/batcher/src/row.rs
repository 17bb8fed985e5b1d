//! Rows and calls as the scheduler knows them: sizes and times, never contents.

use crate::{Lookahead, Time};

/// Identity of a row; later rows have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub u64);

/// Identity of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Identity of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// How urgent a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Takes what interactive rows leave, and its guaranteed share.
    Bulk,
}

/// A call that asks to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Tokens of each row, in the call's order; not empty.
    pub tokens: &'a [u32],
    /// When the whole call must be answered; `None` takes the default of [`Options::max_latency`](crate::Options::max_latency).
    pub deadline: Option<Time>,
    /// How urgent it is.
    pub priority: Priority,
    /// What is known of the request that it is part of.
    pub lookahead: Lookahead,
}

/// What an admitted call is known by: its rows are `first`, `first + 1`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The call.
    pub call: CallId,
    /// Its first row.
    pub first: RowId,
    /// How many rows it has.
    pub rows: usize,
    /// Its deadline, the default applied.
    pub deadline: Option<Time>,
}

/// One row in the queue or in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its identity.
    pub id: RowId,
    /// The call it belongs to.
    pub call: CallId,
    /// Its place in the call, from 0.
    pub index: usize,
    /// Its length.
    pub tokens: u32,
    /// When its call was admitted.
    pub arrived: Time,
    /// When its call must be answered.
    pub deadline: Option<Time>,
    /// What the queue is sorted by: the deadline, or the arrival plus some patience where there is none; later for the later
    /// parts of a call that is larger than a batch.
    pub due: Time,
    /// How urgent it is.
    pub priority: Priority,
    /// The request that its call is part of, where the caller said so.
    pub request: Option<u64>,
}

//! A call that asks to be admitted, and the ticket of an admitted one.

use std::time::Duration;

use crate::flow::Flow;
use crate::row::{CallId, Priority, RowId};
use crate::time::Time;

/// A call that asks to be admitted.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Tokens of each row, in the call's order; not empty.
    pub tokens: &'a [u32],
    /// Group of each row: only rows of one group share a batch. Empty where all rows may; a row
    /// without one is in group 0.
    pub groups: &'a [u64],
    /// Time by which the whole call must be answered; `None` takes the default of
    /// [`Options::max_latency`](crate::Options::max_latency).
    pub deadline: Option<Time>,
    /// Urgency of the call.
    pub priority: Priority,
    /// For whom the call is made.
    pub flow: Flow,
    /// The caller's knowledge of the request that the call is part of.
    pub lookahead: Lookahead,
}

/// Identity of an admitted call: its rows are `first`, `first + 1`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The call.
    pub call: CallId,
    /// Its first row.
    pub first: RowId,
    /// Number of its rows.
    pub rows: usize,
    /// Its deadline, with the default applied.
    pub deadline: Option<Time>,
}

/// A caller's knowledge of the request that its call is part of.
///
/// A gateway that runs a graph knows, when it calls a model, that the same request will call the
/// model again in a moment, and with about how many rows. The forecast can only learn how often
/// that happens; an announcement says that it happens now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookahead {
    /// A number that the calls of one request share.
    pub request: Option<u64>,
    /// Further rows of the request that will come to this batcher.
    pub expected: Option<ExpectedRows>,
}

/// Rows that a caller announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedRows {
    /// Number of rows, approximately.
    pub rows: usize,
    /// Time within which they will most probably come.
    pub within: Duration,
}

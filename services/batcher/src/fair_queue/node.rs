//! [`Node`]: a flow in the order of its parent, by start tags and virtual time.

use std::collections::BTreeSet;

use crate::row::{CallId, Work};
use crate::time::Time;

/// A flow, or the root. Nodes are named by their index; the root is the first.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) parent: usize,
    pub(super) share: u64,
    /// Start tag, in the virtual time of the parent.
    pub(super) start: u64,
    pub(super) virtual_time: u64,
    /// Sum of the shares of the children that have rows.
    pub(super) active: u64,
    /// Work below that has not left.
    pub(super) work: Work,
    /// Places in the queue that the calls below take.
    pub(super) places: usize,
    /// Calls with no row released, as they fall due.
    pub(super) fresh: BTreeSet<(Time, CallId)>,
    /// Calls and flows with a backlog, by their start tags.
    pub(super) started: BTreeSet<(u64, Child)>,
}

/// A member of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Child {
    Flow(usize),
    Call(CallId),
}

impl Node {
    /// Returns the start tag at which a child with this tag gets tokens.
    pub(super) fn start_of(&self, start: u64, share: u64) -> u64 {
        match self.is_alone(share) {
            true => start.max(self.virtual_time),
            false => start,
        }
    }

    /// `true` if no child but one of this share has rows.
    pub(super) fn is_alone(&self, share: u64) -> bool {
        self.active <= share
    }

    /// Moves the virtual time by `tokens`, in virtual time, that a child got at its `start`; but
    /// not by more than `slack` past a child with a backlog. Calls that come and go at once would
    /// otherwise move it past all of these, as if they had been given what nobody took.
    pub(super) fn advance(
        &mut self,
        start: u64,
        share: u64,
        tokens: u64,
        slack: u64,
        from_backlog: bool,
    ) {
        let mut to = self.virtual_time;
        if self.is_alone(share) || from_backlog {
            to = to.max(start);
        }
        to += tokens / self.active.max(1);
        if let Some((least, _)) = self.started.first() {
            to = to.min(least.saturating_add(slack));
        }
        self.virtual_time = self.virtual_time.max(to);
    }

    pub(super) fn is_unlinked(&self) -> bool {
        self.fresh.is_empty() && self.started.is_empty()
    }
}

//! Rows that callers have announced and that have not come yet.

use crate::arrival::{ExpectedRows, Lookahead};
use crate::row::CallId;
use crate::time::Time;

/// Most announcements kept; further ones are ignored.
const ANNOUNCEMENTS_MAX: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Announcement {
    request: u64,
    /// The call that announced the rows.
    call: CallId,
    rows: usize,
    /// Time by which the rows should have come.
    at: Time,
}

/// Announced rows that have not come.
#[derive(Debug, Default)]
pub(crate) struct Announcements(Vec<Announcement>);

impl Announcements {
    /// Takes note of a call: it may be what was announced, and may announce more.
    pub(crate) fn arrived(&mut self, now: Time, call: CallId, lookahead: Lookahead) {
        self.0.retain(|announced| announced.at > now);
        let Some(request) = lookahead.request else {
            return;
        };
        self.0.retain(|announced| announced.request != request);
        if let Some(ExpectedRows { rows, within }) = lookahead.expected
            && self.0.len() < ANNOUNCEMENTS_MAX
        {
            self.0.push(Announcement {
                request,
                call,
                rows,
                at: now.after(within),
            });
        }
    }

    /// Forgets the announcement of a call that left: its request will hardly go on.
    pub(crate) fn forget(&mut self, call: CallId) {
        self.0.retain(|announced| announced.call != call);
    }

    /// Returns the number of announced rows that should come after `now` and by `then`.
    pub(crate) fn rows_by(&self, now: Time, then: Time) -> usize {
        self.0
            .iter()
            .filter(|announced| announced.at > now && announced.at <= then)
            .fold(0, |rows, announced| rows.saturating_add(announced.rows))
    }

    /// Returns the times after `now` by which announced rows should have come.
    pub(crate) fn times(&self, now: Time) -> impl Iterator<Item = Time> {
        self.0
            .iter()
            .map(|announced| announced.at)
            .filter(move |at| *at > now)
    }

    /// `true` if the call announced rows that are still to come: its request needs them before the
    /// call's own answer is of use.
    pub(crate) fn is_expecting(&self, now: Time, call: CallId) -> bool {
        self.0
            .iter()
            .any(|announced| announced.call == call && announced.at > now)
    }
}

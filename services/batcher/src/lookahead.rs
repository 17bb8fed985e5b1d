//! What callers know of what comes next: rows of the same request that will arrive soon.
//!
//! A gateway that runs a graph knows, when it calls a model, that the same request will call it again in a moment, and with how many rows about. The forecast can
//! only learn how often that happens; an announcement says that it happens now.

use std::time::Duration;

use crate::{CallId, Time};

/// Announcements kept at most; more are ignored.
const ANNOUNCED_MAX: usize = 1024;

/// What a call says of the request that it is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookahead {
    /// What the calls of one request have in common.
    pub request: Option<u64>,
    /// What else of the request will come here.
    pub sequel: Option<Sequel>,
}

/// Rows that will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequel {
    /// How many, about.
    pub rows: usize,
    /// Within what time, most probably.
    pub within: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Announcement {
    request: u64,
    call: CallId,
    rows: usize,
    at: Time,
}

/// Announced rows that have not come.
#[derive(Debug, Default)]
pub(crate) struct Announced(Vec<Announcement>);

impl Announced {
    /// A call came: it may be what was announced, and may announce more.
    pub(crate) fn came(&mut self, now: Time, call: CallId, lookahead: Lookahead) {
        self.0.retain(|announced| announced.at > now);
        let Some(request) = lookahead.request else {
            return;
        };
        self.0.retain(|announced| announced.request != request);
        if let Some(Sequel { rows, within }) = lookahead.sequel
            && self.0.len() < ANNOUNCED_MAX
        {
            self.0.push(Announcement {
                request,
                call,
                rows,
                at: now.after(within),
            });
        }
    }

    /// The call that announced is gone; what it announced will hardly come.
    pub(crate) fn forget(&mut self, call: CallId) {
        self.0.retain(|announced| announced.call != call);
    }

    /// Rows that will have come by then.
    pub(crate) fn rows_by(&self, now: Time, then: Time) -> usize {
        let come = self
            .0
            .iter()
            .filter(|announced| announced.at > now && announced.at <= then);
        come.fold(0, |rows, announced| rows.saturating_add(announced.rows))
    }

    /// When announced rows will have come, after `now`.
    pub(crate) fn times(&self, now: Time) -> impl Iterator<Item = Time> {
        self.0
            .iter()
            .map(|announced| announced.at)
            .filter(move |at| *at > now)
    }

    /// Whether more is to come of the request that this call is part of, so that its own answer is not waited for yet.
    pub(crate) fn is_patient(&self, now: Time, call: CallId) -> bool {
        self.0
            .iter()
            .any(|announced| announced.call == call && announced.at > now)
    }
}

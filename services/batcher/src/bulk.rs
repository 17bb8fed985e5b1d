//! Bulk rows: in what room they ride, and how they get their share.
//!
//! Their share is first of all a share of the seats in interactive batches, which costs no pass of its own. Where they cannot sit there (too long, too late for a
//! neighbour), credit for executor time builds up until it pays for a batch of their own.

use crate::CostModel;
use crate::formation::{Caps, Draft};
use crate::queue::Lane;
use crate::{Row, Time};

/// Interactive batches may get longer by this share for the bulk rows that ride in them.
const RIDE_MAX: f64 = 0.25;
/// A batch of bulk rows alone lasts no longer than this many times the fixed cost, so that interactive rows never wait long for it ...
const QUANTUM_FIXED: f64 = 4.0;
/// ... or this many seconds, if that is longer.
const QUANTUM_SECONDS: f64 = 4e-3;
/// Credit is kept for this many quanta, or batches' worth of share, at most, so that a long quiet time does not buy a long rule.
const CREDIT_MAX: f64 = 2.0;

/// Executor time that bulk rows may claim.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BulkCredit {
    seconds: f64,
}

impl BulkCredit {
    /// A batch of mixed rows starts while bulk rows are queued: earns `share` of what it takes, pays for what they take in it.
    pub(crate) fn account(
        &mut self,
        cost: &CostModel,
        share: f64,
        seconds: f64,
        bulk_seconds: f64,
    ) {
        let most = CREDIT_MAX * quantum(cost).max(share * seconds);
        self.seconds = (self.seconds + share * seconds - bulk_seconds).clamp(-most, most);
    }

    /// Whether bulk rows may go first now, with a batch of that many seconds.
    pub(crate) fn covers(&self, seconds: f64) -> bool {
        self.seconds >= seconds && seconds > 0.0
    }
}

/// Rows that an interactive batch may have while bulk rows wait: some seats are theirs.
pub(crate) fn interactive_rows(caps: &Caps, share: f64) -> usize {
    let seats = (share * caps.rows as f64).ceil() as usize;
    caps.rows.saturating_sub(seats).max(1)
}

/// Longest batch of bulk rows alone, in seconds.
fn quantum(cost: &CostModel) -> f64 {
    (QUANTUM_FIXED * cost.a()).max(QUANTUM_SECONDS)
}

/// A batch of bulk rows alone: most urgent first, no longer than a quantum.
pub(crate) fn form_alone(lane: &Lane, caps: &Caps, cost: &CostModel) -> Draft {
    let longest = quantum(cost);
    let mut draft = Draft::default();
    for row in lane.iter() {
        let fits = draft.has_room(row, caps)
            && cost.predict(draft.tokens_with(row, caps.layout)) <= longest;
        if !fits && !draft.rows.is_empty() {
            break;
        }
        draft.push(*row);
    }
    draft
}

/// Fills the room that an interactive batch leaves: rows no longer than its longest, in little extra time, making nobody late.
pub(crate) fn ride(draft: &mut Draft, lane: &Lane, caps: &Caps, cost: &CostModel, now: Time) {
    let (longest, most) = (
        draft.longest,
        (1.0 + RIDE_MAX) * cost.predict(draft.tokens(caps.layout)),
    );
    let deadline = draft.rows.iter().filter_map(|row| row.deadline).min();
    let fits = |draft: &Draft, row: &Row| {
        let tokens = draft.tokens_with(row, caps.layout);
        let in_time =
            deadline.is_none_or(|deadline| now.plus_seconds(cost.predict_safe(tokens)) <= deadline);
        draft.has_room(row, caps)
            && row.tokens <= longest
            && cost.predict(tokens) <= most
            && in_time
    };
    // The most urgent ones only: a lane of many long rows is not searched for short ones.
    for row in lane.iter().take(caps.rows) {
        if draft.rows.len() >= caps.rows {
            return;
        }
        if fits(draft, row) {
            draft.push(*row);
        }
    }
}

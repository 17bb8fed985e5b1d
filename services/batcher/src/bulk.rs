//! Bulk rows: the capacity that they use, and their guaranteed share.
//!
//! Their share is first of all a share of the rows of interactive batches, which costs no pass of
//! its own. Where they do not fit there (too long, or too late for another row), credit for
//! executor time builds up until it pays for a batch of their own.

use crate::cost::CostModel;
use crate::formation::Draft;
use crate::options::Caps;
use crate::queue::Lane;
use crate::row::Row;
use crate::time::Time;

/// Share by which the bulk rows in an interactive batch may lengthen it.
const EXTENSION_MAX: f64 = 0.25;
/// Longest batch of bulk rows alone, in fixed costs of a batch, so that interactive rows never wait
/// long for it ...
const QUANTUM_FIXED: f64 = 4.0;
/// ... or in seconds, if that is longer.
const QUANTUM_SECONDS: f64 = 4e-3;
/// Number of bulk rows that do not fit into an interactive batch after which no further ones are
/// tried: a lane of many long rows is not searched for short ones.
const MISSES_MAX: usize = 32;
/// Most credit that is kept, in quanta or in shares of a batch, so that a long quiet time does not
/// buy a long run of bulk batches.
const CREDIT_MAX: f64 = 2.0;

/// Executor time that bulk rows may claim.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BulkCredit {
    seconds: f64,
}

impl BulkCredit {
    /// Accounts for a batch of `seconds` that starts while bulk rows are queued: they earn `share`
    /// of it and pay for `bulk_seconds`, their part of it.
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

    /// `true` if the credit pays for a bulk batch of `seconds`.
    pub(crate) fn covers(&self, seconds: f64) -> bool {
        self.seconds >= seconds && seconds > 0.0
    }
}

/// Returns the limits of the interactive rows of a batch while bulk rows wait: a share of the rows
/// and of the tokens is reserved for these.
pub(crate) fn interactive_caps(caps: &Caps, share: f64) -> Caps {
    let reserved_rows = (share * caps.rows as f64).ceil() as usize;
    let reserved_tokens = (share * caps.tokens as f64).ceil() as u64;
    Caps {
        rows: caps.rows.saturating_sub(reserved_rows).max(1),
        tokens: caps.tokens.saturating_sub(reserved_tokens).max(1),
        ..*caps
    }
}

/// Longest batch of bulk rows alone, in seconds.
fn quantum(cost: &CostModel) -> f64 {
    (QUANTUM_FIXED * cost.fixed_seconds()).max(QUANTUM_SECONDS)
}

/// Forms a batch of bulk rows alone: the most urgent, no longer than a quantum.
pub(crate) fn form_alone(lane: &Lane, caps: &Caps, cost: &CostModel) -> Draft {
    let longest = quantum(cost);
    let mut draft = Draft::default();
    for row in lane.iter_first_group() {
        let fits = draft.accepts(row, caps)
            && cost.predict(draft.tokens_with(row, caps.layout)) <= longest;
        if !fits && !draft.rows.is_empty() {
            break;
        }
        draft.push(*row);
    }
    draft
}

/// Adds bulk rows to an interactive batch: rows of its group, no longer than its longest, in little
/// extra time, making no row late.
pub(crate) fn fill(draft: &mut Draft, lane: &Lane, caps: &Caps, cost: &CostModel, now: Time) {
    let (longest, most) = (
        draft.longest,
        (1.0 + EXTENSION_MAX) * cost.predict(draft.tokens(caps.layout)),
    );
    let deadline = draft.rows.iter().filter_map(|row| row.deadline).min();
    let group = draft.rows.first().map(|row| row.group);
    let is_of_group = |row: &Row| Some(row.group) == group;
    let fits = |draft: &Draft, row: &Row| {
        let tokens = draft.tokens_with(row, caps.layout);
        let in_time =
            deadline.is_none_or(|deadline| now.plus_seconds(cost.predict_safe(tokens)) <= deadline);
        is_of_group(row)
            && draft.accepts(row, caps)
            && row.tokens <= longest
            && cost.predict(tokens) <= most
            && in_time
    };
    let mut misses = 0;
    for row in lane.iter() {
        if draft.rows.len() >= caps.rows || misses >= MISSES_MAX {
            return;
        }
        if fits(draft, row) {
            draft.push(*row);
        } else {
            misses += 1;
        }
    }
}

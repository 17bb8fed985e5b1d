//! Predicts when a call that arrives now would be answered.

use crate::cost::CostModel;
use crate::options::Caps;
use crate::row::Work;

/// The state of the system that a new call would wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) cost: &'a CostModel,
    pub(crate) caps: Caps,
    pub(crate) executors: usize,
    /// Seconds until an executor is free.
    pub(crate) next_free: f64,
    /// Queued work that would run before the call.
    pub(crate) ahead: Work,
}

impl Work {
    /// Returns the smallest number of batches that the work takes.
    fn batches(&self, caps: &Caps) -> f64 {
        let by_rows = self.rows.div_ceil(caps.rows.max(1)) as u64;
        by_rows.max(self.tokens.div_ceil(caps.tokens.max(1))) as f64
    }
}

/// Returns the expected seconds of a call's own work in full batches, with nothing else to do.
pub(crate) fn own_seconds(cost: &CostModel, caps: &Caps, executors: usize, own: Work) -> f64 {
    let batches = own.batches(caps);
    let seconds = batches * cost.fixed_seconds() + cost.seconds_per_token() * own.tokens as f64;
    seconds / (executors.max(1) as f64).min(batches.max(1.0))
}

/// Returns the seconds that work takes of all executors as part of full batches.
pub(crate) fn seconds_in_full_batches(
    cost: &CostModel,
    caps: &Caps,
    executors: usize,
    own: Work,
) -> f64 {
    let by_rows = own.rows as f64 / caps.rows.max(1) as f64;
    let by_tokens = own.tokens as f64 / caps.tokens.max(1) as f64;
    let fixed = by_rows.max(by_tokens) * cost.fixed_seconds();
    (fixed + cost.seconds_per_token() * own.tokens as f64) / executors.max(1) as f64
}

/// Returns the seconds until a call of `own` work would be answered: after the running batches,
/// then the work ahead in full batches, then the call's own, by the safe estimate.
pub(crate) fn seconds_until_answer(load: &Load<'_>, own: Work) -> f64 {
    let Load { cost, caps, .. } = load;
    let executors = load.executors.max(1) as f64;
    let together = Work {
        rows: load.ahead.rows + own.rows,
        tokens: load.ahead.tokens + own.tokens,
    };
    let batches_ahead = (together.batches(caps) - own.batches(caps)).max(0.0);
    let ahead_seconds =
        batches_ahead * cost.fixed_seconds() + cost.seconds_per_token() * load.ahead.tokens as f64;
    load.next_free
        + ahead_seconds / executors
        + cost.safety() * own_seconds(cost, caps, load.executors, own)
}

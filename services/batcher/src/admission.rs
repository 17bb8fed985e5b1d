//! When a call that asks now would be answered.

use crate::CostModel;
use crate::formation::Caps;

/// Work of rows that run before, or with, others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    pub(crate) rows: usize,
    pub(crate) tokens: u64,
}

impl Work {
    pub(crate) fn add(&mut self, tokens: u32) {
        self.rows += 1;
        self.tokens += u64::from(tokens);
    }

    /// Batches that it takes, at least.
    fn batches(&self, caps: &Caps) -> f64 {
        let by_rows = self.rows.div_ceil(caps.rows.max(1)) as u64;
        by_rows.max(self.tokens.div_ceil(caps.tokens.max(1))) as f64
    }
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.rows += other.rows;
        self.tokens += other.tokens;
    }
}

/// Seconds until a call is answered: what runs now, then `ahead` in full batches, then its `own` rows, for which the safe estimate counts.
pub(crate) fn predict(
    cost: &CostModel,
    caps: &Caps,
    executors: usize,
    residual: f64,
    ahead: Work,
    own: Work,
) -> f64 {
    let executors = executors.max(1) as f64;
    let together = Work {
        rows: ahead.rows + own.rows,
        tokens: ahead.tokens + own.tokens,
    };
    let own_batches = own.batches(caps);
    let batches_ahead = (together.batches(caps) - own_batches).max(0.0);
    let ahead_seconds = batches_ahead * cost.a() + cost.b() * ahead.tokens as f64;
    let own_seconds = own_batches * cost.a() + cost.b() * own.tokens as f64;
    residual
        + ahead_seconds / executors
        + cost.safety() * own_seconds / executors.min(own_batches.max(1.0))
}

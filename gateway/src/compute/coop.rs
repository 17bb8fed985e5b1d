//! Cooperative yielding between short computations.

use super::INLINE_WORK_MAX;

/// Budget of the operations that a future runs without waiting. A loop over thousands of steps of a
/// microsecond each would otherwise block the thread, and so other requests, for milliseconds.
#[derive(Debug, Default)]
pub struct CoopBudget {
    work: u64,
}

impl CoopBudget {
    /// Counts `work` operations that have run, and yields to other tasks after [`INLINE_WORK_MAX`]
    /// operations, a quarter of a millisecond.
    pub async fn spend(&mut self, work: u64) {
        self.work = self.work.saturating_add(work);
        if self.work > INLINE_WORK_MAX {
            self.work = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_future_yields_when_the_budget_is_spent() {
        let mut budget = CoopBudget::default();
        for (work, yields) in [
            (INLINE_WORK_MAX, false),
            (1, true),
            (INLINE_WORK_MAX / 2, false),
            (INLINE_WORK_MAX / 2, false),
            (u64::MAX, true),
            (0, false),
        ] {
            assert_eq!(
                budget.spend(work).now_or_never().is_none(),
                yields,
                "{work}"
            );
        }
    }
}

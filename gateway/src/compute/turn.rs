//! Yielding between short computations.

use super::INLINE_WORK_MAX;

/// Counts the work that a future does without waiting, so that it gives the thread to other
/// requests in time: a loop over thousands of steps of a microsecond each would keep it for
/// milliseconds.
#[derive(Debug, Default)]
pub struct Turn {
    work: u64,
}

impl Turn {
    /// Counts `work` operations that were done, and yields to other tasks when a quarter of a
    /// millisecond ([`INLINE_WORK_MAX`]) has been used.
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
    fn a_turn_ends_when_its_work_is_used() {
        let mut turn = Turn::default();
        for (work, yields) in [
            (INLINE_WORK_MAX, false),
            (1, true),
            (INLINE_WORK_MAX / 2, false),
            (INLINE_WORK_MAX / 2, false),
            (u64::MAX, true),
            (0, false),
        ] {
            assert_eq!(turn.spend(work).now_or_never().is_none(), yields, "{work}");
        }
    }
}

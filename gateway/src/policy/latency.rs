//! How long something lately took: the latest durations, and percentiles of them.

use std::time::Duration;

/// The latest durations of something, at most as many as were asked for.
#[derive(Debug, Clone)]
pub struct LatencyWindow {
    kept: Vec<Duration>,
    capacity: usize,
    next: usize,
}

impl LatencyWindow {
    /// Nothing is known; the latest `capacity` durations (at least one) will be.
    pub const fn new(capacity: usize) -> Self {
        Self {
            kept: Vec::new(),
            capacity: if capacity == 0 { 1 } else { capacity },
            next: 0,
        }
    }

    /// It took so long.
    pub fn record(&mut self, took: Duration) {
        if self.kept.len() < self.capacity {
            self.kept.push(took);
        } else {
            self.kept[self.next] = took;
            self.next = (self.next + 1) % self.capacity;
        }
    }

    /// How many durations are known.
    pub const fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is.
    pub const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The duration that a share of those known do not exceed (nearest rank): `share` 0.95 is
    /// the 95th percentile, 0 the shortest. `None` while nothing is known.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        nearest_rank(&mut self.kept.clone(), share)
    }
}

/// The element of rank ⌈share · n⌉, at least the first. Reorders `of`.
pub(crate) fn nearest_rank(of: &mut [Duration], share: f64) -> Option<Duration> {
    let last = of.len().checked_sub(1)?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let rank = (share * of.len() as f64).ceil() as usize;
    let at = rank.saturating_sub(1).min(last);
    Some(*of.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_of_the_latest() {
        let mut window = LatencyWindow::new(100);
        assert_eq!(window.percentile(0.5), None);
        for ms in (1..=100).rev() {
            window.record(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.0, 1), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)] {
            assert_eq!(window.percentile(share), Some(Duration::from_millis(ms)));
        }
        for _ in 0..100 {
            window.record(Duration::from_millis(7));
        }
        assert_eq!(window.percentile(1.0), Some(Duration::from_millis(7)));
    }

    proptest! {
        #[test]
        fn as_many_are_below_as_the_share_says(
            all in prop::collection::vec(0u64..1000, 1..300),
            capacity in 1usize..80,
            share in 0.0..=1.0f64,
        ) {
            let mut window = LatencyWindow::new(capacity);
            all.iter().for_each(|ns| window.record(Duration::from_nanos(*ns)));
            let latest: Vec<u64> = all.iter().rev().take(capacity).copied().collect();
            prop_assert_eq!(window.len(), latest.len());
            let found = window.percentile(share).unwrap();
            let at_most = latest.iter().filter(|ns| Duration::from_nanos(**ns) <= found).count();
            let below = latest.iter().filter(|ns| Duration::from_nanos(**ns) < found).count();
            let wanted = (share * latest.len() as f64).ceil() as usize;
            prop_assert!(at_most >= wanted.max(1) && below <= wanted.saturating_sub(1));
        }
    }
}

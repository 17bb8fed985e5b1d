//! Percentiles over the latest latencies of a call.

use std::time::Duration;

use super::window::Window;

/// The latest latencies of a call, at most as many as the window's capacity.
#[derive(Debug, Clone)]
pub struct LatencyWindow(Window<Duration>);

impl LatencyWindow {
    /// Returns an empty window of `capacity` latencies, at least one.
    pub const fn new(capacity: usize) -> Self {
        Self(Window::new(capacity))
    }

    /// Adds the latency of one call.
    pub fn record(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Returns the number of latencies in the window.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the window is empty.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a percentile by nearest rank: the smallest latency that at least `share` of the
    /// window does not exceed. `share` is 0.95 for the 95th percentile and 0 for the minimum.
    /// `None` when the window is empty.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let mut latencies: Vec<Duration> = self.0.iter().copied().collect();
        nearest_rank(&mut latencies, share)
    }
}

/// Returns the element of rank ⌈share · n⌉, counted from 1 and at least 1. Reorders `values`.
pub(crate) fn nearest_rank(values: &mut [Duration], share: f64) -> Option<Duration> {
    let last = values.len().checked_sub(1)?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let rank = (share * values.len() as f64).ceil() as usize;
    let at = rank.saturating_sub(1).min(last);
    Some(*values.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_cover_the_latest_latencies() {
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
        fn a_percentile_has_its_share_of_the_window_below_it(
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

//! Pauses before retries: exponential, with full jitter.
//!
//! Without jitter, calls that failed together come back together. The pause is anything from
//! nothing to the bound, and the bound doubles with each retry.

use std::time::Duration;

/// How long to pause before a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest pause before the first retry.
    pub first: Duration,
    /// The longest pause before any retry.
    pub max: Duration,
}

impl Backoff {
    /// The pause before a retry, `retry` counted from 0. `chance` is uniform in 0..1. A service
    /// that says when to come back (`asked`) is not asked before.
    pub fn pause(&self, retry: u32, chance: f64, asked: Option<Duration>) -> Duration {
        let doubled = 2u32.checked_pow(retry).unwrap_or(u32::MAX);
        let bound = self.first.saturating_mul(doubled).min(self.max);
        let jitter = bound.mul_f64(chance.clamp(0.0, 1.0));
        // The jitter on top: all who were refused were told the same.
        asked.map_or(jitter, |asked| asked.saturating_add(jitter))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(10),
        max: Duration::from_millis(100),
    };

    #[test]
    fn the_bound_doubles_up_to_the_most() {
        for (retry, bound_ms) in [(0, 10), (1, 20), (2, 40), (3, 80), (4, 100), (99, 100)] {
            let longest = BACKOFF.pause(retry, 1.0, None);
            assert_eq!(longest, Duration::from_millis(bound_ms), "{retry}");
        }
        assert_eq!(BACKOFF.pause(3, 0.0, None), Duration::ZERO);
        let asked = Some(Duration::from_secs(1));
        assert_eq!(BACKOFF.pause(0, 0.5, asked), Duration::from_millis(1005));
    }

    proptest! {
        #[test]
        fn within_the_bound(retry in any::<u32>(), chance in 0.0..1.0f64, asked in prop::option::of(0u64..5000)) {
            let asked = asked.map(Duration::from_millis);
            let pause = BACKOFF.pause(retry, chance, asked);
            let least = asked.unwrap_or_default();
            prop_assert!(pause >= least && pause <= least + BACKOFF.max);
        }
    }
}

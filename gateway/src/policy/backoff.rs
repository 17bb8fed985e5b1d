//! Pauses before retries: exponential, with full jitter.
//!
//! Without jitter, calls that failed together are retried together. The pause is anything from
//! nothing to the bound, and the bound doubles with each retry.

use std::time::Duration;

/// Pauses before retries, between nothing and a bound that doubles with each retry.
///
/// ```
/// use std::time::Duration;
/// use motet_gateway::policy::backoff::Backoff;
///
/// let ms = Duration::from_millis;
/// let backoff = Backoff { first: ms(10), max: ms(100) };
/// // The random number scales the bound: 10 ms, then 20 ms, and at most 100 ms.
/// assert_eq!(backoff.pause(0, 0.5, None), ms(5));
/// assert_eq!(backoff.pause(1, 0.5, None), ms(10));
/// assert_eq!(backoff.pause(9, 1.0, None), ms(100));
/// // A server that says when to retry is not called earlier.
/// assert_eq!(backoff.pause(0, 0.5, Some(ms(300))), ms(305));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the pause before the first retry.
    pub first: Duration,
    /// Largest bound of any pause.
    pub max: Duration,
}

impl Backoff {
    /// Returns the pause before retry number `retry`, counted from 0. `random` is uniform in
    /// 0..1. `retry_after` is the least pause that the server asked for.
    pub fn pause(&self, retry: u32, random: f64, retry_after: Option<Duration>) -> Duration {
        let doubled = 2u32.checked_pow(retry).unwrap_or(u32::MAX);
        let bound = self.first.saturating_mul(doubled).min(self.max);
        let jitter = bound.mul_f64(random.clamp(0.0, 1.0));
        // Jitter on top: all clients that were refused got the same `retry_after`.
        retry_after.map_or(jitter, |least| least.saturating_add(jitter))
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
    fn the_bound_doubles_up_to_the_maximum() {
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
        fn a_pause_is_within_its_bound(
            retry in any::<u32>(),
            random in 0.0..1.0f64,
            asked in prop::option::of(0u64..5000),
        ) {
            let asked = asked.map(Duration::from_millis);
            let pause = BACKOFF.pause(retry, random, asked);
            let least = asked.unwrap_or_default();
            prop_assert!(pause >= least && pause <= least + BACKOFF.max);
        }
    }
}

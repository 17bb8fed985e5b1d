//! A token bucket as the budget for extra calls; ordinary calls fill it.
//!
//! Retries and hedges are worth their cost while few calls need them. When many do, the service is
//! in trouble already and each extra call makes it worse, so they are limited to a share of calls.

use std::time::Duration;

use tokio::time::Instant;

/// Capacity of a token bucket, and the rates at which it fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Largest number of tokens. A bucket starts full.
    pub capacity: f64,
    /// Tokens added by each ordinary call.
    pub per_call: f64,
    /// Tokens added by each second, for clients with few calls.
    pub per_second: f64,
}

/// A budget for extra calls, each of which takes a token.
///
/// ```
/// use motet_gateway::policy::bucket::{Rates, TokenBucket};
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let rates = Rates { capacity: 1.0, per_call: 0.5, per_second: 0.0 };
/// let mut bucket = TokenBucket::new(rates, now);
/// assert!(bucket.take(now));
/// assert!(!bucket.take(now));
/// bucket.record_call(now);
/// bucket.record_call(now);
/// assert!(bucket.take(now));
/// ```
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rates: Rates,
    tokens: f64,
    updated: Instant,
}

impl TokenBucket {
    /// Returns a full bucket.
    pub fn new(rates: Rates, now: Instant) -> Self {
        Self {
            rates,
            tokens: rates.capacity,
            updated: now,
        }
    }

    /// Adds the tokens of an ordinary call.
    pub fn record_call(&mut self, now: Instant) {
        self.refill(now);
        self.add(self.rates.per_call);
    }

    /// Takes a token for an extra call. Returns whether there was one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        // Shares such as 0.1 do not add up exactly.
        const NEARLY_ONE: f64 = 1.0 - 1e-9;
        if self.tokens < NEARLY_ONE {
            return false;
        }
        self.tokens = (self.tokens - 1.0).max(0.0);
        true
    }

    fn refill(&mut self, now: Instant) {
        let elapsed: Duration = now.saturating_duration_since(self.updated);
        self.updated = self.updated.max(now);
        self.add(elapsed.as_secs_f64() * self.rates.per_second);
    }

    fn add(&mut self, tokens: f64) {
        self.tokens = (self.tokens + tokens).min(self.rates.capacity);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATES: Rates = Rates {
        capacity: 3.0,
        per_call: 0.2,
        per_second: 0.5,
    };

    #[test]
    fn calls_and_time_fill_a_bucket_that_is_spent() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATES, start);
        let taken = (0..5).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 3);
        (0..4).for_each(|_| bucket.record_call(start));
        assert!(!bucket.take(start), "four calls are 0.8 of a token");
        bucket.record_call(start);
        assert!(bucket.take(start));
        assert!(!bucket.take(start + Duration::from_secs(1)));
        assert!(bucket.take(start + Duration::from_secs(2)));
        // A time before the latest one adds nothing.
        assert!(!bucket.take(start));
    }

    proptest! {
        #[test]
        fn no_more_tokens_are_taken_than_were_added(
            steps in prop::collection::vec((any::<bool>(), 0u64..3000), 0..200),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = TokenBucket::new(RATES, start);
            let (mut calls, mut taken) = (0u32, 0u32);
            for (call, pause_ms) in steps {
                now += Duration::from_millis(pause_ms);
                if call {
                    bucket.record_call(now);
                    calls += 1;
                } else if bucket.take(now) {
                    taken += 1;
                }
                let earned = RATES.capacity
                    + RATES.per_call * f64::from(calls)
                    + RATES.per_second * (now - start).as_secs_f64();
                prop_assert!(f64::from(taken) <= earned + 1e-6);
                prop_assert!(bucket.tokens <= RATES.capacity && bucket.tokens >= 0.0);
            }
        }
    }
}

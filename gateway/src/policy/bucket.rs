//! A budget for extra calls, as a token bucket that ordinary calls fill.
//!
//! Retries and hedges are worth their cost while few calls need them. When many do, the service
//! is in trouble already, and each extra call makes it worse: so they are a share of the calls.

use std::time::Duration;

use tokio::time::Instant;

/// What a budget holds and what fills it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The most tokens that are kept; a bucket starts full.
    pub capacity: f64,
    /// Tokens that each ordinary call adds.
    pub per_call: f64,
    /// Tokens that a second adds, so that a client with few calls has some too.
    pub per_second: f64,
}

/// A budget for extra calls: each takes a token.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rates: Rates,
    tokens: f64,
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rates: Rates, now: Instant) -> Self {
        Self {
            rates,
            tokens: rates.capacity,
            updated: now,
        }
    }

    /// An ordinary call is made.
    pub fn called(&mut self, now: Instant) {
        self.pass(now);
        self.add(self.rates.per_call);
    }

    /// Takes a token for an extra call, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.pass(now);
        // Shares such as 0.1 do not add up exactly.
        const NEARLY_ONE: f64 = 1.0 - 1e-9;
        if self.tokens < NEARLY_ONE {
            return false;
        }
        self.tokens = (self.tokens - 1.0).max(0.0);
        true
    }

    fn pass(&mut self, now: Instant) {
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
    fn a_full_bucket_is_spent_and_calls_and_time_fill_it() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATES, start);
        let taken = (0..5).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 3);
        (0..4).for_each(|_| bucket.called(start));
        assert!(!bucket.take(start), "four calls are 0.8 of a token");
        bucket.called(start);
        assert!(bucket.take(start));
        assert!(!bucket.take(start + Duration::from_secs(1)));
        assert!(bucket.take(start + Duration::from_secs(2)));
        // A clock that is read out of order adds nothing.
        assert!(!bucket.take(start));
    }

    proptest! {
        #[test]
        fn never_more_than_was_earned(steps in prop::collection::vec((any::<bool>(), 0u64..3000), 0..200)) {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = TokenBucket::new(RATES, start);
            let (mut calls, mut taken) = (0u32, 0u32);
            for (call, pause_ms) in steps {
                now += Duration::from_millis(pause_ms);
                if call {
                    bucket.called(now);
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

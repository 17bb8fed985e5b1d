//! Limits of one principal: requests and tokens per second, and requests at once.
//!
//! Rates are token buckets that hold the allowance of one second. The tokens of a request are known
//! when it ends, so that bucket may go below zero: the next request waits until it is above again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Limits of a principal; `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QuotaSpec {
    /// Requests per second, those inside streams among them.
    pub requests_per_second: Option<f64>,
    /// Tokens that models compute per second.
    pub tokens_per_second: Option<f64>,
    /// Requests at once.
    pub concurrency: Option<usize>,
}

/// A limit that a request is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exceeded {
    /// The key of the limit.
    pub(crate) key: &'static str,
    /// The limit.
    pub(crate) limit: f64,
    /// Time after which a request may pass.
    pub(crate) retry_after: Duration,
}

impl Exceeded {
    /// Returns the label of a refusal in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self.key {
            "concurrency" => "principal_concurrency",
            "tokens_per_second" => "principal_tokens_per_second",
            _ => "principal_requests_per_second",
        }
    }
}

/// Delay that is told to callers which have as many requests in progress as they may: when one
/// ends is not known.
const CONCURRENCY_RETRY: Duration = Duration::from_millis(100);

/// The limits of a principal and what it has used of them. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Quota(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    spec: QuotaSpec,
    requests: Bucket,
    tokens: Bucket,
    running: usize,
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    filled: Instant,
}

impl Bucket {
    /// Fills the bucket up to the present. It holds what comes in a second, and at least one.
    fn fill(&mut self, rate: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + passed * rate).min(rate.max(1.0));
        self.filled = now;
    }

    /// Returns the time until the level is at least `wanted`.
    fn until(&self, wanted: f64, rate: f64) -> Duration {
        let seconds = (wanted - self.level) / rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl Quota {
    pub(crate) fn new(spec: QuotaSpec, now: Instant) -> Self {
        let full = |rate: Option<f64>| Bucket {
            level: rate.map_or(0.0, |rate| rate.max(1.0)),
            filled: now,
        };
        Self(Arc::new(Mutex::new(State {
            requests: full(spec.requests_per_second),
            tokens: full(spec.tokens_per_second),
            running: 0,
            spec,
        })))
    }

    /// Replaces the limits; what was used stays used.
    pub(crate) fn set(&self, spec: QuotaSpec) {
        self.state().spec = spec;
    }

    /// Admits a request, which counts until it is [ended](Self::end).
    pub(crate) fn begin(&self, now: Instant) -> Result<(), Exceeded> {
        let mut state = self.state();
        let spec = state.spec;
        if let Some(limit) = spec.concurrency
            && state.running >= limit
        {
            return Err(Exceeded {
                key: "concurrency",
                limit: limit as f64,
                retry_after: CONCURRENCY_RETRY,
            });
        }
        if let Some(rate) = spec.tokens_per_second {
            state.tokens.fill(rate, now);
            if state.tokens.level <= 0.0 {
                return Err(Exceeded {
                    key: "tokens_per_second",
                    limit: rate,
                    retry_after: state.tokens.until(f64::MIN_POSITIVE, rate),
                });
            }
        }
        if let Some(rate) = spec.requests_per_second {
            state.requests.fill(rate, now);
            if state.requests.level < 1.0 {
                return Err(Exceeded {
                    key: "requests_per_second",
                    limit: rate,
                    retry_after: state.requests.until(1.0, rate),
                });
            }
            state.requests.level -= 1.0;
        }
        state.running += 1;
        Ok(())
    }

    /// Takes note of the end of a request that took so many tokens.
    pub(crate) fn end(&self, tokens: u64, now: Instant) {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        if let Some(rate) = state.spec.tokens_per_second {
            state.tokens.fill(rate, now);
            state.tokens.level -= tokens as f64;
        }
    }

    /// Returns `true` while someone else has this quota, too.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(result: Result<(), Exceeded>) -> Option<&'static str> {
        result.err().map(|exceeded| exceeded.key)
    }

    #[test]
    fn nothing_is_limited_by_default() {
        let now = Instant::now();
        let quota = Quota::new(QuotaSpec::default(), now);
        for _ in 0..10_000 {
            assert_eq!(quota.begin(now), Ok(()));
            quota.end(1 << 40, now);
        }
    }

    #[test]
    fn requests_come_at_their_rate() {
        let start = Instant::now();
        let spec = QuotaSpec {
            requests_per_second: Some(4.0),
            ..QuotaSpec::default()
        };
        let quota = Quota::new(spec, start);
        for _ in 0..4 {
            assert_eq!(quota.begin(start), Ok(()));
        }
        let exceeded = quota
            .begin(start)
            .expect_err("a second's allowance is spent");
        assert_eq!((exceeded.key, exceeded.limit), ("requests_per_second", 4.0));
        assert_eq!(exceeded.retry_after, Duration::from_millis(250));
        assert_eq!(quota.begin(start + exceeded.retry_after), Ok(()));
        let later = start + Duration::from_secs(100);
        let passed = (0..100).filter(|_| quota.begin(later).is_ok()).count();
        assert_eq!(passed, 4);
    }

    #[test]
    fn a_rate_below_one_lets_single_requests_pass() {
        let start = Instant::now();
        let spec = QuotaSpec {
            requests_per_second: Some(0.5),
            ..QuotaSpec::default()
        };
        let quota = Quota::new(spec, start);
        assert_eq!(quota.begin(start), Ok(()));
        let exceeded = quota.begin(start).expect_err("one in two seconds");
        assert_eq!(exceeded.retry_after, Duration::from_secs(2));
    }

    #[test]
    fn tokens_are_charged_at_the_end() {
        let start = Instant::now();
        let spec = QuotaSpec {
            tokens_per_second: Some(100.0),
            ..QuotaSpec::default()
        };
        let quota = Quota::new(spec, start);
        assert_eq!(quota.begin(start), Ok(()));
        quota.end(350, start);
        let exceeded = quota.begin(start).expect_err("250 tokens in debt");
        assert_eq!(exceeded.key, "tokens_per_second");
        assert_eq!(exceeded.retry_after, Duration::from_millis(2500));
        assert_eq!(
            key(quota.begin(start + Duration::from_millis(2400))),
            Some(exceeded.key)
        );
        assert_eq!(quota.begin(start + Duration::from_millis(2510)), Ok(()));
    }

    #[test]
    fn requests_at_once_are_counted() {
        let now = Instant::now();
        let spec = QuotaSpec {
            concurrency: Some(2),
            ..QuotaSpec::default()
        };
        let quota = Quota::new(spec, now);
        assert_eq!((quota.begin(now), quota.begin(now)), (Ok(()), Ok(())));
        assert_eq!(key(quota.begin(now)), Some("concurrency"));
        quota.end(0, now);
        assert_eq!(quota.begin(now), Ok(()));
        quota.set(QuotaSpec {
            concurrency: Some(1),
            ..spec
        });
        quota.end(0, now);
        assert_eq!(key(quota.begin(now)), Some("concurrency"));
    }
}

//! Policies that a node asks for in a pipeline file, with their defaults and limits.

use std::time::Duration;

use motet_proto::types::ElementType;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::backoff::Backoff;

/// The `deadline` of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// A duration from the start of the node.
    Duration(Duration),
    /// A share (0 to 1) of the request's remaining time when the node starts.
    Share(f64),
}

impl Limit {
    /// Returns the deadline of a node that starts at `now` in a request that ends at `until`.
    pub fn deadline(self, now: Instant, until: Deadline) -> Deadline {
        let limit = match self {
            Self::Duration(limit) => limit,
            Self::Share(share) => until.remaining(now).mul_f64(share.clamp(0.0, 1.0)),
        };
        until.min(Deadline::after(now, limit))
    }
}

/// Largest `priority`. 0 and 1 are interactive, larger numbers are bulk.
pub const PRIORITY_MAX: i64 = 255;

/// `retry`: which failed calls are made again, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Most retries of one call.
    pub max: u32,
    /// Codes that are retried. `None` when the file gives none: then UNAVAILABLE, ABORTED, and
    /// RESOURCE_EXHAUSTED with a `RetryInfo`.
    pub codes: Option<Vec<Code>>,
    /// Pauses before retries.
    pub backoff: Backoff,
}

impl Retry {
    /// Default of `max`.
    pub const MAX_DEFAULT: u32 = 2;
    /// Largest `max` that a file may ask for.
    pub const MAX_LIMIT: u32 = 10;
    /// Default bound of the pause before the first retry.
    pub const BACKOFF_DEFAULT: Duration = Duration::from_millis(10);
    /// Bound up to which pauses double, or the bound of the first pause when that is longer.
    pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

    /// Codes after which the same call may succeed, and which a file may list.
    pub const CODES: [Code; 6] = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Internal,
        Code::Unknown,
        Code::DataLoss,
    ];

    /// Returns whether a call that failed with `error` may be made again.
    pub fn is_retryable(&self, error: &Status) -> bool {
        match &self.codes {
            Some(codes) => codes.contains(&error.code()),
            None => match error.code() {
                Code::Unavailable | Code::Aborted => true,
                Code::ResourceExhausted => status::read(error).retry_after.is_some(),
                _ => false,
            },
        }
    }
}

/// `hedge`: a slow call is made a second time, and the first answer is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedge {
    /// When a call counts as slow.
    pub after: HedgeAfter,
    /// Most additional calls.
    pub max: u32,
    /// Share (0 to 1) of calls that may be hedged.
    pub budget: f64,
}

impl Hedge {
    /// Default of `max`.
    pub const MAX_DEFAULT: u32 = 1;
    /// Largest `max` that a file may ask for.
    pub const MAX_LIMIT: u32 = 3;
    /// Default of `budget`.
    pub const BUDGET_DEFAULT: f64 = 0.1;
    /// Default of `after`: slower than 95% of the calls.
    pub const AFTER_DEFAULT: HedgeAfter = HedgeAfter::Percentile(0.95);
}

/// When a call counts as slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HedgeAfter {
    /// After this long.
    Duration(Duration),
    /// When it is slower than this share (0 to 1) of the node's latest calls.
    Percentile(f64),
}

/// `cache` as the file states it: how answers are cached, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Age at which a cached answer expires.
    pub ttl: Duration,
    /// Memory limit of the cached rows of the model, in bytes, keys and bookkeeping included.
    pub max_bytes: usize,
}

impl CacheSettings {
    /// Default of `ttl`.
    pub const TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);
    /// Largest `ttl` that a file may ask for.
    pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    /// Default of `max`.
    pub const BYTES_DEFAULT: usize = 64 << 20;
    /// Smallest and largest `max` that a file may ask for.
    pub const BYTES_RANGE: (usize, usize) = (64 << 10, 64 << 30);
}

/// The policies of one node, defaults filled in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policies {
    /// Deadline of the node itself.
    pub deadline: Option<Limit>,
    /// Retries of failed calls.
    pub retry: Option<Retry>,
    /// Hedging of slow calls.
    pub hedge: Option<Hedge>,
    /// Caching of answers, row by row.
    pub cache: Option<Cache>,
    /// Priority of the node's calls, in place of the request's.
    pub priority: Option<i64>,
}

/// `cache` as the check resolved it against the signature of the model, which must answer each row
/// independently of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Age at which a cached answer expires.
    pub ttl: Duration,
    /// Memory limit of the cached rows of the model, in bytes.
    pub max_bytes: usize,
    /// Names of the inputs with one element per row. All rows share the other inputs.
    pub row_inputs: Vec<String>,
    /// Outputs of the model, all with one element per row.
    pub outputs: Vec<CachedOutput>,
}

/// An output whose rows are cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedOutput {
    /// Name of the output.
    pub name: String,
    /// Element type.
    pub element: ElementType,
    /// Shape of one row.
    pub inner: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_deadline_is_never_past_the_request_deadline() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let until = Deadline::after(now, ms(200));
        for (limit, left) in [
            (Limit::Duration(ms(50)), 50),
            (Limit::Duration(ms(500)), 200),
            (Limit::Share(0.25), 50),
            (Limit::Share(1.0), 200),
        ] {
            let deadline = limit.deadline(now, until);
            assert_eq!(deadline.remaining(now), ms(left), "{limit:?}");
        }
        let late = now + ms(300);
        assert!(Limit::Share(0.5).deadline(late, until).is_past(late));
    }

    #[test]
    fn only_transient_errors_are_retried_by_default() {
        let unasked = Retry {
            max: 1,
            codes: None,
            backoff: Backoff {
                first: Duration::ZERO,
                max: Duration::ZERO,
            },
        };
        let listed = Retry {
            codes: Some(vec![Code::Internal, Code::ResourceExhausted]),
            ..unasked.clone()
        };
        let full = |after| Status::from(status::resource_exhausted("full", after));
        for (error, by_default, when_listed) in [
            (Status::unavailable("away"), true, false),
            (Status::aborted("again"), true, false),
            (full(Some(Duration::from_millis(5))), true, true),
            (full(None), false, true),
            (Status::internal("broke"), false, true),
            (Status::invalid_argument("bad"), false, false),
            (Status::deadline_exceeded("late"), false, false),
        ] {
            assert_eq!(unasked.is_retryable(&error), by_default, "{error}");
            assert_eq!(listed.is_retryable(&error), when_listed, "{error}");
        }
    }
}

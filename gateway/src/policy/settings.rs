//! What a node may ask for in a pipeline file, with the defaults of what it leaves out.

use std::time::Duration;

use motet_proto::types::ElementType;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::backoff::Backoff;

/// How long a node may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// So long.
    Duration(Duration),
    /// This share (0 to 1) of what is left of the request's time when the node starts.
    Share(f64),
}

impl Limit {
    /// The deadline of a node that starts at `now` and may not go on after `until`.
    pub fn deadline(self, now: Instant, until: Deadline) -> Deadline {
        let limit = match self {
            Self::Duration(limit) => limit,
            Self::Share(share) => until.remaining(now).mul_f64(share.clamp(0.0, 1.0)),
        };
        until.min(Deadline::after(now, limit))
    }
}

/// The largest `priority`: 0 and 1 are interactive, what is larger is bulk.
pub const PRIORITY_MOST: i64 = 255;

/// `retry`: whether a call that failed is made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The most retries of one call.
    pub max: u32,
    /// The codes after which there is one; `None` where the file does not say: UNAVAILABLE,
    /// ABORTED, and RESOURCE_EXHAUSTED where the service says when to come back.
    pub codes: Option<Vec<Code>>,
    /// Pauses before retries.
    pub backoff: Backoff,
}

impl Retry {
    /// Retries of a call whose `retry` does not say how many.
    pub const MAX_DEFAULT: u32 = 2;
    /// The most that a file may ask for.
    pub const MAX_MOST: u32 = 10;
    /// The longest pause before the first retry, where the file does not say.
    pub const BACKOFF_DEFAULT: Duration = Duration::from_millis(10);
    /// Pauses double up to this, or up to the first where that is longer.
    pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

    /// Codes after which the same call can come to something else.
    pub const CODES: [Code; 6] = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Internal,
        Code::Unknown,
        Code::DataLoss,
    ];

    /// Whether a call that ended so may be made again.
    pub fn is_worth_it(&self, error: &Status) -> bool {
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

/// `hedge`: whether a call that is slow is made a second time, and the first answer taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedge {
    /// When a call counts as slow.
    pub after: HedgeAfter,
    /// The most further calls.
    pub max: u32,
    /// The share (0 to 1) of calls that may be hedged.
    pub budget: f64,
}

impl Hedge {
    /// Further calls where the file does not say.
    pub const MAX_DEFAULT: u32 = 1;
    /// The most that a file may ask for.
    pub const MAX_MOST: u32 = 3;
    /// The share of calls where the file does not say.
    pub const BUDGET_DEFAULT: f64 = 0.1;
    /// When a call counts as slow where the file does not say: slower than this share.
    pub const AFTER_DEFAULT: HedgeAfter = HedgeAfter::Percentile(0.95);
}

/// When a call counts as slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HedgeAfter {
    /// After so long.
    Duration(Duration),
    /// When it takes longer than this share (0 to 1) of the node's latest calls.
    Percentile(f64),
}

/// `cache`: whether answers are kept, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTerms {
    /// How old an answer may be.
    pub ttl: Duration,
    /// The most memory that rows of the model's answers take, keys and bookkeeping included.
    pub max_bytes: usize,
}

impl CacheTerms {
    /// How old an answer may be where the file does not say.
    pub const TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);
    /// The most that a file may ask for.
    pub const TTL_MOST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    /// Memory where the file does not say.
    pub const BYTES_DEFAULT: usize = 64 << 20;
    /// The least and the most that a file may ask for.
    pub const BYTES: (usize, usize) = (64 << 10, 64 << 30);
}

/// The policies of one node, defaults filled in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policies {
    /// How long the node may take.
    pub deadline: Option<Limit>,
    /// Whether a call that failed is made again.
    pub retry: Option<Retry>,
    /// Whether a call that is slow is made a second time.
    pub hedge: Option<Hedge>,
    /// Whether answers are kept, row by row.
    pub cache: Option<Cache>,
    /// How urgent the node's calls are, in place of what the request says.
    pub priority: Option<i64>,
}

/// How a node keeps answers of its model, which answers each row for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// How old an answer may be.
    pub ttl: Duration,
    /// The most memory that rows of the model's answers take.
    pub max_bytes: usize,
    /// The inputs that have one element for each row. All rows share the others.
    pub row_inputs: Vec<String>,
    /// The model's outputs: all have one element for each row.
    pub outputs: Vec<CachedOutput>,
}

/// An output whose rows are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedOutput {
    /// The name of the port.
    pub name: String,
    /// The type of its elements.
    pub element: ElementType,
    /// The shape of one row.
    pub inner: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_never_goes_past_the_request() {
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
    fn what_is_tried_again_unasked_is_what_may_pass() {
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
            assert_eq!(unasked.is_worth_it(&error), by_default, "{error}");
            assert_eq!(listed.is_worth_it(&error), when_listed, "{error}");
        }
    }
}

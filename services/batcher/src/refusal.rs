//! Reasons for which a call gets no answer.

use std::sync::Arc;
use std::time::Duration;

/// The reason for which a call as a whole gets no answer. Its text is for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue is full. A retry may help.
    #[error("the queue is full ({limit} rows); retry in {:?}", rounded(*retry_after))]
    QueueFull {
        /// [`Options::max_queue_size`](crate::Options::max_queue_size).
        limit: usize,
        /// Time after which a retry may help.
        retry_after: Duration,
    },
    /// Its own work takes longer than its deadline allows, even with nothing else to do: refused at
    /// once, or given up in the queue. Only a longer deadline or less work helps.
    #[error(
        "its work is estimated to take {:?}, and its deadline allows {:?}; allow more time, or \
         send fewer or shorter rows",
        rounded(*needed), rounded(*allowed)
    )]
    DeadlineTooShort {
        /// Expected time of its work, by recent batches.
        needed: Duration,
        /// Time from its arrival to its deadline.
        allowed: Duration,
    },
    /// Other work comes first, and it could not be answered by its deadline: refused at once, or
    /// given up in the queue. A retry or a longer deadline may help.
    #[error(
        "the answer would come in {:?}, after the deadline; retry in {:?} or allow more time",
        rounded(*predicted), rounded(*retry_after)
    )]
    WouldBeLate {
        /// Time from the refusal until it would have been answered.
        predicted: Duration,
        /// Time after which a retry may help.
        retry_after: Duration,
    },
    /// A row is longer than the model allows.
    #[error("a row has {tokens} tokens, the model takes at most {limit}; send shorter rows")]
    TooLarge {
        /// Tokens of the row.
        tokens: u32,
        /// [`Options::max_row_tokens`](crate::Options::max_row_tokens).
        limit: u32,
    },
    /// The call has more rows than may wait for one call.
    #[error("the call has {rows} rows, the model takes at most {limit} in one call; send several")]
    TooManyRows {
        /// Rows of the call.
        rows: usize,
        /// [`Options::call_rows_max`](crate::Options::call_rows_max).
        limit: usize,
    },
    /// The deadline came before the answer.
    #[error("the deadline came before the answer")]
    DeadlineExceeded,
    /// A batch runs many times longer than it should, and no other executor is left.
    #[error(
        "a batch has been running for {:?}, many times longer than it should; the model serves \
         again once it ends",
        rounded(*running)
    )]
    Stuck {
        /// Time for which the batch has been running.
        running: Duration,
    },
    /// The batcher is shutting down.
    #[error("the model is shutting down")]
    Draining,
    /// No executor is left: the last one crashed and could not be rebuilt.
    #[error("the model is gone: {reason}")]
    ExecutorDied {
        /// The error of rebuilding it.
        reason: Arc<str>,
    },
}

impl Refusal {
    /// Time after which a retry may help; `None` where it does not, or not here.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::QueueFull { retry_after, .. } | Refusal::WouldBeLate { retry_after, .. } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }

    /// Its name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::QueueFull { .. } => "queue_full",
            Refusal::DeadlineTooShort { .. } => "deadline_too_short",
            Refusal::WouldBeLate { .. } => "would_be_late",
            Refusal::TooLarge { .. } => "too_large",
            Refusal::TooManyRows { .. } => "too_many_rows",
            Refusal::DeadlineExceeded => "deadline_exceeded",
            Refusal::Stuck { .. } => "stuck",
            Refusal::Draining => "draining",
            Refusal::ExecutorDied { .. } => "executor_died",
        }
    }
}

/// Rounds a duration down for people: to microseconds below 10 ms, else to milliseconds.
fn rounded(duration: Duration) -> Duration {
    let step = match duration < Duration::from_millis(10) {
        true => 1_000,
        false => 1_000_000,
    };
    duration - Duration::from_nanos((duration.subsec_nanos() % step).into())
}

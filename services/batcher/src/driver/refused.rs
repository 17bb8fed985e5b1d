//! Why a call got no answer.

use std::time::Duration;

use crate::Refusal;

/// Why a call as a whole got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full. Worth a retry.
    #[error("the queue is full ({limit} rows); retry in {retry_after:?}")]
    QueueFull {
        /// The limit, in rows.
        limit: usize,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Refused at once, or given up in the queue, since it could not have been answered in time. Worth a retry, or a longer deadline.
    #[error(
        "it would be answered in {predicted:?}, after its deadline; retry in {retry_after:?} or allow more time"
    )]
    WouldBeLate {
        /// When it would have been answered, from the refusal.
        predicted: Duration,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// A row is longer than the model allows: the caller's mistake.
    #[error("a row has {tokens} tokens, the model takes {limit} at most; send shorter rows")]
    TooLarge {
        /// Tokens of the row.
        tokens: u32,
        /// The limit.
        limit: u32,
    },
    /// The deadline came before the answer.
    #[error("the deadline came before the answer")]
    DeadlineExceeded,
    /// The batcher is shutting down.
    #[error("the model is shutting down")]
    Draining,
    /// The model could not be rebuilt after a crash.
    #[error("the model is gone: {reason}")]
    ExecutorDied {
        /// Why it could not be rebuilt.
        reason: String,
    },
}

impl Refused {
    /// Its name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::QueueFull { .. } => "queue_full",
            Refused::WouldBeLate { .. } => "would_be_late",
            Refused::TooLarge { .. } => "too_large",
            Refused::DeadlineExceeded => "deadline_exceeded",
            Refused::Draining => "draining",
            Refused::ExecutorDied { .. } => "executor_died",
        }
    }

    /// The same, with the reason of death where there is one.
    pub(crate) fn from_refusal(refusal: Refusal, death: Option<&str>) -> Self {
        match refusal {
            Refusal::QueueFull { limit, retry_after } => Refused::QueueFull { limit, retry_after },
            Refusal::WouldBeLate {
                predicted,
                retry_after,
            } => Refused::WouldBeLate {
                predicted,
                retry_after,
            },
            Refusal::TooLarge { tokens, limit } => Refused::TooLarge { tokens, limit },
            Refusal::DeadlineExceeded => Refused::DeadlineExceeded,
            Refusal::Draining => Refused::Draining,
            Refusal::ExecutorDied => Refused::ExecutorDied {
                reason: death.unwrap_or("no executor is left").to_owned(),
            },
        }
    }
}

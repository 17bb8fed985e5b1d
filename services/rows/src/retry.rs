//! Failures that are tried again.

use std::time::Duration;

use crate::failure::{Code, Failure};

/// Policy: failures that are tried again, when, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Most calls that may fail for the row's sake, such as with `INTERNAL`.
    pub attempts_max: u32,
    /// The first wait between two calls; each further one is twice as long.
    pub wait_first: Duration,
    /// The longest wait, unless the server asks for a longer one.
    pub wait_max: Duration,
    /// Time that a server may be away or full, from the first refusal of a row.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    /// Three attempts, waits of 0.1 to 10 s, five minutes in all.
    fn default() -> Self {
        Self {
            attempts_max: 3,
            wait_first: Duration::from_millis(100),
            wait_max: Duration::from_secs(10),
            budget: Duration::from_secs(300),
        }
    }
}

/// The failed calls of one row so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries {
    /// Failures for the row's sake.
    pub attempts: u32,
    /// Refusals in succession.
    refusals: u32,
    /// The first of these.
    refused_since: Option<Duration>,
}

/// Verdict on a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another call after this time.
    Again(Duration),
    /// The failure is the row's: it has an error.
    RowError,
    /// The server is away or full for longer than the budget: no row has an answer now.
    Away,
    /// No row will have an answer: the server does not let this caller in, or lacks the pipeline.
    Refused,
}

/// Cause of a failure: the row, the server or the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The row, for sure.
    Row,
    /// The row or the server.
    Either,
    /// The server, which may recover.
    Server,
    /// The caller, for every row.
    Caller,
}

impl RetryPolicy {
    /// Decides what follows a failure at the time `now` of any clock. `chance`, from 0 to 1,
    /// spreads the waits of many rows: a wait is half to all of its time.
    pub fn next(&self, tries: &mut Tries, failure: &Failure, now: Duration, chance: f64) -> Next {
        match failure.cause() {
            Cause::Caller => {
                tries.attempts += 1;
                Next::Refused
            }
            Cause::Row => {
                tries.attempts += 1;
                Next::RowError
            }
            Cause::Either => {
                tries.attempts += 1;
                tries.refusals = 0;
                tries.refused_since = None;
                match tries.attempts < self.attempts_max {
                    true => Next::Again(self.wait(tries.attempts, None, chance)),
                    false => Next::RowError,
                }
            }
            Cause::Server => {
                tries.refusals += 1;
                let since = *tries.refused_since.get_or_insert(now);
                let wait = self.wait(tries.refusals, failure.retry_after, chance);
                match now.saturating_sub(since) + wait <= self.budget {
                    true => Next::Again(wait),
                    false => Next::Away,
                }
            }
        }
    }

    fn wait(&self, nth: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = 1u32.checked_shl(nth.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.wait_first.saturating_mul(doubled).min(self.wait_max);
        let wait = longest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        wait.max(asked.unwrap_or_default())
    }
}

impl Failure {
    /// Returns the cause of the failure.
    pub const fn cause(&self) -> Cause {
        match self.code {
            Code::Unavailable => Cause::Server,
            // Without a time, the limit is one that waiting does not change, such as the size of a
            // message.
            Code::ResourceExhausted if self.retry_after.is_some() => Cause::Server,
            Code::Unauthenticated | Code::PermissionDenied => Cause::Caller,
            Code::NotFound | Code::Unimplemented if self.node.is_none() => Cause::Caller,
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::DataLoss => Cause::Either,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => Cause::Row,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(code: Code) -> Failure {
        Failure::new(code, "why")
    }

    #[test]
    fn each_code_has_its_consequence() {
        let full = Failure {
            retry_after: Some(Duration::from_secs(30)),
            ..failure(Code::ResourceExhausted)
        };
        let of_node = Failure {
            node: Some("a".to_owned()),
            ..failure(Code::NotFound)
        };
        let again = |seconds| Next::Again(Duration::from_secs_f64(seconds));
        for (failure, expected) in [
            (failure(Code::InvalidArgument), Next::RowError),
            (failure(Code::OutOfRange), Next::RowError),
            (failure(Code::ResourceExhausted), Next::RowError),
            (of_node, Next::RowError),
            (failure(Code::NotFound), Next::Refused),
            (failure(Code::Unauthenticated), Next::Refused),
            (failure(Code::PermissionDenied), Next::Refused),
            (failure(Code::Internal), again(0.1)),
            (failure(Code::Unavailable), again(0.1)),
            (full, again(30.0)),
        ] {
            let mut tries = Tries::default();
            let next = RetryPolicy::default().next(&mut tries, &failure, Duration::ZERO, 1.0);
            assert_eq!(next, expected, "{failure}");
        }
    }

    #[test]
    fn refusals_do_not_count_as_attempts() {
        let policy = RetryPolicy::default();
        let mut tries = Tries::default();
        let mut said = Vec::new();
        for code in [
            Code::Unavailable,
            Code::Internal,
            Code::Unavailable,
            Code::Internal,
            Code::Internal,
        ] {
            said.push(policy.next(&mut tries, &failure(code), Duration::ZERO, 0.0));
        }
        assert_eq!(tries.attempts, 3);
        assert_eq!(said.last(), Some(&Next::RowError));
        assert!(said[..4].iter().all(|next| matches!(next, Next::Again(_))));
    }

    proptest! {
        /// A server that stays away is asked again until the budget is used up, never after it.
        #[test]
        fn the_budget_bounds_the_waits(chances in prop::collection::vec(0.0f64..=1.0, 200)) {
            let policy = RetryPolicy::default();
            let (mut tries, mut now) = (Tries::default(), Duration::from_secs(7));
            let begin = now;
            let mut ended = false;
            for chance in chances {
                match policy.next(&mut tries, &failure(Code::Unavailable), now, chance) {
                    Next::Again(wait) => {
                        prop_assert!(wait <= policy.wait_max);
                        now += wait;
                        prop_assert!(now - begin <= policy.budget);
                    }
                    next => {
                        prop_assert_eq!(next, Next::Away);
                        ended = true;
                        break;
                    }
                }
            }
            prop_assert!(ended);
            prop_assert!(now - begin + policy.wait_max >= policy.budget);
        }
    }
}

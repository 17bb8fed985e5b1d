//! What a user can set, under the names that users of other batchers know.

use std::time::Duration;

use crate::Policy;

/// Options of one batcher. `Options::default()` is a sound start for a text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Most rows in one batch. Default 32.
    pub max_batch_size: usize,
    /// Most tokens in one batch; with [`Layout::Padded`], padding counts. A longer row runs alone. Default 8192.
    pub max_batch_tokens: u64,
    /// Most tokens in one row, the model's own limit; a call with a longer row is refused. Default `None`: no limit.
    pub max_row_tokens: Option<u32>,
    /// The latency objective: the deadline of calls that bring none, counted from their arrival. Default `None`: such calls have no deadline.
    pub max_latency: Option<Duration>,
    /// Longest deliberate wait for company: a cap, never a target. Zero never waits. Default 20 ms.
    pub max_queue_delay: Duration,
    /// Most rows in the queue. A call that would pass it is refused, unless nothing is queued. Default 1024.
    pub max_queue_size: usize,
    /// Share of the executors' time that bulk rows get while interactive rows would take all of it, 0 to 0.5. Default 0.1.
    pub bulk_share: f64,
    /// Whether it counts what calls say of the request that they are part of ([`Lookahead`](crate::Lookahead)). Default true.
    pub lookahead: bool,
    /// When a free executor waits for company. Default [`Policy::Adaptive`].
    pub policy: Policy,
    /// How the executor lays rows of different length out. Default [`Layout::Packed`].
    pub layout: Layout,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_batch_size: 32,
            max_batch_tokens: 8192,
            max_row_tokens: None,
            max_latency: None,
            max_queue_delay: Duration::from_millis(20),
            max_queue_size: 1024,
            bulk_share: 0.1,
            lookahead: true,
            policy: Policy::default(),
            layout: Layout::default(),
        }
    }
}

/// How an executor lays rows of different length out, which decides what a batch costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Rows follow each other without padding: a batch costs the sum of its tokens.
    #[default]
    Packed,
    /// Rows are padded to the longest: a batch costs rows x longest, so rows of similar length are put together.
    Padded,
}

impl Layout {
    /// Tokens that a batch of `rows` rows computes, given the sum of their tokens and the longest of them.
    pub fn tokens(self, rows: usize, sum: u64, longest: u32) -> u64 {
        match self {
            Layout::Packed => sum,
            Layout::Padded => rows as u64 * u64::from(longest),
        }
    }
}

/// One option that cannot be used as it is, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {reason}")]
pub struct OptionProblem {
    /// Name of the option, as a user writes it.
    pub option: &'static str,
    /// What is wrong and what to do.
    pub reason: String,
}

impl Options {
    /// Checks every option and every pair that can contradict each other.
    ///
    /// # Errors
    /// All problems at once, in the order of the fields.
    pub fn validate(&self) -> Result<(), Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let mut check = |sound: bool, option, reason: String| {
            if !sound {
                problems.push(OptionProblem { option, reason });
            }
        };
        check(
            self.max_batch_size > 0,
            "max_batch_size",
            "must be at least 1".into(),
        );
        check(
            self.max_batch_tokens > 0,
            "max_batch_tokens",
            "must be at least 1".into(),
        );
        check(
            self.max_row_tokens != Some(0),
            "max_row_tokens",
            "must be at least 1, or left out for no limit".into(),
        );
        check(
            self.max_latency != Some(Duration::ZERO),
            "max_latency",
            "must be longer than zero, or left out for no default deadline".into(),
        );
        if let Some(max_latency) = self.max_latency {
            check(
                self.max_queue_delay <= max_latency,
                "max_queue_delay",
                format!(
                    "{:?} is above max_latency ({max_latency:?}): waiting alone would make every call late; lower it",
                    self.max_queue_delay
                ),
            );
        }
        check(
            self.max_queue_size > 0,
            "max_queue_size",
            "must be at least 1".into(),
        );
        check(
            self.max_queue_size >= self.max_batch_size,
            "max_queue_size",
            format!(
                "{} is below max_batch_size ({}): no full batch could ever form; raise it",
                self.max_queue_size, self.max_batch_size
            ),
        );
        check(
            (0.0..=0.5).contains(&self.bulk_share),
            "bulk_share",
            format!("{} is not between 0 and 0.5", self.bulk_share),
        );
        if let Policy::Fixed(window) = self.policy {
            check(
                window <= self.max_queue_delay,
                "policy",
                format!(
                    "the fixed window {window:?} is above max_queue_delay ({:?}): raise that, or shorten the window",
                    self.max_queue_delay
                ),
            );
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Options), expected: &[&str]) {
        let mut options = Options::default();
        change(&mut options);
        let found: Vec<_> = options
            .validate()
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|problem| problem.option)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn problems_are_named() {
        check(|_| {}, &[]);
        check(|o| o.max_batch_size = 0, &["max_batch_size"]);
        check(|o| o.max_batch_tokens = 0, &["max_batch_tokens"]);
        check(|o| o.max_row_tokens = Some(0), &["max_row_tokens"]);
        check(
            |o| o.max_latency = Some(Duration::ZERO),
            &["max_latency", "max_queue_delay"],
        );
        check(
            |o| o.max_latency = Some(Duration::from_millis(19)),
            &["max_queue_delay"],
        );
        check(
            |o| o.max_queue_size = 0,
            &["max_queue_size", "max_queue_size"],
        );
        check(|o| o.max_queue_size = 8, &["max_queue_size"]);
        check(|o| o.bulk_share = f64::NAN, &["bulk_share"]);
        check(|o| o.bulk_share = 0.6, &["bulk_share"]);
        check(
            |o| o.policy = Policy::Fixed(Duration::from_millis(21)),
            &["policy"],
        );
        check(
            |o| {
                o.max_batch_size = 0;
                o.bulk_share = -1.0;
            },
            &["max_batch_size", "bulk_share"],
        );
    }
}

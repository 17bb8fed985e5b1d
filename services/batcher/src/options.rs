//! Options of a batcher, under the names that users of other batchers know.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Options of one batcher. The defaults suit a text encoder.
///
/// ```
/// use motet_batcher::Options;
///
/// let options = Options {
///     max_queue_size: 0,
///     ..Options::default()
/// };
/// let problems = options.validate().unwrap_err();
/// assert_eq!(problems[0].to_string(), "max_queue_size must be at least 1");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Most rows in one batch, 1 to [`Options::BATCH_ROWS_MAX`]. Default `None`:
    /// [`Options::max_batch_tokens`] limits a batch.
    pub max_batch_size: Option<usize>,
    /// Most tokens in one batch; with [`Layout::Padded`], padding counts. A longer row runs alone.
    /// A batch has fewer where more would save next to nothing
    /// ([`CostModel::useful_batch_tokens`](crate::CostModel::useful_batch_tokens)). Default 8192.
    pub max_batch_tokens: u64,
    /// Most tokens in one row, the model's own limit; a call with a longer row is refused.
    /// Default `None`: no limit.
    pub max_row_tokens: Option<u32>,
    /// The latency objective: the deadline of calls that have none of their own, counted from their
    /// arrival. Default `None`: such calls have no deadline.
    pub max_latency: Option<Duration>,
    /// Longest time that a free executor deliberately waits for further rows: a limit, never a
    /// target. Zero never waits. Default 20 ms.
    pub max_queue_delay: Duration,
    /// Most rows in the queue, of which one call takes at most a sixteenth: its other rows wait in
    /// the call itself. A call that would exceed it is refused, unless its flow has less than its
    /// share of it. With those that wait in calls there are at most 64 times as many rows, in one
    /// call or in all. Default 1024.
    pub max_queue_size: usize,
    /// Share of the executors' time that bulk rows get while interactive rows would take all of it,
    /// 0 to 0.5. Default 0.1.
    pub bulk_share: f64,
    /// Time after which a batch that runs, and has run ten times longer than expected, is stuck:
    /// its calls are refused, and while no other executor is left, every call is. Default 10 s.
    pub stuck_after: Duration,
    /// Use what callers know of the request that a call is part of
    /// ([`Lookahead`](crate::Lookahead)). Default `true`.
    pub lookahead: bool,
    /// Rule that decides when a free executor waits. Default [`Policy::Adaptive`].
    pub policy: Policy,
    /// Layout of rows of different length in the executor. Default [`Layout::Packed`].
    pub layout: Layout,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_batch_size: None,
            max_batch_tokens: 8192,
            max_row_tokens: None,
            max_latency: None,
            max_queue_delay: Duration::from_millis(20),
            max_queue_size: 1024,
            bulk_share: 0.1,
            stuck_after: Duration::from_secs(10),
            lookahead: true,
            policy: Policy::default(),
            layout: Layout::default(),
        }
    }
}

/// The rule that decides whether a free executor with queued rows runs now or waits for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Wait only where recent arrivals and the measured cost say that it lowers the total delay.
    #[default]
    Adaptive,
    /// Never wait: run the queued rows at once.
    Greedy,
    /// Wait until the oldest row has been queued for this time, or the batch is full.
    Fixed(Duration),
}

/// Layout of rows of different length in an executor; it decides the cost of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Rows follow each other without padding: a batch costs the sum of its tokens.
    #[default]
    Packed,
    /// Rows are padded to the longest: a batch costs rows x longest, so rows of similar length are
    /// batched together.
    Padded,
}

impl Layout {
    /// Returns the tokens that a batch of `rows` rows computes, given the sum of their tokens and
    /// the length of the longest.
    pub fn tokens(self, rows: usize, sum: u64, longest: u32) -> u64 {
        match self {
            Layout::Packed => sum,
            Layout::Padded => rows as u64 * u64::from(longest),
        }
    }
}

/// Limits of the next batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Most rows.
    pub(crate) rows: usize,
    /// Most tokens, padding included where the executor pads.
    pub(crate) tokens: u64,
    pub(crate) layout: Layout,
}

/// A mistake in one option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} {reason}")]
pub struct OptionProblem {
    /// Name of the option, as a user writes it.
    pub option: &'static str,
    /// The option that it contradicts, if it is sound by itself.
    pub contradicts: Option<&'static str>,
    /// The mistake and its fix, as the rest of a sentence that begins with the option.
    pub reason: String,
}

impl Options {
    /// Range of [`Options::bulk_share`].
    pub const BULK_SHARE: RangeInclusive<f64> = 0.0..=0.5;

    /// Largest [`Options::max_batch_size`], and the most rows in a batch where it is `None`.
    pub const BATCH_ROWS_MAX: usize = 4096;

    /// Most rows in one call.
    pub fn call_rows_max(&self) -> usize {
        self.waiting_rows_max()
    }

    /// Most rows that wait, in the queue and in calls.
    pub fn waiting_rows_max(&self) -> usize {
        self.max_queue_size.saturating_mul(Self::ROWS_PER_PLACE)
    }

    /// Most rows that wait for each place of [`Options::max_queue_size`].
    pub const ROWS_PER_PLACE: usize = 64;

    /// Most rows in one batch.
    pub fn batch_rows_max(&self) -> usize {
        self.max_batch_size
            .map_or(Self::BATCH_ROWS_MAX, |rows| rows.min(Self::BATCH_ROWS_MAX))
    }

    /// Checks every option and every pair that can contradict each other.
    ///
    /// # Errors
    /// All problems, in the order of the fields.
    pub fn validate(&self) -> Result<(), Vec<OptionProblem>> {
        let mut problems = Vec::new();
        let mut check = |sound: bool, option, contradicts, reason: String| {
            if !sound {
                problems.push(OptionProblem {
                    option,
                    contradicts,
                    reason,
                });
            }
        };
        check(
            self.max_batch_size
                .is_none_or(|rows| (1..=Self::BATCH_ROWS_MAX).contains(&rows)),
            "max_batch_size",
            None,
            format!(
                "must be between 1 and {}, or left out for no limit",
                Self::BATCH_ROWS_MAX
            ),
        );
        check(
            self.max_batch_tokens > 0,
            "max_batch_tokens",
            None,
            "must be at least 1".into(),
        );
        check(
            self.max_row_tokens != Some(0),
            "max_row_tokens",
            None,
            "must be at least 1, or left out for no limit".into(),
        );
        check(
            self.max_latency != Some(Duration::ZERO),
            "max_latency",
            None,
            "must be longer than zero, or left out for no default deadline".into(),
        );
        if let Some(max_latency) = self.max_latency {
            check(
                self.max_queue_delay <= max_latency,
                "max_queue_delay",
                Some("max_latency"),
                format!(
                    "is {:?}, longer than max_latency ({max_latency:?}): waiting alone would make \
                     every call late; lower it",
                    self.max_queue_delay
                ),
            );
        }
        check(
            self.max_queue_size > 0,
            "max_queue_size",
            None,
            "must be at least 1".into(),
        );
        if let Some(rows) = self.max_batch_size {
            check(
                self.max_queue_size >= rows,
                "max_queue_size",
                Some("max_batch_size"),
                format!(
                    "is {}, below max_batch_size ({rows}): no full batch could form; raise it",
                    self.max_queue_size
                ),
            );
        }
        check(
            Self::BULK_SHARE.contains(&self.bulk_share),
            "bulk_share",
            None,
            format!(
                "is {}, but must be between {} and {}",
                self.bulk_share,
                Self::BULK_SHARE.start(),
                Self::BULK_SHARE.end()
            ),
        );
        if let Policy::Fixed(window) = self.policy {
            check(
                window <= self.max_queue_delay,
                "policy",
                Some("max_queue_delay"),
                format!(
                    "has a window of {window:?}, longer than max_queue_delay ({:?}): raise \
                     max_queue_delay, or shorten the window",
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
    fn every_mistake_is_reported_with_its_option() {
        check(|_| {}, &[]);
        check(|o| o.max_batch_size = Some(0), &["max_batch_size"]);
        check(|o| o.max_batch_size = Some(1024), &[]);
        check(
            |o| (o.max_batch_size, o.max_queue_size) = (Some(4096), 4096),
            &[],
        );
        check(
            |o| (o.max_batch_size, o.max_queue_size) = (Some(4097), 5000),
            &["max_batch_size"],
        );
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
        check(|o| o.max_queue_size = 0, &["max_queue_size"]);
        check(|o| o.max_queue_size = 8, &[]);
        check(
            |o| (o.max_batch_size, o.max_queue_size) = (Some(32), 8),
            &["max_queue_size"],
        );
        check(|o| o.bulk_share = f64::NAN, &["bulk_share"]);
        check(|o| o.bulk_share = 0.6, &["bulk_share"]);
        check(
            |o| o.policy = Policy::Fixed(Duration::from_millis(21)),
            &["policy"],
        );
        check(
            |o| {
                o.max_batch_size = Some(0);
                o.bulk_share = -1.0;
            },
            &["max_batch_size", "bulk_share"],
        );
    }
}

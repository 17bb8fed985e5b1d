//! The quantum: the most work of a long call that runs while short calls may come.
//!
//! A batch cannot be interrupted, so whoever comes waits for its end. Long batches of a long call
//! save little; one that spends twelve times its fixed cost on its tokens loses a twelfth of its
//! time. While nobody else comes, or only when nothing of others is there, a long call runs in full
//! batches. Where calls come whose deadline
//! is past before a full batch ends, all batches are so short that they are in time, but no shorter
//! than a quantum.

use std::time::Duration;

use crate::cost::CostModel;
use crate::row::Work;
use crate::time::Time;

/// Seconds that a quantum spends on its tokens, in fixed costs of a batch.
const FIXED_COSTS: f64 = 12.0;
/// Part by which rows of a long call may lengthen a batch of others.
const EXTENSION: f64 = 0.25;
/// Time for which a short call is followed by others, as far as is known.
const MEMORY: Duration = Duration::from_secs(10);
/// Part of the work that is urgent, up to which batches are short for it.
const URGENT_MAX: f64 = 0.5;
/// Weight of the last call in that part.
const SHARE_RATE: f64 = 0.02;
/// Seconds in which the length of the longest recent call is forgotten by half.
const LONGEST_HALF_LIFE: f64 = 5.0;

/// Returns the tokens of a quantum, at most `most`.
pub(crate) fn tokens(cost: &CostModel, most: u64) -> u64 {
    let tokens = FIXED_COSTS * cost.fixed_seconds() / cost.seconds_per_token();
    match cost.is_known() && tokens.is_finite() {
        true => (tokens as u64).clamp(1, most.max(1)),
        false => most,
    }
}

/// Returns the tokens by which rows of a long call may lengthen a batch of `others`.
pub(crate) fn extension(cost: &CostModel, others: Work) -> u64 {
    let seconds = EXTENSION * cost.predict(others.tokens);
    // No limit where tokens cost nothing.
    (seconds / cost.seconds_per_token()) as u64
}

/// Calls that came lately, admitted or not.
#[derive(Debug, Default)]
pub(crate) struct RecentCalls {
    last_short: Option<Time>,
    /// The least time that a call could wait, in seconds, and when it came.
    most_urgent: Option<(f64, Time)>,
    /// Recent tokens of urgent calls, and of all.
    urgent: f64,
    all: f64,
    longest: f64,
    longest_at: Time,
}

impl RecentCalls {
    /// Takes note of a call of `of_call` tokens, whose first part is of `tokens` tokens; `is_short`
    /// if that is all of it and work of others is there, which it waits for.
    pub(crate) fn arrived(&mut self, now: Time, of_call: u64, tokens: u64, is_short: bool) {
        if is_short {
            self.last_short = Some(now);
        }
        self.longest = self.longest(now).max(tokens as f64);
        self.urgent *= 1.0 - SHARE_RATE;
        self.all = (1.0 - SHARE_RATE) * self.all + of_call as f64;
        self.longest_at = now;
    }

    /// Takes note that the call of `tokens` tokens which arrived last can wait for `seconds` before
    /// its own batch starts, and not for a full one. If it often cannot wait even for a batch of
    /// `quantum` seconds, short batches would not help it.
    pub(crate) fn can_wait(&mut self, now: Time, tokens: u64, seconds: f64, quantum: f64) {
        self.urgent += tokens as f64;
        let urgent = self.urgency(now);
        if seconds > 0.5 * quantum && urgent.is_none_or(|urgent| seconds <= urgent) {
            self.most_urgent = Some((seconds, now));
        }
    }

    /// Seconds for which recent calls could wait at the least; `None` without any.
    fn urgency(&self, now: Time) -> Option<f64> {
        let recent = self.most_urgent.filter(|(_, at)| now.since(*at) < MEMORY);
        recent.map(|(seconds, _)| seconds)
    }

    /// Returns the most tokens of a batch for whose end urgent calls can wait: at least a quantum.
    /// No limit where most work is urgent: then throughput decides how much of it is in time.
    pub(crate) fn batch_tokens_max(&self, now: Time, cost: &CostModel, quantum: u64) -> u64 {
        let Some(seconds) = self
            .urgency(now)
            .filter(|_| self.urgent < URGENT_MAX * self.all)
        else {
            return u64::MAX;
        };
        let tokens = (seconds - cost.fixed_seconds()) / cost.seconds_per_token();
        // No limit where tokens cost nothing.
        (tokens as u64).max(quantum)
    }

    /// `true` if short calls come, which would wait for the end of a batch.
    pub(crate) fn are_short(&self, now: Time) -> bool {
        self.last_short.is_some_and(|last| now.since(last) < MEMORY)
    }

    /// Tokens of the longest first part of recent calls.
    pub(crate) fn longest(&self, now: Time) -> f64 {
        let half_lives = now.seconds_since(self.longest_at) / LONGEST_HALF_LIFE;
        self.longest * (-half_lives).exp2()
    }
}

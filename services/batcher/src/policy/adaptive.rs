//! Waits where learnt arrivals and costs say that it lowers the total delay.
//!
//! A wait of `h` seconds delays the rows that are queued, and those that would have come during
//! their pass, by `h`; it spares the `N` rows expected by then a whole pass of their own. That is
//! the balance for independent arrivals. Closed-loop callers, which answer a completion with their
//! next request, are another matter: they come whenever they are answered, and splitting them into
//! two cohorts makes each wait for the other's pass. The two balances are mixed by the share of a
//! finished batch that has recently come straight back.
//!
//! Announced rows count as expected from the time for which they are announced. Waiting for them
//! costs nothing to the rows of the same request, whose answer is of no use before.

use super::batch_limit;
use super::{Backlog, BatchingPolicy, Wait, WaitInputs};
use crate::forecast::{DecisionPoint, HORIZONS};
use crate::learnt::Learnt;

/// Factor on the delay that a wait adds, since a forecast can be wrong.
const CAUTION: f64 = 1.2;
/// Share of a batch that must come back before callers count as closed-loop at all.
const CLOSED_LOOP_MIN: f64 = 0.6;
/// Smallest ratio of fixed to variable cost at which sharing a pass helps closed-loop callers.
const CLOSED_LOOP_FIXED_MIN: f64 = 0.3;
/// Smallest ratio of a batch to the independent arrivals of half a fixed cost at which closed-loop
/// callers can be told from these.
const CLOSED_LOOP_BATCH_MIN: f64 = 1.5;

/// [`Policy::Adaptive`](crate::Policy::Adaptive).
#[derive(Debug)]
pub(super) struct Adaptive;

impl BatchingPolicy for Adaptive {
    fn batch_tokens_max(&self, learnt: &Learnt, backlog: &Backlog) -> u64 {
        batch_limit::tokens_max(&learnt.cost, backlog)
    }

    fn wait(&self, inputs: &WaitInputs<'_>) -> Option<Wait> {
        // Further rows would find another free executor.
        if inputs.free_executors > 1 {
            return None;
        }
        best_wait(inputs)
    }
}

/// Returns the wait with the largest gain; `None` if no wait gains anything.
fn best_wait(inputs: &WaitInputs<'_>) -> Option<Wait> {
    let fixed = inputs.learnt.cost.fixed_seconds();
    let balance = Balance::of(inputs);
    let within_pass = inputs.learnt_arrivals(balance.pass.min(fixed));
    let (mut best, mut best_gain) = (None, 0.0);
    for seconds in inputs.candidates() {
        let (learnt, announced) = inputs.expected_arrivals(seconds);
        let arrivals = learnt.max(announced);
        let returning = learnt.min(inputs.learnt.outstanding as f64).max(announced);
        // Rows that come after the wait, before the pass would have ended. With another executor
        // they do not wait for this pass.
        let late = if inputs.next_free.is_some() {
            0.0
        } else {
            (within_pass - arrivals).max(0.0)
        };
        let gain = balance.gain(seconds, arrivals, returning, late);
        if gain > best_gain {
            let until = inputs.now.plus_seconds(seconds);
            (best, best_gain) = (
                Some(Wait {
                    until,
                    expected_rows: arrivals,
                }),
                gain,
            );
        }
    }
    best
}

impl WaitInputs<'_> {
    /// Returns the rows learnt to arrive within `seconds` from now and to be of the batch's group;
    /// none while nothing is known.
    fn learnt_arrivals(&self, seconds: f64) -> f64 {
        let within = |seconds| self.learnt.forecast.expected_within(self.point, seconds);
        let both = within(self.elapsed + seconds).zip(within(self.elapsed));
        let joining = self.learnt.groups.same_share();
        both.map_or(0.0, |(then, now)| joining * (then - now))
    }

    /// Returns the rows learnt to arrive within `seconds` from now, and the rows announced.
    fn expected_arrivals(&self, seconds: f64) -> (f64, f64) {
        let then = self.now.plus_seconds(seconds);
        let announced = self.announcements.rows_by(self.now, then) as f64;
        (self.learnt_arrivals(seconds), announced)
    }

    /// Returns the waits to compare, in seconds: those at whose end a learnt expectation changes,
    /// or announced rows should have come. None is longer than the fixed cost.
    fn candidates(&self) -> impl Iterator<Item = f64> {
        let forecast = &self.learnt.forecast;
        let learnt = (0..HORIZONS).map(|j| forecast.horizon(j) - self.elapsed);
        let announced = self.announcements.times(self.now);
        let announced = announced.map(|at| at.seconds_since(self.now));
        let longest = self.learnt.cost.fixed_seconds();
        learnt
            .chain(announced)
            .filter(move |seconds| (f64::MIN_POSITIVE..=longest).contains(seconds))
    }
}

/// The terms of the balance that do not depend on the length of the wait.
#[derive(Clone, Copy, Debug)]
struct Balance {
    /// Fixed seconds of a batch, and seconds per token.
    cost: (f64, f64),
    /// Queued rows that a wait delays: all but those whose request expects announced rows anyway.
    rows: f64,
    /// Tokens that would run now.
    tokens: f64,
    /// Mean tokens of a row.
    row_tokens: f64,
    /// Seconds that rows which arrive during the pass would wait for an executor.
    pass: f64,
    /// Share of a finished batch that comes straight back, 0 to 1.
    closed_loop: f64,
}

impl Balance {
    fn of(inputs: &WaitInputs<'_>) -> Self {
        let cost = &inputs.learnt.cost;
        let pass = cost.predict(inputs.tokens);
        let expecting = inputs
            .rows
            .iter()
            .filter(|row| inputs.announcements.is_expecting(inputs.now, row.call))
            .count();
        Balance {
            cost: (cost.fixed_seconds(), cost.seconds_per_token()),
            rows: (inputs.rows.len() - expecting) as f64,
            tokens: inputs.tokens as f64,
            row_tokens: inputs.learnt.row_tokens.value(),
            pass: inputs.next_free.map_or(pass, |free| free.min(pass)),
            closed_loop: closed_loop_share(inputs.learnt),
        }
    }

    /// Returns the row-seconds that a wait of `h` seconds spares, less those that it costs.
    ///
    /// `arrivals` rows come during the wait, at most `returning` of them from callers of the last
    /// batch, and `late` rows after it, before the pass would have ended.
    fn gain(&self, h: f64, arrivals: f64, returning: f64, late: f64) -> f64 {
        let (a, b) = self.cost;
        let rows = self.rows;
        let fixed_matters =
            a >= CLOSED_LOOP_FIXED_MIN * b * (self.tokens + arrivals * self.row_tokens);
        let share = if fixed_matters {
            ((self.closed_loop - CLOSED_LOOP_MIN) / (1.0 - CLOSED_LOOP_MIN)).max(0.0)
        } else {
            0.0
        };
        let open = arrivals * (self.pass - h - b * self.tokens)
            - CAUTION * (rows * (h + 0.5 * b * self.row_tokens * arrivals) + late * h);
        let closed = returning.min(1.0) * (rows + returning) * a.min(self.pass)
            - CAUTION * (rows + returning) * h;
        (1.0 - share) * open + share * closed
    }
}

/// Returns the share of a finished batch that comes straight back, 0 to 1: the arrivals after a
/// completion beyond the usual rate.
fn closed_loop_share(learnt: &Learnt) -> f64 {
    let half = 0.5 * learnt.cost.fixed_seconds();
    let usual = learnt.forecast.rate() * half;
    let batch_rows = learnt.batch_rows.value();
    if batch_rows < CLOSED_LOOP_BATCH_MIN * usual || batch_rows <= usual {
        return 0.0;
    }
    let after_completion = learnt
        .forecast
        .expected_within(DecisionPoint::Completion, half)
        .unwrap_or(0.0);
    ((after_completion - usual) / (batch_rows - usual)).clamp(0.0, 1.0)
}

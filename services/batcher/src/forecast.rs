//! The number of arrivals to expect, learnt by watching: `N_p(h)`, the mean number of rows that
//! arrive within `h` seconds of a decision point of kind `p`.
//!
//! A rate would not do. What matters is whether arrivals cluster *at decision points*: callers that
//! answer a completion with their next request, a gateway that fans a request out. Horizons are
//! fractions of the fixed cost of a batch, beyond which waiting cannot pay. Watching goes on
//! whether or not the batcher waits, so its own waiting does not influence what it learns.

use std::collections::VecDeque;

use crate::time::Time;
use crate::utilization::Rate;

/// Number of horizons: `a / 64 * 2^j` seconds.
pub(crate) const HORIZONS: usize = 7;
/// Slowest learning; the first epochs of a kind are averaged evenly.
const RATE_MIN: f64 = 0.06;
/// Epochs of a kind before its expectation is used.
const EPOCHS_MIN: u32 = 8;
/// A fixed cost that changed by this factor invalidates the expectations: the horizons are others.
const RESET_FACTOR: f64 = 2.0;
/// Most decision points watched at the same time.
const WATCHED_MAX: usize = 64;

/// Kinds of moments at which an executor may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecisionPoint {
    /// A row came into an empty queue while an executor was free.
    Arrival = 0,
    /// A batch ended while rows were queued.
    Backlog = 1,
    /// A batch ended.
    Completion = 2,
}

/// Learnt arrivals after decision points of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Expectation {
    epochs: u32,
    /// Mean rows within each horizon.
    rows: [f64; HORIZONS],
}

/// A decision point whose horizons have not all passed.
#[derive(Clone, Debug)]
struct Epoch {
    start: Time,
    point: DecisionPoint,
    /// The longest horizon, in seconds.
    span: f64,
    /// Rows so far within each horizon.
    rows: [u32; HORIZONS],
}

/// The learnt expectations, and the arrival rate.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    expectations: [Expectation; 3],
    watched: VecDeque<Epoch>,
    /// Fixed seconds of a batch from which the horizons are derived.
    scale: f64,
    rate: Rate,
}

impl Forecast {
    /// Starts to watch a decision point; `fixed_seconds` is the fixed cost of a batch.
    pub(crate) fn watch(&mut self, now: Time, point: DecisionPoint, fixed_seconds: f64) {
        self.learn(now);
        if fixed_seconds <= 0.0 {
            return;
        }
        if self.scale <= 0.0
            || fixed_seconds > self.scale * RESET_FACTOR
            || fixed_seconds < self.scale / RESET_FACTOR
        {
            self.expectations = Default::default();
            self.watched.clear();
            self.scale = fixed_seconds;
        }
        if self.watched.len() < WATCHED_MAX {
            self.watched.push_back(Epoch {
                start: now,
                point,
                span: fixed_seconds,
                rows: [0; HORIZONS],
            });
        }
    }

    /// Counts rows that arrive now.
    pub(crate) fn arrived(&mut self, now: Time, rows: usize) {
        self.learn(now);
        for epoch in &mut self.watched {
            let elapsed = now.seconds_since(epoch.start);
            for (j, count) in epoch.rows.iter_mut().enumerate() {
                if elapsed <= horizon(epoch.span, j) {
                    *count = count.saturating_add(rows as u32);
                }
            }
        }
        self.rate.count(now, rows as f64);
    }

    /// Learns from the decision points whose horizons have passed.
    fn learn(&mut self, now: Time) {
        while self
            .watched
            .front()
            .is_some_and(|epoch| now.seconds_since(epoch.start) > epoch.span)
        {
            let Some(epoch) = self.watched.pop_front() else {
                return;
            };
            let expectation = &mut self.expectations[epoch.point as usize];
            expectation.epochs = expectation.epochs.saturating_add(1);
            let rate = (1.0 / f64::from(expectation.epochs)).max(RATE_MIN);
            for (mean, count) in expectation.rows.iter_mut().zip(epoch.rows) {
                *mean += rate * (f64::from(count) - *mean);
            }
        }
    }

    /// Recent rows per second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate.per_second()
    }

    /// Returns the rows expected within `seconds` of a decision point; `None` until enough points
    /// of its kind were seen.
    pub(crate) fn expected_within(&self, point: DecisionPoint, seconds: f64) -> Option<f64> {
        let expectation = &self.expectations[point as usize];
        if expectation.epochs < EPOCHS_MIN || seconds <= 0.0 {
            return (expectation.epochs >= EPOCHS_MIN).then_some(0.0);
        }
        let (mut shorter, mut fewer) = (0.0, 0.0);
        for (j, &rows) in expectation.rows.iter().enumerate() {
            let longer = horizon(self.scale, j);
            if seconds <= longer {
                return Some(fewer + (rows - fewer) * (seconds - shorter) / (longer - shorter));
            }
            (shorter, fewer) = (longer, rows);
        }
        Some(fewer)
    }

    /// Returns horizon `j` in seconds.
    pub(crate) fn horizon(&self, j: usize) -> f64 {
        horizon(self.scale, j)
    }
}

fn horizon(span: f64, j: usize) -> f64 {
    span / f64::from(1_u32 << (HORIZONS - 1 - j))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: f64 = 0.0064;

    fn micros(micros: u64) -> Time {
        Time::from_nanos(micros * 1000)
    }

    #[test]
    fn arrivals_that_cluster_at_decision_points_are_learnt() {
        let mut forecast = Forecast::default();
        // One row every 100 ms, and three more 1 ms later.
        for n in 0..40 {
            let start = n * 100_000;
            forecast.arrived(micros(start), 1);
            forecast.watch(micros(start), DecisionPoint::Arrival, A);
            forecast.arrived(micros(start + 1_000), 3);
            if n == 5 {
                assert_eq!(
                    forecast.expected_within(DecisionPoint::Arrival, A),
                    None,
                    "too few seen"
                );
            }
        }
        let within = |seconds| {
            forecast
                .expected_within(DecisionPoint::Arrival, seconds)
                .expect("enough seen")
        };
        assert!(within(0.0008) < 0.01, "{}", within(0.0008));
        assert!((within(0.0016) - 3.0).abs() < 0.01 && (within(A) - 3.0).abs() < 0.01);
        assert_eq!(within(1.0), within(A));
        assert!((forecast.rate() - 40.0).abs() < 4.0, "{}", forecast.rate());
        assert_eq!(forecast.expected_within(DecisionPoint::Backlog, A), None);
    }

    #[test]
    fn another_fixed_cost_resets_the_expectations() {
        let mut forecast = Forecast::default();
        for n in 0..20 {
            forecast.watch(micros(n * 100_000), DecisionPoint::Completion, A);
        }
        assert_eq!(
            forecast.expected_within(DecisionPoint::Completion, A),
            Some(0.0)
        );
        forecast.watch(micros(5_000_000), DecisionPoint::Completion, 1.5 * A);
        assert_eq!(
            forecast.expected_within(DecisionPoint::Completion, A),
            Some(0.0)
        );
        forecast.watch(micros(6_000_000), DecisionPoint::Completion, 2.5 * A);
        assert_eq!(forecast.expected_within(DecisionPoint::Completion, A), None);
    }
}

//! How much company to expect, learnt by watching: `N_c(h)`, the mean number of rows that arrive within `h` of a decision point of class `c`.
//!
//! A rate would not do. What matters is whether arrivals cluster *at decision points*: callers that answer a completion with their next request, a
//! gateway that fans a request out. Horizons are fractions of the fixed cost of a batch, beyond which waiting cannot pay. Watching goes on whether or not
//! the batcher waits, so its own waiting does not feed it.

use std::collections::VecDeque;

use crate::Time;
use crate::load::Rate;

/// Horizons: `a / 64 * 2^j`.
pub(crate) const HORIZONS: usize = 7;
/// Slowest learning; a class's first epochs are averaged evenly.
const RATE_MIN: f64 = 0.06;
/// Epochs before a class is believed.
const EPOCHS_MIN: u32 = 8;
/// A fixed cost that moved by this factor makes what was learnt worthless: the horizons are others.
const RESET_FACTOR: f64 = 2.0;
/// Decision points watched at the same time.
const OPEN_MAX: usize = 64;

/// Kinds of decision point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A row came into an empty queue while an executor was free.
    Arrival = 0,
    /// A batch ended and rows were queued.
    Backlog = 1,
    /// A batch ended.
    Completion = 2,
}

/// What is known of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Expectation {
    epochs: u32,
    rows: [f64; HORIZONS],
}

/// A decision point whose horizons have not all passed.
#[derive(Clone, Debug)]
struct Epoch {
    start: Time,
    class: Class,
    /// The longest horizon, in seconds.
    span: f64,
    rows: [u32; HORIZONS],
}

/// The learnt expectations, and the arrival rate.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    classes: [Expectation; 3],
    open: VecDeque<Epoch>,
    /// The fixed cost for which the horizons are meant.
    scale: f64,
    rate: Rate,
}

impl Forecast {
    /// Watches from a decision point on; `a` is the fixed cost of a batch in seconds.
    pub(crate) fn open(&mut self, now: Time, class: Class, a: f64) {
        self.settle(now);
        if a <= 0.0 {
            return;
        }
        if self.scale <= 0.0 || a > self.scale * RESET_FACTOR || a < self.scale / RESET_FACTOR {
            self.classes = Default::default();
            self.open.clear();
            self.scale = a;
        }
        if self.open.len() < OPEN_MAX {
            self.open.push_back(Epoch {
                start: now,
                class,
                span: a,
                rows: [0; HORIZONS],
            });
        }
    }

    /// Rows arrived.
    pub(crate) fn arrived(&mut self, now: Time, rows: usize) {
        self.settle(now);
        for epoch in &mut self.open {
            let elapsed = now.seconds_since(epoch.start);
            for (j, count) in epoch.rows.iter_mut().enumerate() {
                if elapsed <= horizon(epoch.span, j) {
                    *count = count.saturating_add(rows as u32);
                }
            }
        }
        self.rate.count(now, rows as f64);
    }

    /// Learns from decision points whose horizons have passed.
    fn settle(&mut self, now: Time) {
        while self
            .open
            .front()
            .is_some_and(|epoch| now.seconds_since(epoch.start) > epoch.span)
        {
            let Some(epoch) = self.open.pop_front() else {
                return;
            };
            let class = &mut self.classes[epoch.class as usize];
            class.epochs = class.epochs.saturating_add(1);
            let rate = (1.0 / f64::from(class.epochs)).max(RATE_MIN);
            for (mean, count) in class.rows.iter_mut().zip(epoch.rows) {
                *mean += rate * (f64::from(count) - *mean);
            }
        }
    }

    /// Rows that arrive a second, lately.
    pub(crate) fn rate(&self) -> f64 {
        self.rate.per_second()
    }

    /// Expected rows within `seconds` of a decision point; `None` until enough of them were seen.
    pub(crate) fn within(&self, class: Class, seconds: f64) -> Option<f64> {
        let class = &self.classes[class as usize];
        if class.epochs < EPOCHS_MIN || seconds <= 0.0 {
            return (class.epochs >= EPOCHS_MIN).then_some(0.0);
        }
        let (mut shorter, mut fewer) = (0.0, 0.0);
        for (j, &rows) in class.rows.iter().enumerate() {
            let longer = horizon(self.scale, j);
            if seconds <= longer {
                return Some(fewer + (rows - fewer) * (seconds - shorter) / (longer - shorter));
            }
            (shorter, fewer) = (longer, rows);
        }
        Some(fewer)
    }

    /// Horizon `j` in seconds.
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
    fn learns_clusters_that_a_rate_hides() {
        let mut forecast = Forecast::default();
        // Every 100 ms one row and, 1 ms later, three more.
        for n in 0..40 {
            let start = n * 100_000;
            forecast.arrived(micros(start), 1);
            forecast.open(micros(start), Class::Arrival, A);
            forecast.arrived(micros(start + 1_000), 3);
            if n == 5 {
                assert_eq!(forecast.within(Class::Arrival, A), None, "too few seen");
            }
        }
        let within = |seconds| {
            forecast
                .within(Class::Arrival, seconds)
                .expect("enough seen")
        };
        assert!(within(0.0008) < 0.01, "{}", within(0.0008));
        assert!((within(0.0016) - 3.0).abs() < 0.01 && (within(A) - 3.0).abs() < 0.01);
        assert_eq!(within(1.0), within(A));
        assert!((forecast.rate() - 40.0).abs() < 4.0, "{}", forecast.rate());
        assert_eq!(forecast.within(Class::Backlog, A), None);
    }

    #[test]
    fn another_cost_starts_anew() {
        let mut forecast = Forecast::default();
        for n in 0..20 {
            forecast.open(micros(n * 100_000), Class::Completion, A);
        }
        assert_eq!(forecast.within(Class::Completion, A), Some(0.0));
        forecast.open(micros(5_000_000), Class::Completion, 1.5 * A);
        assert_eq!(forecast.within(Class::Completion, A), Some(0.0));
        forecast.open(micros(6_000_000), Class::Completion, 2.5 * A);
        assert_eq!(forecast.within(Class::Completion, A), None);
    }
}

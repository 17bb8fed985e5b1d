//! Progress of a worker.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Progress of a worker. It is read while the worker runs.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    rows: AtomicU64,
    errors: AtomicU64,
    degraded: AtomicU64,
    tokens: AtomicU64,
    failed_calls: AtomicU64,
    repeated_ids: AtomicU64,
    /// The number of the first such row, `u64::MAX` before there is one.
    repeated_row: AtomicU64,
    units: AtomicUsize,
    lost: AtomicUsize,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
    /// Rows and units that the worker has to do, those that are done already not counted.
    rows_asked: AtomicU64,
    units_asked: AtomicUsize,
}

/// The state of a [`Progress`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Seconds since the worker began.
    pub seconds: f64,
    /// Rows that have an answer or an error.
    pub rows: u64,
    /// Those of them that have an error.
    pub errors: u64,
    /// Those of them whose answer is degraded.
    pub degraded: u64,
    /// Tokens that were computed for them, where the server says so.
    pub tokens: u64,
    /// Calls that failed, those included that were tried again.
    pub failed_calls: u64,
    /// Rows whose id an earlier one has, not far from it.
    #[serde(default)]
    pub repeated_ids: u64,
    /// Number of the first of them, counted from 0.
    #[serde(default)]
    pub repeated_row: Option<u64>,
    /// Units that are written.
    pub units: usize,
    /// Units that another worker wrote first.
    pub lost_units: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// Limit of the calls in flight.
    pub in_flight_max: usize,
    /// Rows that the worker has to do, without those that were done when it began.
    pub rows_asked: u64,
    /// Units that it has to do.
    pub units_asked: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            rows: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            degraded: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            failed_calls: AtomicU64::new(0),
            repeated_ids: AtomicU64::new(0),
            repeated_row: AtomicU64::new(u64::MAX),
            units: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            in_flight_max: AtomicUsize::new(0),
            rows_asked: AtomicU64::new(0),
            units_asked: AtomicUsize::new(0),
        }
    }
}

impl Progress {
    pub(crate) fn asked(&self, units: usize, rows: u64) {
        self.units_asked.store(units, Relaxed);
        self.rows_asked.store(rows, Relaxed);
    }

    pub(crate) fn answered(&self, is_degraded: bool, tokens: u64) {
        self.rows.fetch_add(1, Relaxed);
        self.degraded.fetch_add(is_degraded.into(), Relaxed);
        self.tokens.fetch_add(tokens, Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.rows.fetch_add(1, Relaxed);
        self.errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn call_failed(&self) {
        self.failed_calls.fetch_add(1, Relaxed);
    }

    pub(crate) fn repeated(&self, row: u64) {
        self.repeated_ids.fetch_add(1, Relaxed);
        self.repeated_row.fetch_min(row, Relaxed);
    }

    pub(crate) fn written(&self, is_own: bool) {
        let count = if is_own { &self.units } else { &self.lost };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn in_flight(&self) -> &AtomicUsize {
        &self.in_flight
    }

    pub(crate) fn allowed(&self, calls: usize) {
        self.in_flight_max.store(calls, Relaxed);
    }

    /// Returns the state of this moment.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            seconds: self.begun.elapsed().as_secs_f64(),
            rows: self.rows.load(Relaxed),
            errors: self.errors.load(Relaxed),
            degraded: self.degraded.load(Relaxed),
            tokens: self.tokens.load(Relaxed),
            failed_calls: self.failed_calls.load(Relaxed),
            repeated_ids: self.repeated_ids.load(Relaxed),
            repeated_row: Some(self.repeated_row.load(Relaxed)).filter(|row| *row != u64::MAX),
            units: self.units.load(Relaxed),
            lost_units: self.lost.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            in_flight_max: self.in_flight_max.load(Relaxed),
            rows_asked: self.rows_asked.load(Relaxed),
            units_asked: self.units_asked.load(Relaxed),
        }
    }
}

impl Snapshot {
    /// Returns rows a second since the worker began.
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.seconds.max(1e-6)
    }

    /// Returns the time that the rows that are left will take at this rate; `None` before the
    /// first.
    pub fn left(&self) -> Option<Duration> {
        let rows = self.rows_asked.saturating_sub(self.rows) as f64;
        let seconds = rows / self.rate();
        (self.rows > 0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

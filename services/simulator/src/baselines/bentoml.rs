//! BentoML's dispatcher ("CORK", `_internal/marshal/dispatcher.py` as of April 2026).
//!
//! It learns a line of duration against rows by least squares over the last batches, compares a
//! wait with the usual wait of a batch's oldest row, and cancels the oldest requests where a batch
//! of the whole queue would miss the latency objective. Its controller looks every millisecond,
//! also while a batch runs. Its training on the first dozen batches, which only delays the start,
//! is left out.

use std::collections::VecDeque;
use std::time::Duration;

use motet_batcher::Time;

use super::Fifo;
use crate::policy::{Action, Refused, ServerPolicy, SimulatedBatch};
use crate::traffic::Request;

/// Batches that the line is fitted to.
const SAMPLES: usize = 50;
/// First batches that are not learnt from.
const SAMPLES_SKIPPED: usize = 2;
/// Time between two fits.
const REFRESH: Duration = Duration::from_secs(5);
/// Time between two looks of the controller.
const TICK: Duration = Duration::from_millis(1);
/// Factor of the usual wait that a further wait must stay below.
const DECAY: f64 = 0.95;
/// Latency objective where the options give none.
const MAX_LATENCY: Duration = Duration::from_secs(60);

pub(crate) struct BentoMl {
    fifo: Fifo,
    max_latency: f64,
    /// Batches seen: rows, seconds, and seconds that the oldest row had waited.
    samples: VecDeque<(f64, f64, f64)>,
    skipped: usize,
    refreshed: Time,
    /// Seconds per row, fixed seconds of a batch, and usual seconds that the oldest row waits.
    a: f64,
    b: f64,
    wait: f64,
    asleep_until: Time,
    started_waits: VecDeque<(u64, f64)>,
    dropped: Vec<usize>,
}

impl BentoMl {
    pub(crate) fn new(fifo: Fifo) -> Self {
        let max_latency = fifo.max_latency.unwrap_or(MAX_LATENCY).as_secs_f64();
        BentoMl {
            fifo,
            max_latency,
            samples: VecDeque::new(),
            skipped: 0,
            refreshed: Time::ZERO,
            a: (2.0 * max_latency / 30.0).min(2.0),
            b: (max_latency / 30.0).min(1.0),
            wait: 0.0,
            asleep_until: Time::ZERO,
            started_waits: VecDeque::new(),
            dropped: Vec::new(),
        }
    }

    fn refresh(&mut self) {
        let n = self.samples.len() as f64;
        let (mut x, mut y, mut xx, mut xy, mut wait) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (rows, seconds, waited) in &self.samples {
            x += rows;
            y += seconds;
            xx += rows * rows;
            xy += rows * seconds;
            wait += waited;
        }
        let determinant = n * xx - x * x;
        // Least squares of smallest norm where all batches had one size.
        let (a, b) = if determinant > 1e-9 {
            let a = (n * xy - x * y) / determinant;
            (a, (y - a * x) / n)
        } else {
            let (rows, seconds) = (x / n, y / n);
            (
                seconds * rows / (rows * rows + 1.0),
                seconds / (rows * rows + 1.0),
            )
        };
        (self.a, self.b, self.wait) = (a.max(1e-6), b.max(0.0), (wait / n).max(0.0));
    }

    fn sleep(&mut self, now: Time) -> Action {
        self.asleep_until = now.after(TICK);
        Action::WaitUntil(self.asleep_until)
    }
}

impl ServerPolicy for BentoMl {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused> {
        self.fifo.push(now, number, request);
        Ok(())
    }

    fn poll(&mut self, now: Time) -> Action {
        if now < self.asleep_until {
            return Action::WaitUntil(self.asleep_until);
        }
        while let Some((oldest, newest)) = self.fifo.waits(now) {
            let rows = self.fifo.queue.len();
            let (oldest, newest, n) = (oldest.as_secs_f64(), newest.as_secs_f64(), rows as f64);
            let busy = !self.fifo.has_free_executor();
            let cannot_make_it = rows > 1 && oldest + self.a * n + self.b >= self.max_latency;
            if cannot_make_it || (busy && rows == 1 && oldest >= self.max_latency) {
                self.dropped
                    .extend(self.fifo.queue.pop_front().map(|waiting| waiting.number));
                continue;
            }
            let keeps_waiting = rows < self.fifo.max_batch_size
                && n * (newest + TICK.as_secs_f64() + self.a) <= DECAY * self.wait;
            if busy || keeps_waiting {
                return self.sleep(now);
            }
            let next = self.fifo.start(self.fifo.max_batch_size);
            if let Action::Run(batch) = &next {
                self.started_waits.push_back((batch.batch, oldest));
            }
            return next;
        }
        Action::Idle
    }

    fn complete(&mut self, now: Time, batch: &SimulatedBatch, duration: Duration) {
        self.fifo.completed();
        let index = self
            .started_waits
            .iter()
            .position(|(number, _)| *number == batch.batch);
        let waited = index
            .and_then(|index| self.started_waits.remove(index))
            .map_or(0.0, |(_, waited)| waited);
        if self.skipped < SAMPLES_SKIPPED {
            self.skipped += 1;
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples
            .push_back((batch.requests.len() as f64, duration.as_secs_f64(), waited));
        if now.since(self.refreshed) >= REFRESH || self.refreshed == Time::ZERO {
            self.refreshed = now;
            self.refresh();
        }
    }

    fn take_dropped(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.dropped)
    }

    fn queued(&self) -> usize {
        self.fifo.queue.len()
    }
}

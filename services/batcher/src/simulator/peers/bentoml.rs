//! BentoML's dispatcher ("CORK", `_internal/marshal/dispatcher.py` as of April 2026): a duration line learnt by least squares over the last batches, a wait compared with
//! the usual wait of a batch's oldest row, and heads that cannot make the latency objective are cancelled, where the whole queue counts as their batch. Its controller
//! looks every millisecond, also while a batch runs. Its training on the first dozen of batches, which only delays the start, is left out.

use std::collections::VecDeque;
use std::time::Duration;

use super::Common;
use crate::Time;
use crate::simulator::{Contender, Next, Request, Started};

const SAMPLES: usize = 50;
const SAMPLES_SKIPPED: usize = 2;
const REFRESH: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(1);
const DECAY: f64 = 0.95;
const MAX_LATENCY: Duration = Duration::from_secs(60);

pub(crate) struct BentoMl {
    common: Common,
    max_latency: f64,
    /// Batches seen: rows, seconds, and how long the oldest row had waited.
    samples: VecDeque<(f64, f64, f64)>,
    skipped: usize,
    refreshed: Time,
    /// Seconds per row, seconds per batch, usual wait.
    a: f64,
    b: f64,
    wait: f64,
    asleep_until: Time,
    started_waits: VecDeque<(u64, f64)>,
    dropped: Vec<usize>,
}

impl BentoMl {
    pub(crate) fn new(common: Common) -> Self {
        let max_latency = common.max_latency.unwrap_or(MAX_LATENCY).as_secs_f64();
        BentoMl {
            common,
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

    fn sleep(&mut self, now: Time) -> Next {
        self.asleep_until = now.after(TICK);
        Next::WaitUntil(self.asleep_until)
    }
}

impl Contender for BentoMl {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool {
        self.common.push(now, number, request);
        true
    }

    fn poll(&mut self, now: Time) -> Next {
        if now < self.asleep_until {
            return Next::WaitUntil(self.asleep_until);
        }
        while let Some((oldest, newest)) = self.common.waits(now) {
            let rows = self.common.queue.len();
            let (oldest, newest, n) = (oldest.as_secs_f64(), newest.as_secs_f64(), rows as f64);
            let busy = !self.common.has_free_executor();
            let cannot_make_it = rows > 1 && oldest + self.a * n + self.b >= self.max_latency;
            if cannot_make_it || (busy && rows == 1 && oldest >= self.max_latency) {
                self.dropped
                    .extend(self.common.queue.pop_front().map(|waiting| waiting.number));
                continue;
            }
            let keeps_waiting = rows < self.common.max_batch_size
                && n * (newest + TICK.as_secs_f64() + self.a) <= DECAY * self.wait;
            if busy || keeps_waiting {
                return self.sleep(now);
            }
            let next = self.common.start(self.common.max_batch_size);
            if let Next::Run(started) = &next {
                self.started_waits.push_back((started.batch, oldest));
            }
            return next;
        }
        Next::Idle
    }

    fn complete(&mut self, now: Time, started: &Started, duration: Duration) {
        self.common.completed();
        let place = self
            .started_waits
            .iter()
            .position(|(batch, _)| *batch == started.batch);
        let waited = place
            .and_then(|place| self.started_waits.remove(place))
            .map_or(0.0, |(_, waited)| waited);
        if self.skipped < SAMPLES_SKIPPED {
            self.skipped += 1;
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((
            started.requests.len() as f64,
            duration.as_secs_f64(),
            waited,
        ));
        if now.since(self.refreshed) >= REFRESH || self.refreshed == Time::ZERO {
            self.refreshed = now;
            self.refresh();
        }
    }

    fn take_dropped(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.dropped)
    }

    fn queued(&self) -> usize {
        self.common.queue.len()
    }
}

//! The batcher without its clock, threads and channels: events in, decisions out.

use std::time::Duration;

use crate::bisection::Halves;
use crate::formation::{self, Caps, Draft};
use crate::memory::MemoryCap;
use crate::queue::Queue;
use crate::{
    Arrival, BatchId, CallId, CostModel, Measurement, Options, Policy, Row, RowId, Stats, Ticket,
    Time,
};

/// How long a row without a deadline waits before rows with one stop overtaking it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Seconds between the parts of a long call as long as nothing has been measured; rather too long, which only lets others between.
const PART_SECONDS_UNKNOWN: f64 = 0.1;

/// What a free executor shall do.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Run this now.
    Run(Batch),
    /// Wait for company, and ask again at this time or at the next event.
    WaitUntil(Time),
    /// Nothing to do until the next event.
    Idle,
}

/// Rows that run together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its identity, for [`Scheduler::complete`].
    pub id: BatchId,
    /// Its rows; never empty.
    pub rows: Vec<Row>,
    /// Tokens that it computes, padding included where the executor pads.
    pub tokens: u64,
    /// Why it started when it did.
    pub cause: Cause,
    /// How long an executor deliberately waited before it.
    pub waited: Duration,
}

/// Why a batch started when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An executor was free and waiting would not have paid.
    Ready,
    /// It was full.
    Size,
    /// The window chosen for it was over.
    Window,
    /// Waiting longer would have made a row late.
    Deadline,
    /// The batcher was shutting down.
    Drain,
    /// It is a part of a batch that failed.
    Retry,
}

impl Cause {
    /// Its name in metrics and replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Ready => "ready",
            Cause::Size => "size",
            Cause::Window => "window",
            Cause::Deadline => "deadline",
            Cause::Drain => "drain",
            Cause::Retry => "retry",
        }
    }
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every row has its answer or its own error.
    Done,
    /// The run failed as a whole.
    Failed,
    /// The device ran out of memory.
    OutOfMemory,
    /// The executor panicked or died.
    Crashed,
}

/// What becomes of the rows of a batch that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are answered with what the executor returned.
    Answer,
    /// They run again, in two halves.
    Retry,
    /// They are answered with the batch's error.
    Fail,
}

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The queue has `limit` rows at most.
    QueueFull {
        /// The limit, in rows.
        limit: usize,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// It could not be answered before its deadline.
    WouldBeLate {
        /// When it would be answered, from now.
        predicted: Duration,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// A row is longer than the model allows.
    TooLarge {
        /// Tokens of the row.
        tokens: u32,
        /// The limit.
        limit: u32,
    },
    /// Its deadline has passed already.
    DeadlineExceeded,
    /// The batcher is shutting down.
    Draining,
    /// No executor is left.
    ExecutorDied,
}

/// A batch that an executor is busy with.
#[derive(Debug)]
struct Running {
    id: BatchId,
    started: Time,
    tokens: u64,
    /// Rows at the start, some of which may have been cancelled since.
    size: usize,
    rows: Vec<Row>,
}

/// Plain state and numbers; the same events give the same decisions.
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
    executors: usize,
    queue: Queue,
    halves: Halves,
    running: Vec<Running>,
    dropped: Vec<Row>,
    cost: CostModel,
    memory: MemoryCap,
    draining: bool,
    stats: Stats,
    next_row: u64,
    next_call: u64,
    next_batch: u64,
}

impl Scheduler {
    /// A scheduler for `executors` executors. The options are taken to be valid ([`Options::validate`]).
    pub fn new(options: Options, executors: usize) -> Self {
        Scheduler {
            options,
            executors,
            queue: Queue::default(),
            halves: Halves::default(),
            running: Vec::new(),
            dropped: Vec::new(),
            cost: CostModel::default(),
            memory: MemoryCap::default(),
            draining: false,
            stats: Stats::default(),
            next_row: 0,
            next_call: 0,
            next_batch: 0,
        }
    }

    /// Teaches the cost model runs made before serving.
    pub fn calibrate(&mut self, measurements: &[Measurement]) {
        self.cost.calibrate(measurements);
    }

    /// Takes a call into the queue, whole.
    ///
    /// # Errors
    /// The reason why it was refused; nothing of it is queued then.
    pub fn admit(&mut self, now: Time, arrival: Arrival<'_>) -> Result<Ticket, Refusal> {
        let rows = arrival.tokens.len();
        if let Err(refusal) = self.check(now, &arrival) {
            let refused = &mut self.stats.rows_refused;
            *match refusal {
                Refusal::QueueFull { .. } => &mut refused.queue_full,
                Refusal::WouldBeLate { .. } | Refusal::DeadlineExceeded => {
                    &mut refused.would_be_late
                }
                Refusal::TooLarge { .. } => &mut refused.too_large,
                Refusal::Draining | Refusal::ExecutorDied => &mut refused.unavailable,
            } += rows as u64;
            return Err(refusal);
        }
        let deadline = arrival
            .deadline
            .or_else(|| self.options.max_latency.map(|latency| now.after(latency)));
        let ticket = Ticket {
            call: CallId(self.next_call),
            first: RowId(self.next_row),
            rows,
            deadline,
        };
        self.next_call += 1;
        self.next_row += rows as u64;
        self.stats.calls_admitted += 1;
        self.stats.rows_admitted += rows as u64;
        self.enqueue(now, &ticket, &arrival);
        Ok(ticket)
    }

    fn check(&self, now: Time, arrival: &Arrival<'_>) -> Result<(), Refusal> {
        if self.executors == 0 {
            return Err(Refusal::ExecutorDied);
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        if arrival.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refusal::DeadlineExceeded);
        }
        if let Some(limit) = self.options.max_row_tokens
            && let Some(&tokens) = arrival.tokens.iter().find(|&&tokens| tokens > limit)
        {
            return Err(Refusal::TooLarge { tokens, limit });
        }
        let limit = self.options.max_queue_size;
        if !self.queue.is_empty() && self.queue.len() + arrival.tokens.len() > limit {
            let ahead = self
                .cost
                .predict(self.caps().tokens.min(self.queue.tokens()));
            return Err(Refusal::QueueFull {
                limit,
                retry_after: Duration::from_secs_f64(ahead),
            });
        }
        Ok(())
    }

    /// Queues the rows of a call. A call larger than a batch falls due in parts, each one batch time after the one before, as if it came no
    /// faster than it can be served: whoever comes meanwhile goes between.
    fn enqueue(&mut self, now: Time, ticket: &Ticket, arrival: &Arrival<'_>) {
        let mut due = ticket.deadline.unwrap_or(now.after(PATIENCE));
        let caps = self.caps();
        let mut part = Draft::default();
        for (index, &tokens) in arrival.tokens.iter().enumerate() {
            let mut row = Row {
                id: RowId(ticket.first.0 + index as u64),
                call: ticket.call,
                index,
                tokens,
                arrived: now,
                deadline: ticket.deadline,
                due,
                priority: arrival.priority,
            };
            if !part.has_room(&row, &caps) {
                let seconds = if self.cost.is_known() {
                    self.cost.predict(part.tokens(caps.layout))
                } else {
                    PART_SECONDS_UNKNOWN
                };
                due = due.plus_seconds(seconds / self.executors.max(1) as f64);
                row.due = due;
                part = Draft::default();
            }
            part.push(row);
            self.queue.insert(row);
        }
    }

    /// What a free executor shall do now.
    pub fn poll(&mut self, now: Time) -> Decision {
        if self.running.len() >= self.executors {
            return Decision::Idle;
        }
        let (half, expired) = self.halves.next(now);
        self.drop_rows(expired);
        if let Some(rows) = half {
            let mut draft = Draft::default();
            rows.into_iter().for_each(|row| draft.push(row));
            return Decision::Run(self.start(now, draft, Cause::Retry));
        }
        let expired = self.queue.take_expired(now);
        self.drop_rows(expired);
        let draft = formation::form(&self.queue, &self.caps(), now);
        if draft.rows.is_empty() {
            return Decision::Idle;
        }
        let full =
            draft.rows.len() < self.queue.len() || draft.rows.len() >= self.options.max_batch_size;
        let cause = match (full, self.draining) {
            (true, _) => Cause::Size,
            (false, true) => Cause::Drain,
            (false, false) => match self.wait(now, &draft) {
                Some(until) => return Decision::WaitUntil(until),
                None => Cause::Ready,
            },
        };
        for row in &draft.rows {
            self.queue.remove(row.id);
        }
        Decision::Run(self.start(now, draft, cause))
    }

    fn wait(&self, now: Time, draft: &Draft) -> Option<Time> {
        let Policy::Fixed(window) = self.options.policy else {
            return None;
        };
        let oldest = draft.rows.iter().map(|row| row.arrived).min()?;
        let until = oldest.after(window);
        (until > now).then_some(until)
    }

    fn start(&mut self, now: Time, draft: Draft, cause: Cause) -> Batch {
        let tokens = draft.tokens(self.options.layout);
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.stats.batches_started += 1;
        self.running.push(Running {
            id,
            started: now,
            tokens,
            size: draft.rows.len(),
            rows: draft.rows.clone(),
        });
        Batch {
            id,
            rows: draft.rows,
            tokens,
            cause,
            waited: Duration::ZERO,
        }
    }

    /// A batch ended; says what becomes of its rows. Unknown batches are ignored.
    pub fn complete(&mut self, now: Time, id: BatchId, outcome: Outcome) -> Verdict {
        let Some(place) = self.running.iter().position(|running| running.id == id) else {
            return Verdict::Fail;
        };
        let Running {
            started,
            tokens,
            size,
            rows,
            ..
        } = self.running.swap_remove(place);
        let duration = now.since(started);
        self.stats.compute_time += duration;
        let verdict = match outcome {
            Outcome::Done => Verdict::Answer,
            // What is left of a batch of several rows runs again even if only one row is left of it: others may have been to blame.
            Outcome::Failed | Outcome::OutOfMemory if size > 1 => Verdict::Retry,
            Outcome::Failed | Outcome::OutOfMemory | Outcome::Crashed => Verdict::Fail,
        };
        if outcome == Outcome::OutOfMemory {
            self.memory.shrink(tokens);
            self.stats.memory_splits += u64::from(verdict == Verdict::Retry);
        }
        match verdict {
            Verdict::Answer => {
                self.cost.observe(tokens, duration);
                self.memory.grow(tokens, self.options.max_batch_tokens);
                self.stats.rows_answered += rows.len() as u64;
                self.stats.tokens_answered +=
                    rows.iter().map(|row| u64::from(row.tokens)).sum::<u64>();
                self.stats.queue_time += rows
                    .iter()
                    .map(|row| started.since(row.arrived))
                    .sum::<Duration>();
                let totals = self.stats.batches_by_rows.entry(size).or_default();
                totals.batches += 1;
                totals.compute_time += duration;
            }
            Verdict::Retry => {
                self.stats.bisections += u64::from(outcome == Outcome::Failed);
                self.halves.split(rows);
            }
            Verdict::Fail => self.stats.rows_failed += rows.len() as u64,
        }
        verdict
    }

    /// The caller of a call went away: its waiting rows leave, and what is running of it is not run again. Returns how many rows left.
    pub fn cancel(&mut self, ticket: &Ticket) -> usize {
        let left = self.remove(ticket);
        self.stats.rows_cancelled += left as u64;
        left
    }

    /// The deadline of a call came, or cannot be met: as [`Scheduler::cancel`], counted as expired.
    pub fn expire(&mut self, ticket: &Ticket) -> usize {
        let left = self.remove(ticket);
        self.stats.rows_expired += left as u64;
        left
    }

    fn remove(&mut self, ticket: &Ticket) -> usize {
        let ids = ticket.first.0..ticket.first.0 + ticket.rows as u64;
        let queued = ids
            .filter(|&id| self.queue.remove(RowId(id)).is_some())
            .count();
        let mut left = queued + self.halves.cancel(ticket.call);
        for running in &mut self.running {
            let before = running.rows.len();
            running.rows.retain(|row| row.call != ticket.call);
            left += before - running.rows.len();
        }
        left
    }

    /// Rows that wait.
    pub fn queued(&self) -> usize {
        self.queue.len() + self.halves.len()
    }

    /// Executors that are alive.
    pub fn executors(&self) -> usize {
        self.executors
    }

    /// Forgets every waiting row; they count as failed.
    pub fn clear(&mut self) {
        self.stats.rows_failed += self.queued() as u64;
        self.queue = Queue::default();
        self.halves = Halves::default();
    }

    /// One executor is gone for good.
    pub fn retire_executor(&mut self) {
        self.executors = self.executors.saturating_sub(1);
    }

    /// From now on nothing is admitted and nothing waits for company.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether [`Scheduler::drain`] was called and every row has left.
    pub fn is_drained(&self) -> bool {
        self.draining && self.queue.is_empty() && self.halves.len() == 0 && self.running.is_empty()
    }

    /// Rows that left unanswered since the last call of this, because their deadline came or could not be met.
    pub fn take_dropped(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.dropped)
    }

    fn drop_rows(&mut self, rows: Vec<Row>) {
        self.stats.rows_expired += rows.len() as u64;
        self.dropped.extend(rows);
    }

    fn caps(&self) -> Caps {
        Caps {
            rows: self.options.max_batch_size,
            tokens: self.memory.tokens(self.options.max_batch_tokens),
            layout: self.options.layout,
        }
    }

    /// Totals and current state.
    pub fn stats(&self) -> Stats {
        let configured = self.options.max_batch_tokens;
        let cap = self.memory.tokens(configured);
        Stats {
            rows_queued: self.queued(),
            tokens_queued: self.queue.tokens() + self.halves.tokens(),
            rows_running: self.running.iter().map(|running| running.rows.len()).sum(),
            batches_running: self.running.len(),
            executors: self.executors,
            draining: self.draining,
            cost_a_seconds: self.cost.a(),
            cost_b_seconds: self.cost.b(),
            cost_error: self.cost.error(),
            memory_cap_tokens: (cap < configured).then_some(cap),
            ..self.stats.clone()
        }
    }
}

//! The batcher without its clock, threads and channels: events in, decisions out.

use std::time::Duration;

use crate::admission::{self, Work};
use crate::bisection::Halves;
use crate::bulk::{self, BulkCredit};
use crate::forecast::{Class, Forecast};
use crate::formation::{self, Caps, Draft};
use crate::memory::MemoryCap;
use crate::queue::Queue;
use crate::window::{self, Scene};
use crate::{
    Arrival, Batch, BatchId, CallId, Cause, CostModel, Decision, Measurement, Options, Outcome,
    Policy, Priority, Refusal, Row, RowId, Stats, Ticket, Time, Verdict, Window,
};

/// How long a row without a deadline waits before rows with one stop overtaking it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Seconds between the parts of a long call as long as nothing has been measured; rather too long, which only lets others between.
const PART_SECONDS_UNKNOWN: f64 = 0.1;
/// A batch is formed this many times at most while members that would be late are dropped from it.
const FORM_TIMES_MAX: usize = 8;
/// Share of its time that a call must have to spare where others wait already. A queue filled to the last moment is run in small batches, each cut to meet
/// a deadline that is about to pass: slack keeps batches large, and what is admitted is answered.
const ADMISSION_SLACK: f64 = 0.25;
/// How fast the usual batch and row are learnt.
const USUAL_RATE: f64 = 0.06;

/// A batch that an executor is busy with.
#[derive(Debug)]
struct Running {
    id: BatchId,
    started: Time,
    /// Expected end.
    end: Time,
    tokens: u64,
    /// Rows at the start, some of which may have been cancelled since.
    size: usize,
    rows: Vec<Row>,
}

/// A deliberate wait that goes on.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Time,
    window: Window,
    /// Rows that were there when it began.
    rows: usize,
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
    forecast: Forecast,
    memory: MemoryCap,
    bulk_credit: BulkCredit,
    /// The decision point from which a wait is counted.
    point: Option<(Time, Class)>,
    waiting: Option<Waiting>,
    /// Tokens of a row and rows of a batch, lately.
    usual_row_tokens: f64,
    usual_batch_rows: f64,
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
            forecast: Forecast::default(),
            memory: MemoryCap::default(),
            bulk_credit: BulkCredit::default(),
            point: None,
            waiting: None,
            usual_row_tokens: 0.0,
            usual_batch_rows: 0.0,
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
        let deadline = arrival
            .deadline
            .or_else(|| self.options.max_latency.map(|latency| now.after(latency)));
        if let Err(refusal) = self.check(now, &arrival, deadline) {
            self.stats.rows_refused.count(&refusal, rows);
            return Err(refusal);
        }
        if arrival.priority == Priority::Interactive {
            self.forecast.arrived(now, rows);
            if self.queue.lane(Priority::Interactive).is_empty() && self.free() > 0 {
                self.open_point(now, Class::Arrival);
            }
        }
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

    fn check(
        &self,
        now: Time,
        arrival: &Arrival<'_>,
        deadline: Option<Time>,
    ) -> Result<(), Refusal> {
        if self.executors == 0 {
            return Err(Refusal::ExecutorDied);
        }
        if self.draining {
            return Err(Refusal::Draining);
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Refusal::DeadlineExceeded);
        }
        if let Some(limit) = self.options.max_row_tokens
            && let Some(&tokens) = arrival.tokens.iter().find(|&&tokens| tokens > limit)
        {
            return Err(Refusal::TooLarge { tokens, limit });
        }
        let waiting = self.queued();
        if waiting == 0 && self.running.is_empty() {
            // Also where it looks hopeless: a wrong estimate must not refuse for ever, and only a run can correct it.
            return Ok(());
        }
        let limit = self.options.max_queue_size;
        if waiting > 0 && waiting + arrival.tokens.len() > limit {
            let batch = self.caps().tokens.min(self.queue.tokens());
            return Err(Refusal::QueueFull {
                limit,
                retry_after: Duration::from_secs_f64(self.cost.predict(batch)),
            });
        }
        let Some(deadline) = deadline else {
            return Ok(());
        };
        let mut seconds = self.predict_answer(now, arrival, deadline);
        if waiting > 0 {
            seconds += ADMISSION_SLACK * deadline.seconds_since(now);
        }
        if now.plus_seconds(seconds) <= deadline {
            return Ok(());
        }
        let predicted = Time::from_seconds(seconds).since(Time::ZERO);
        Err(Refusal::WouldBeLate {
            predicted,
            retry_after: now.plus_seconds(seconds).since(deadline),
        })
    }

    /// Seconds until a call would be answered.
    fn predict_answer(&self, now: Time, arrival: &Arrival<'_>, deadline: Time) -> f64 {
        let mut ahead = Work {
            rows: self.halves.len(),
            tokens: self.halves.tokens(),
        };
        let (interactive, bulk) = (
            self.queue.lane(Priority::Interactive),
            self.queue.lane(Priority::Bulk),
        );
        match arrival.priority {
            Priority::Interactive => ahead += interactive.work_until(deadline),
            Priority::Bulk => {
                ahead += interactive.work_until(Time::NEVER);
                ahead += bulk.work_until(deadline);
            }
        }
        let mut own = Work::default();
        arrival.tokens.iter().for_each(|&tokens| own.add(tokens));
        admission::predict(
            &self.cost,
            &self.caps(),
            self.executors,
            self.next_free(now),
            ahead,
            own,
        )
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
            learn(&mut self.usual_row_tokens, f64::from(tokens));
            self.queue.insert(row);
        }
    }

    /// What a free executor shall do now.
    pub fn poll(&mut self, now: Time) -> Decision {
        if self.free() == 0 {
            return Decision::Idle;
        }
        let (half, expired) = self.halves.next(now);
        self.drop_rows(expired);
        if let Some(rows) = half {
            return Decision::Run(self.start(now, rows.into_iter().collect(), Cause::Retry));
        }
        let expired = self.queue.take_expired(now);
        self.drop_rows(expired);
        if let Some(draft) = self.form_bulk(now) {
            return Decision::Run(self.run(now, draft, Cause::Ready));
        }
        let mut draft = self.form(now, Priority::Interactive);
        if draft.rows.is_empty() {
            // Everything interactive was hopeless: bulk rows are alone after all.
            if let Some(draft) = self.form_bulk(now) {
                return Decision::Run(self.run(now, draft, Cause::Ready));
            }
            self.point = None;
            self.waiting = None;
            return Decision::Idle;
        }
        let caps = self.caps();
        let more = draft.rows.len() < self.queue.lane(Priority::Interactive).len();
        let cause = if more || draft.rows.len() >= caps.rows {
            Cause::Size
        } else if self.draining {
            Cause::Drain
        } else {
            match self.wait(now, &draft) {
                Ok(until) => return Decision::WaitUntil(until),
                Err(cause) => cause,
            }
        };
        bulk::ride(
            &mut draft,
            self.queue.lane(Priority::Bulk),
            &caps,
            &self.cost,
            now,
        );
        Decision::Run(self.run(now, draft, cause))
    }

    /// A batch of bulk rows alone, if nothing else waits or they have earned it.
    fn form_bulk(&mut self, now: Time) -> Option<Draft> {
        if self.queue.lane(Priority::Bulk).is_empty() {
            return None;
        }
        if !self.queue.lane(Priority::Interactive).is_empty() {
            let draft = bulk::form_alone(self.queue.lane(Priority::Bulk), &self.caps(), &self.cost);
            if !self
                .bulk_credit
                .covers(self.cost.predict(draft.tokens(self.options.layout)))
            {
                return None;
            }
        }
        Some(self.form(now, Priority::Bulk)).filter(|draft| !draft.rows.is_empty())
    }

    /// Forms the next batch of a lane so that nobody in it is late; rows that cannot be in time any more leave.
    fn form(&mut self, now: Time, priority: Priority) -> Draft {
        let caps = self.caps();
        for _ in 0..FORM_TIMES_MAX {
            let draft = self.draft(priority);
            let more = draft.rows.len() < self.queue.lane(priority).len();
            let freshest = draft.rows.iter().max_by_key(|row| row.due).copied();
            let fitted = formation::fit(draft, more, &caps, &self.cost, now);
            let all_hopeless = fitted.draft.rows.is_empty() && !more;
            let (kept, hopeless): (Vec<Row>, Vec<Row>) =
                fitted.hopeless.into_iter().partition(|row| {
                    all_hopeless && freshest.is_some_and(|freshest| freshest.id == row.id)
                });
            let settled = hopeless.is_empty() || !more;
            for row in &hopeless {
                self.queue.remove(row.id);
            }
            self.drop_rows(hopeless);
            if all_hopeless {
                // The executor would idle otherwise, and the estimate may be wrong: give the one with the best chance a try.
                return kept.into_iter().collect();
            }
            if settled {
                return fitted.draft;
            }
        }
        self.draft(priority)
    }

    fn draft(&self, priority: Priority) -> Draft {
        let (lane, caps) = (self.queue.lane(priority), self.caps());
        match priority {
            Priority::Interactive => {
                let rows = if self.queue.lane(Priority::Bulk).is_empty() {
                    caps.rows
                } else {
                    bulk::interactive_rows(&caps, self.options.bulk_share)
                };
                formation::form(lane, &Caps { rows, ..caps }, &self.cost)
            }
            Priority::Bulk => bulk::form_alone(lane, &caps, &self.cost),
        }
    }

    /// Until when to wait for company, or why not.
    fn wait(&mut self, now: Time, draft: &Draft) -> Result<Time, Cause> {
        let Some((point, class)) = self.point else {
            return Err(Cause::Ready);
        };
        let tokens = draft.tokens(self.options.layout);
        let run_time = self.cost.predict_safe(tokens);
        let latest = draft
            .rows
            .iter()
            .filter_map(|row| row.deadline)
            .min()
            .map_or(Time::NEVER, |deadline| deadline.plus_seconds(-run_time));
        let wanted = match self.options.policy {
            Policy::Greedy => None,
            Policy::Fixed(window) => {
                let oldest = draft
                    .rows
                    .iter()
                    .map(|row| row.arrived)
                    .min()
                    .unwrap_or(now);
                Some((oldest.after(window), 0.0))
            }
            Policy::Adaptive if self.free() > 1 => None,
            Policy::Adaptive => {
                let scene = Scene {
                    cost: &self.cost,
                    forecast: &self.forecast,
                    class,
                    elapsed: now.seconds_since(point),
                    rows: draft.rows.len(),
                    tokens,
                    row_tokens: self.usual_row_tokens,
                    batch_rows: self.usual_batch_rows,
                    next_free: (self.executors > 1).then(|| self.next_free_of_running(now)),
                };
                window::wait(&scene).map(|wait| (now.plus_seconds(wait.seconds), wait.company))
            }
        };
        let give_up = if self.waiting.is_some() {
            Cause::Window
        } else {
            Cause::Ready
        };
        let (until, expected_rows) = wanted.ok_or(give_up)?;
        // Another executor's completion is a new decision point, and no reason to wait anew.
        let since = self
            .waiting
            .map_or(point, |waiting| waiting.since.min(point));
        let until = until.min(since.after(self.options.max_queue_delay));
        if until.min(latest) <= now {
            return Err(if latest < until {
                Cause::Deadline
            } else {
                give_up
            });
        }
        let until = until.min(latest);
        self.waiting.get_or_insert(Waiting {
            since: now,
            window: Window {
                chosen: until.since(now),
                expected_rows,
                actual_rows: 0,
            },
            rows: draft.rows.len(),
        });
        Ok(until)
    }

    /// Takes a draft out of the queue and starts it.
    fn run(&mut self, now: Time, draft: Draft, cause: Cause) -> Batch {
        let contended = !self.queue.lane(Priority::Bulk).is_empty();
        for row in &draft.rows {
            self.queue.remove(row.id);
        }
        if contended {
            let seconds = self.cost.predict(draft.tokens(self.options.layout));
            let bulk = draft
                .rows
                .iter()
                .filter(|row| row.priority == Priority::Bulk);
            let bulk: u64 = bulk.map(|row| u64::from(row.tokens)).sum();
            let bulk_seconds = seconds * bulk as f64 / draft.sum.max(1) as f64;
            self.bulk_credit
                .account(&self.cost, self.options.bulk_share, seconds, bulk_seconds);
        }
        self.start(now, draft, cause)
    }

    fn start(&mut self, now: Time, draft: Draft, cause: Cause) -> Batch {
        let tokens = draft.tokens(self.options.layout);
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.stats.batches_started += 1;
        self.point = None;
        let waiting = self.waiting.take();
        let waited = waiting.map_or(Duration::ZERO, |waiting| now.since(waiting.since));
        let window = waiting.map(|waiting| Window {
            actual_rows: draft.rows.len().saturating_sub(waiting.rows),
            ..waiting.window
        });
        self.stats.deliberate_wait += waited;
        learn(&mut self.usual_batch_rows, draft.rows.len() as f64);
        let end = now.plus_seconds(self.cost.predict(tokens));
        self.running.push(Running {
            id,
            started: now,
            end,
            tokens,
            size: draft.rows.len(),
            rows: draft.rows.clone(),
        });
        Batch {
            id,
            rows: draft.rows,
            tokens,
            cause,
            waited,
            window,
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
                self.stats.answered(&rows, size, started, duration);
            }
            Verdict::Retry => {
                self.stats.bisections += u64::from(outcome == Outcome::Failed);
                self.halves.split(rows);
            }
            Verdict::Fail => self.stats.rows_failed += rows.len() as u64,
        }
        self.forecast.open(now, Class::Completion, self.cost.a());
        if !self.queue.lane(Priority::Interactive).is_empty() {
            self.open_point(now, Class::Backlog);
        }
        verdict
    }

    fn open_point(&mut self, now: Time, class: Class) {
        self.forecast.open(now, class, self.cost.a());
        self.point = Some((now, class));
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
        self.draining && self.queued() == 0 && self.running.is_empty()
    }

    /// Rows that left unanswered since the last call of this, because their deadline came or could not be met.
    pub fn take_dropped(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.dropped)
    }

    fn drop_rows(&mut self, rows: Vec<Row>) {
        self.stats.rows_expired += rows.len() as u64;
        self.dropped.extend(rows);
    }

    fn free(&self) -> usize {
        self.executors.saturating_sub(self.running.len())
    }

    /// Expected seconds until an executor is free.
    fn next_free(&self, now: Time) -> f64 {
        if self.free() > 0 {
            0.0
        } else {
            self.next_free_of_running(now)
        }
    }

    fn next_free_of_running(&self, now: Time) -> f64 {
        self.running
            .iter()
            .map(|running| running.end)
            .min()
            .map_or(0.0, |end| end.seconds_since(now).max(0.0))
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
            rows_per_second: self.forecast.rate(),
            memory_cap_tokens: (cap < configured).then_some(cap),
            ..self.stats.clone()
        }
    }
}

/// Moves a running mean towards a sample; the first one sets it.
fn learn(mean: &mut f64, sample: f64) {
    *mean = if *mean == 0.0 {
        sample
    } else {
        *mean + USUAL_RATE * (sample - *mean)
    };
}

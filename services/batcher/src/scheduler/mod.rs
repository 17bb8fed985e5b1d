//! The batcher without clock, threads and channels: events in, decisions out.
//!
//! * `admit`: calls are queued, or refused for a reason
//! * `decide`: what a free executor does: run a batch, wait, or nothing
//! * `bulk_executors`: executors for bulk rows alone, whose batches give way
//! * `dispatch`: batches start and end
//! * `refill`: rows of waiting calls enter the queue
//! * `remove`: rows leave without an answer
//! * `trials`: runs that correct an estimate which is too high
//! * `watchdog`: batches that run many times longer than they should
//! * `waits`: deliberate waits and the decision points that they are counted from

mod admit;
mod bulk_executors;
mod decide;
mod dispatch;
mod refill;
mod remove;
mod trials;
mod waits;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use crate::announcements::Announcements;
use crate::bulk::BulkCredit;
use crate::cost::Measurement;
use crate::decision::Dropped;
use crate::forecast::DecisionPoint;
use crate::learnt::Learnt;
use crate::options::{Caps, Options};
use crate::policy::{self, BatchingPolicy};
use crate::quantum::RecentCalls;
use crate::queue::Queue;
use crate::retry_queue::RetryQueue;
use crate::retry_slots::RetrySlots;
use crate::row::{BatchId, Priority, Row};
use crate::stats::Stats;
use crate::time::Time;
use trials::Trials;
use waits::Waits;
pub use watchdog::Stuck;

/// A batch on an executor.
#[derive(Debug)]
struct Running {
    id: BatchId,
    started: Time,
    /// Expected end.
    end: Time,
    /// Time from which it is stuck, and whether that has been found.
    stuck_at: Time,
    is_stuck: bool,
    tokens: u64,
    /// Rows at the start.
    size: usize,
    /// The rows that have not been cancelled since.
    rows: Vec<Row>,
    /// The kind of its executor.
    on: ExecutorKind,
    /// On a bulk executor, the time for which it had to give way.
    gave_way: Duration,
}

/// Kinds of executors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutorKind {
    /// Runs any rows.
    General,
    /// Runs bulk rows alone, and gives way to executors of the other kind.
    Bulk,
}

/// Stages of a scheduler's life, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// Nothing waits for further rows.
    Hurrying,
    /// Nothing waits for further rows, and nothing is admitted.
    Draining,
}

/// The identities that the next row, call and batch will have.
#[derive(Clone, Copy, Debug, Default)]
struct NextIds {
    row: u64,
    call: u64,
    batch: u64,
}

/// A batcher as plain state: the same events give the same decisions.
///
/// The caller owns the clock and the executors. It reports every event with the current [`Time`]
/// and polls whenever an executor is free.
///
/// ```
/// use std::time::Duration;
///
/// use motet_batcher::{
///     Arrival, Decision, Flow, Lookahead, Options, Outcome, Priority, Scheduler, Time, Verdict,
/// };
///
/// let mut scheduler = Scheduler::new(Options::default(), 1);
/// let now = Time::ZERO;
/// let arrival = Arrival {
///     tokens: &[12, 80, 31],
///     groups: &[],
///     deadline: Some(now.after(Duration::from_millis(200))),
///     priority: Priority::Interactive,
///     flow: Flow::default(),
///     lookahead: Lookahead::default(),
/// };
/// let ticket = scheduler.admit(now, arrival).expect("an empty system admits");
/// let Decision::Run(batch) = scheduler.poll(now) else {
///     panic!("an executor is free, and nothing is known that would make it wait");
/// };
/// assert_eq!((batch.rows.len(), batch.tokens), (ticket.rows, 123));
/// // The executor runs the batch.
/// let now = now.after(Duration::from_millis(5));
/// assert_eq!(scheduler.complete(now, batch.id, Outcome::Done), Verdict::Answer);
/// assert_eq!(scheduler.poll(now), Decision::Idle);
/// ```
#[derive(Debug)]
pub struct Scheduler {
    options: Options,
    policy: Box<dyn BatchingPolicy>,
    executors: usize,
    bulk_executors: usize,
    queue: Queue,
    retries: RetryQueue,
    running: Vec<Running>,
    dropped: Vec<Dropped>,
    learnt: Learnt,
    recent: RecentCalls,
    retry_slots: RetrySlots,
    announcements: Announcements,
    bulk_credit: BulkCredit,
    waits: Waits,
    trials: Trials,
    stage: Stage,
    /// The error of the last executor that died.
    death: Arc<str>,
    stats: Stats,
    next: NextIds,
}

impl Scheduler {
    /// Creates a scheduler for `executors` executors. The options must be valid
    /// ([`Options::validate`]).
    pub fn new(options: Options, executors: usize) -> Self {
        Scheduler {
            policy: policy::build(options.policy),
            options,
            executors,
            bulk_executors: 0,
            queue: Queue::default(),
            retries: RetryQueue::default(),
            running: Vec::new(),
            dropped: Vec::new(),
            learnt: Learnt::default(),
            recent: RecentCalls::default(),
            retry_slots: RetrySlots::default(),
            announcements: Announcements::default(),
            bulk_credit: BulkCredit::default(),
            waits: Waits::default(),
            trials: Trials::default(),
            stage: Stage::Serving,
            death: "no executor is left".into(),
            stats: Stats::default(),
            next: NextIds::default(),
        }
    }

    /// Sets the cost model from runs made before serving.
    pub fn calibrate(&mut self, measurements: &[Measurement]) {
        self.learnt.cost.calibrate(measurements);
    }

    /// Number of rows that wait.
    pub fn queued(&self) -> usize {
        self.queue.len() + self.retries.len()
    }

    /// Number of executors that are alive, without bulk executors.
    pub fn executors(&self) -> usize {
        self.executors
    }

    /// Takes note that one executor is gone for good, and of the error of rebuilding it.
    pub fn retire_executor(&mut self, error: &str) {
        self.executors = self.executors.saturating_sub(1);
        self.death = error.into();
    }

    /// Stops waiting for further rows.
    pub fn hurry(&mut self) {
        self.stage = self.stage.max(Stage::Hurrying);
    }

    /// Stops admitting calls and waiting for further rows.
    pub fn drain(&mut self) {
        self.trials.clear();
        self.stage = Stage::Draining;
    }

    /// `true` once [`Scheduler::drain`] was called and every row has left.
    pub fn is_drained(&self) -> bool {
        self.stage == Stage::Draining && self.queued() == 0 && self.running.is_empty()
    }

    /// Accounts for the time until now, before a batch starts or ends.
    fn record_utilization(&mut self, now: Time) {
        let share = self.running_on(ExecutorKind::General) as f64 / self.executors.max(1) as f64;
        self.learnt.utilization.record(now, share);
    }

    /// Opens a decision point from which a wait is counted.
    fn open_point(&mut self, now: Time, point: DecisionPoint) {
        let fixed = self.learnt.cost.fixed_seconds();
        self.learnt.forecast.watch(now, point, fixed);
        self.waits.open(now, point);
    }

    /// Number of executors that are alive and run no batch, without bulk executors.
    pub(crate) fn free_executors(&self) -> usize {
        self.executors
            .saturating_sub(self.running_on(ExecutorKind::General))
    }

    /// Number of batches on executors of a kind.
    fn running_on(&self, kind: ExecutorKind) -> usize {
        let running = self.running.iter().filter(|running| running.on == kind);
        running.count()
    }

    /// Expected seconds until a batch ends that gives way to none; zero if none runs.
    fn next_end(&self, now: Time) -> f64 {
        self.running
            .iter()
            .filter(|running| running.on == ExecutorKind::General)
            .map(|running| running.end)
            .min()
            .map_or(0.0, |end| end.seconds_since(now).max(0.0))
    }

    fn caps(&self) -> Caps {
        let tokens = self.options.max_batch_tokens;
        Caps {
            rows: self.options.batch_rows_max(),
            tokens: self.learnt.batch_tokens_max(tokens),
            layout: self.options.layout,
        }
    }

    /// `true` if no row of this priority waits in the queue.
    fn is_empty(&self, priority: Priority) -> bool {
        self.queue.lane(priority).is_empty()
    }

    /// Returns totals and the current state.
    pub fn stats(&self) -> Stats {
        let cost = &self.learnt.cost;
        let configured = self.options.max_batch_tokens;
        let cap = self.learnt.memory.tokens(configured);
        Stats {
            rows_queued: self.queued(),
            tokens_queued: self.queue.work().tokens + self.retries.work().tokens,
            rows_running: self.running.iter().map(|running| running.rows.len()).sum(),
            batches_running: self.running.len(),
            executors: self.executors,
            executors_stuck: self.stuck_executors(),
            draining: self.stage == Stage::Draining,
            cost_fixed_seconds: cost.fixed_seconds(),
            cost_token_seconds: cost.seconds_per_token(),
            cost_error: cost.error(),
            rows_per_second: self.learnt.forecast.rate(),
            memory_cap_tokens: (cap < configured).then_some(cap),
            ..self.stats.clone()
        }
    }
}

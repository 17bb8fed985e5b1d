//! The batcher without its clock, threads and channels: events in, decisions out.

mod entry;
mod leave;
mod pick;
mod run;

use crate::bisection::Halves;
use crate::bulk::BulkCredit;
use crate::forecast::{Class, Forecast};
use crate::formation::Caps;
use crate::load::{Rate, Utilisation};
use crate::lookahead::Announced;
use crate::memory::MemoryCap;
use crate::queue::Queue;
use crate::{BatchId, CostModel, Dropped, Measurement, Options, Row, Stats, Time, Window};

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
    dropped: Vec<Dropped>,
    cost: CostModel,
    forecast: Forecast,
    /// Interactive calls that come, those of one request as one, and how busy the executors are.
    calls_rate: Rate,
    announced: Announced,
    utilisation: Utilisation,
    memory: MemoryCap,
    bulk_credit: BulkCredit,
    /// The decision point from which a wait is counted.
    point: Option<(Time, Class)>,
    waiting: Option<Waiting>,
    /// Tokens of a row and rows of a batch, lately.
    usual_row_tokens: f64,
    usual_batch_rows: f64,
    /// Nothing waits for company any more; nothing is admitted any more.
    hurrying: bool,
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
            calls_rate: Rate::default(),
            announced: Announced::default(),
            utilisation: Utilisation::default(),
            memory: MemoryCap::default(),
            bulk_credit: BulkCredit::default(),
            point: None,
            waiting: None,
            usual_row_tokens: 0.0,
            usual_batch_rows: 0.0,
            hurrying: false,
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

    /// Rows that wait.
    pub fn queued(&self) -> usize {
        self.queue.len() + self.halves.len()
    }

    /// Executors that are alive.
    pub fn executors(&self) -> usize {
        self.executors
    }

    /// One executor is gone for good.
    pub fn retire_executor(&mut self) {
        self.executors = self.executors.saturating_sub(1);
    }

    /// From now on nothing waits for company.
    pub fn hurry(&mut self) {
        self.hurrying = true;
    }

    /// From now on nothing is admitted and nothing waits for company.
    pub fn drain(&mut self) {
        self.hurry();
        self.draining = true;
    }

    /// Whether [`Scheduler::drain`] was called and every row has left.
    pub fn is_drained(&self) -> bool {
        self.draining && self.queued() == 0 && self.running.is_empty()
    }

    /// Accounts for the time until now; before a batch starts or ends.
    fn account(&mut self, now: Time) {
        let share = self.running.len() as f64 / self.executors.max(1) as f64;
        self.utilisation.was(now, share);
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

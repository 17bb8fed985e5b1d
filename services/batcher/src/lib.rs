#![doc = include_str!("../README.md")]
//!
//! # For those who change the crate
//!
//! The modules, each of which uses only those above it (`tests/module_order.rs`):
//!
//! * `time`: points in time
//! * `flow`: for whom a call is made
//! * `row`: rows and their identities
//! * `arrival`: calls that ask to be admitted
//! * `announcements`: rows that callers have announced
//! * `options`: options, their defaults and their checks
//! * `cost`: the learnt time of a batch
//! * `refusal`: reasons for which a call gets no answer
//! * `decision`: answers of the scheduler
//! * `stats`: totals and current state
//! * `utilization`: recent rates and load
//! * `forecast`: the number of arrivals to expect
//! * `memory`: a limit on tokens, learnt from running out of memory
//! * `learnt`: all of what is learnt
//! * `fair_queue`: the order in which waiting calls get rows into the queue
//! * `due_work`: work by the time at which it falls due
//! * `queue`: rows that wait
//! * `retry_queue`: halves of failed batches
//! * `quantum`: the most work of a long call that runs while short calls may come
//! * `retry_slots`: times at which refused calls may come back
//! * `admission`: when a new call would be answered
//! * `formation`: the rows that run together
//! * `bulk`: the share of bulk rows
//! * `policy`: rules for a free executor
//! * `scheduler`: the core
//! * `driver`: threads, futures and the lock

mod admission;
mod announcements;
mod arrival;
mod bulk;
mod cost;
mod decision;
mod driver;
mod due_work;
mod fair_queue;
mod flow;
mod forecast;
mod formation;
mod learnt;
mod memory;
mod options;
mod policy;
mod quantum;
mod queue;
mod refusal;
mod retry_queue;
mod retry_slots;
mod row;
mod scheduler;
mod stats;
mod time;
mod utilization;

pub use arrival::{Arrival, ExpectedRows, Lookahead, Ticket};
pub use cost::{CostModel, Measurement};
pub use decision::{Batch, Cause, Decision, Dropped, Outcome, Verdict, Window};
pub use driver::{
    BatchError, BatchRan, Batcher, BuildError, Call, CallReply, CallTiming, Event, Executor,
    ExecutorFactory, FnExecutor, NoObserver, Observer, RowError, RunError, SpawnError, from_fn,
    measure,
};
pub use flow::{Flow, Level};
pub use options::{Layout, OptionProblem, Options, Policy};
pub use refusal::Refusal;
pub use row::{BatchId, CallId, Priority, Row, RowId};
pub use scheduler::{Scheduler, Stuck};
pub use stats::{BatchTotals, RefusedRows, Stats};
pub use time::Time;

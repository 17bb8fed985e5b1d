//! Groups rows from different callers into one forward pass, and decides at every moment an executor is free whether to run now or to wait a
//! little for company.
//!
//! [`Scheduler`] is the batcher without its clock, threads and channels: events in, decisions out, the same each time. [`Batcher`] runs it: a thread for
//! each executor and a future for each call.

mod admission;
mod bisection;
mod bulk;
mod cost;
mod decision;
mod driver;
mod forecast;
mod formation;
mod length;
mod load;
mod lookahead;
mod memory;
mod options;
mod policy;
mod queue;
mod row;
mod scheduler;
mod stats;
mod time;
mod window;

pub use cost::{CostModel, Measurement};
pub use decision::{Batch, Cause, Decision, Dropped, Outcome, Refusal, Verdict, Window};
pub use driver::{
    BatchError, BatchRan, Batcher, BuildError, Call, CallReply, Event, Executor, NoObserver,
    Observer, Refused, Ride, RowError, SpawnError,
};
pub use lookahead::{Lookahead, Sequel};
pub use options::{Layout, OptionProblem, Options};
pub use policy::Policy;
pub use row::{Arrival, BatchId, CallId, Priority, Row, RowId, Ticket};
pub use scheduler::Scheduler;
pub use stats::{BatchTotals, RefusedRows, Stats};
pub use time::Time;

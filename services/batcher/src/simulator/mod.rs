//! The batcher in virtual time: the same scheduler, a machine of known cost, any traffic, and the policies of other servers to compare with.
//!
//! Everything here is determined by its seed.

mod contender;
mod engine;
mod machine;
mod peers;
mod random;
mod report;
pub mod scenarios;
mod traffic;

pub use contender::{Contender, Motet, Next, Policies, Started};
pub use engine::{Fate, RanBatch, Run, Simulation};
pub use machine::Machine;
pub use random::Random;
pub use report::{Report, Summary};
pub use traffic::{ClosedLoop, Request, TraceError, Traffic, parse_trace};

//! The batcher in virtual time: the scheduler that serves, a machine of known cost, any traffic,
//! and the batching policies of other servers to compare with.
//!
//! The seed of a [`Scenario`] determines everything, so two runs give the same numbers.
//!
//! * [`scenarios`]: machines and traffic that the batcher is judged on
//! * `traffic`: requests of a trace or of closed-loop callers
//! * `machine`: the time of a batch
//! * `policy`: a batcher as the simulation sees it; ours, and the names of all
//! * `baselines`: the policies of other servers
//! * `simulation`: the loop over events in virtual time
//! * `report`: latency and throughput of a run
//! * `random`: seeded random numbers
//!
//! ```
//! use motet_batcher::{Options, Policy};
//! use motet_batcher_simulator::{ClosedLoop, Machine, PolicyKind, Scenario, Traffic};
//!
//! // Eight callers, each with its next request 0.3 ms after an answer, on a machine that takes
//! // 3 ms for a batch and 0.2 µs for each token of it.
//! let throughput = |policy| {
//!     let scenario = Scenario {
//!         traffic: Traffic::Closed(ClosedLoop {
//!             callers: 8,
//!             think: 0.3e-3,
//!             requests: 2000,
//!             tokens: 64.0,
//!             deadline: None,
//!         }),
//!         machine: Machine::new(3.0, 0.2, 0.05),
//!         executors: 1,
//!         options: Options::default(),
//!         policy,
//!         seed: 1,
//!     };
//!     scenario.run().report(None).all.throughput_per_s
//! };
//! let adaptive = throughput(PolicyKind::Motet(Policy::Adaptive));
//! let greedy = throughput(PolicyKind::Motet(Policy::Greedy));
//! assert!(adaptive > 1.2 * greedy, "{adaptive} against {greedy} rows/s");
//! ```

mod baselines;
mod machine;
mod policy;
mod random;
mod report;
pub mod scenarios;
mod simulation;
mod traffic;

pub use machine::Machine;
pub use policy::{Action, Motet, PolicyKind, Refused, ServerPolicy, SimulatedBatch};
pub use random::Random;
pub use report::{Report, Summary};
pub use simulation::{RecordedBatch, Recording, RequestOutcome, Scenario};
pub use traffic::{Callers, ClosedLoop, Request, TraceError, Traffic, parse_trace};

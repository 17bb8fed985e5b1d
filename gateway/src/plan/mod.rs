//! A checked pipeline bound to what it calls, with what is learnt of its nodes over requests.
//!
//! * [`bind`]: makes a [`Plan`] of a checked pipeline.
//! * [`graph`]: bound nodes and bodies; [`step`]: what a bound node runs.
//! * [`topology`]: which nodes wait for which.
//! * [`liveness`]: which nodes some results need.
//! * [`node_latencies`]: how long nodes take.
//! * `availability`: whether a pipeline can answer while models are away.
//! * [`forecast`]: how long the rest of a graph is expected to take.
//! * [`follow_ups`]: calls of one request that reach the same model one after the other.

mod availability;
pub mod follow_ups;
pub mod forecast;
pub mod liveness;
pub mod node_latencies;
pub mod topology;

pub mod bind;
pub mod graph;
pub mod step;

use std::sync::Arc;
use std::time::Duration;

use crate::check::{CheckedPipeline, Composition};
use crate::model::Backend;

pub(crate) use availability::IsUp;
pub(crate) use bind::Binder;
pub use bind::{Bind, BindError};
pub use follow_ups::FollowUps;
pub use graph::{BoundBody, BoundNode, Graph};
pub use liveness::Liveness;
pub use node_latencies::NodeLatencies;
pub use step::Step;
pub(crate) use step::{BindKind, BoundKind};
pub use topology::{Edges, Topology};

/// A checked pipeline, bound and ready to run. Immutable apart from statistics; requests share it.
#[derive(Debug)]
pub struct Plan {
    /// The pipeline as checked.
    pub pipeline: Arc<CheckedPipeline>,
    /// Its nodes, bound to what they call.
    pub graph: Graph,
    /// The pipelines that it calls, as they are bound.
    pub composition: Composition,
    backends: Vec<Backend>,
}

impl Plan {
    /// The models that a request may reach, each once, in the order of the nodes that call them;
    /// those of called pipelines included.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Returns the timeout of a request whose client asked for `asked`: the pipeline's default if
    /// it asked for none, and never more than the pipeline's maximum.
    pub fn timeout(&self, asked: Option<Duration>) -> Duration {
        let limits = self.pipeline.deadline;
        asked.unwrap_or(limits.default).min(limits.max)
    }

    /// Iterates over the number of columns of each output.
    pub fn widths(&self) -> impl Iterator<Item = usize> {
        self.pipeline.outputs.iter().map(|o| o.columns().len())
    }
}

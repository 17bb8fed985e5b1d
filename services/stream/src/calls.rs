//! Calls that answer the messages of a stream.

use motet_rows::{Pipeline, Port};

/// Origin of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallContext {
    /// `traceparent` of the message.
    pub traceparent: Option<String>,
    /// `tracestate` of the message.
    pub tracestate: Option<String>,
}

/// A pipeline that answers the messages of a stream, in this process or elsewhere.
pub trait Calls: Send + Sync + 'static {
    /// One call of it.
    type Call: Pipeline + 'static;

    /// Returns a call for a message.
    fn call(&self, context: CallContext) -> Self::Call;
}

/// A value that a pipeline gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPort {
    /// Its name.
    pub name: String,
    /// The length of its list, as the pipeline file names it: `N`; none of a single value.
    pub length: Option<String>,
}

/// Ports of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<OutputPort>,
    /// Digest of the pipeline: another one gives other answers.
    pub digest: String,
}

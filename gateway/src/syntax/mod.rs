//! A pipeline as written: the typed form of a pipeline file, every part with its place.
//!
//! [`parse`] knows which keys there are and what form their values have; whether references
//! lead anywhere and types fit is for [`crate::check`].

mod condition;
mod endpoints;
mod file;
mod input;
mod kind;
mod kinds;
mod literal;
mod node;
mod output;
mod parse;
mod policy;
mod reference;

use std::time::Duration;

use motet_config::{Span, Spanned};
use motet_proto::types::TensorType;

use crate::policy::settings::{CacheSettings, Limit, Retry};
use crate::scalar::Scalar;

pub(crate) use condition::parse_condition;
pub use condition::{CONDITION_BYTES_MAX, Comparison, Expression};
pub use endpoints::{ENDPOINTS_MAX, EndpointSpec};
pub use file::{ConfigFile, PIPELINES_MAX};
pub use kind::{
    BodySpec, Case, CaseSpec, CombineSpec, EndpointRef, EnsembleSpec, GrpcSpec, ItemError,
    KindSpec, MapSpec, ShadowSpec, SplitSpec, ValueSpec, WeightedSpec,
};
#[cfg(test)]
pub(crate) use kinds::KINDS;
pub(crate) use kinds::MESSAGES_MAX;
pub use literal::LiteralSpec;
pub use parse::{DEADLINE_DEFAULT, DEADLINE_MAX, parse};
pub use policy::HedgeSpec;
pub use reference::Reference;
pub(crate) use reference::part_span;

/// The most inputs of a pipeline.
pub const INPUTS_MAX: usize = 256;
/// The most nodes of a pipeline.
pub const NODES_MAX: usize = 1000;
/// The most arguments, settings or substitutes of a node.
pub const ARGUMENTS_MAX: usize = 256;
/// The most outputs of a pipeline, and the most columns of one output.
pub const OUTPUTS_MAX: usize = 256;
/// The most arms of a node.
pub const ARMS_MAX: usize = 64;
/// The most bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 10_000;

/// Names that the typed API uses itself beside a pipeline's own.
pub const RESERVED_NAMES: [(&str, &str); 3] = [
    ("request_id", "matches requests and replies on a stream"),
    ("receipt", "tells where the time went"),
    ("error", "tells on a stream why a request failed"),
];

/// One pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineSpec {
    /// The name.
    pub name: Spanned<String>,
    /// The version; 1 where the file does not say.
    pub version: u32,
    /// What the pipeline does, for people.
    pub description: Option<String>,
    /// What a request carries.
    pub inputs: Vec<InputSpec>,
    /// How long a request may take.
    pub deadline: DeadlineSpec,
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// What a reply carries.
    pub outputs: Vec<OutputSpec>,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineSpec {
    /// For a client that does not say.
    pub default: Duration,
    /// Where `default` is written, if it is.
    pub default_span: Option<Span>,
    /// The most that a client gets.
    pub max: Duration,
    /// Where `max` is written, if it is.
    pub max_span: Option<Span>,
}

/// A name with what stands beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T> {
    /// The name.
    pub name: Spanned<String>,
    /// What stands beside it.
    pub value: T,
}

/// One input of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// The name.
    pub name: Spanned<String>,
    /// The type; `None` where it could not be read, which was reported.
    pub ty: Option<Spanned<TensorType>>,
    /// What holds when a request leaves the input out.
    pub default: Option<Spanned<LiteralSpec>>,
    /// The smallest number.
    pub min: Option<Spanned<Scalar>>,
    /// The largest number.
    pub max: Option<Spanned<Scalar>>,
    /// The most elements.
    pub max_items: Option<Spanned<usize>>,
    /// The most bytes of one string or bytes element.
    pub max_bytes: Option<Spanned<usize>>,
    /// Where it says that a request may leave the input out, if it does.
    pub optional: Option<Span>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSpec {
    /// The name.
    pub name: Spanned<String>,
    /// What runs; `None` where it could not be read or is not supported, which was reported.
    pub kind: Option<Spanned<KindSpec>>,
    /// `in`: arguments by port.
    pub inputs: Vec<Named<Spanned<Value>>>,
    /// Where `in` is written; the node's name when it is not.
    pub inputs_span: Span,
    /// Whether `in`, `with` or `when` could not be read, which was reported: what is missing there is
    /// not known.
    pub unreadable: bool,
    /// `with`: settings by parameter.
    pub settings: Vec<Named<Spanned<Value>>>,
    /// How long the node may take.
    pub deadline: Option<Spanned<Limit>>,
    /// Whether a failed call is made again, with the place of the key.
    pub retry: Option<Spanned<Retry>>,
    /// Whether a slow call is made a second time.
    pub hedge: Option<HedgeSpec>,
    /// Whether answers are kept, row by row, with the place of the key.
    pub cache: Option<Spanned<CacheSettings>>,
    /// How urgent the node's calls are.
    pub priority: Option<Spanned<i64>>,
    /// What to do when the node fails.
    pub on_error: Option<OnErrorSpec>,
    /// Whether the node runs at all; its outputs are optional then.
    pub when: Option<Spanned<Expression>>,
}

/// What to do when a node fails.
#[derive(Debug, Clone, PartialEq)]
pub struct OnErrorSpec {
    /// Where `on_error` is written.
    pub span: Span,
    /// Values in place of the node's outputs, by port.
    pub substitutes: Vec<Named<Spanned<Value>>>,
    /// Whether the receipt names the node as degraded.
    pub mark_degraded: bool,
}

/// The value of an argument, a setting or a substitute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `$name` or `$node.port`.
    Reference(Reference),
    /// Written out.
    Literal(LiteralSpec),
    /// Could not be read, which was reported.
    Broken,
}

/// One output of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSpec {
    /// The name.
    pub name: Spanned<String>,
    /// What it is; `None` where it could not be read, which was reported.
    pub value: Option<OutputValue>,
}

/// The form of an output.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputValue {
    /// One value.
    Single(Spanned<Reference>),
    /// Columns of one length that make records; `None` for those that could not be read.
    Records(Vec<Named<Option<Spanned<Reference>>>>),
}

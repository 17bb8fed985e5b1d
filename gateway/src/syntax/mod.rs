//! A pipeline as written: the typed form of a pipeline file, every part with its place.
//!
//! [`parse`] knows which keys there are and what form their values have; whether references
//! lead anywhere and types fit is for [`crate::check`].

pub(crate) mod arms;
pub(crate) mod body;
pub(crate) mod condition;
mod endpoints;
mod file;
pub(crate) mod input;
mod kind;
mod literal;
pub(crate) mod node;
pub(crate) mod output;
pub(crate) mod parse;
mod reference;

use std::time::Duration;

use motet_config::{Span, Spanned};
use motet_proto::types::TensorType;

use crate::call::PolicySpecs;
use crate::scalar::Scalar;

pub use body::BodySpec;
pub(crate) use body::NodeName;
pub(crate) use condition::parse_condition;
pub use condition::{CONDITION_BYTES_MAX, Comparison, Expression};
pub use endpoints::{ENDPOINTS_MAX, EndpointRef, EndpointSpec};
pub use file::{ConfigFile, PIPELINES_MAX};
pub use kind::{CallTarget, KindSpec};
pub(crate) use kind::{KINDS, KindSyntax, ReadKind, WrittenReference};
pub use literal::LiteralSpec;
pub use parse::{DEADLINE_DEFAULT, DEADLINE_MAX, parse};
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
    /// The version; 1 by default.
    pub version: u32,
    /// Description for people.
    pub description: Option<String>,
    /// The inputs of a request.
    pub inputs: Vec<InputSpec>,
    /// How long a request may take.
    pub deadline: DeadlineSpec,
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// The outputs of a reply.
    pub outputs: Vec<OutputSpec>,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineSpec {
    /// Timeout of a request whose client states none.
    pub default: Duration,
    /// Where `default` is written, if it is.
    pub default_span: Option<Span>,
    /// Longest timeout.
    pub max: Duration,
    /// Where `max` is written, if it is.
    pub max_span: Option<Span>,
}

/// A named value.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T> {
    /// The name.
    pub name: Spanned<String>,
    /// The value.
    pub value: T,
}

/// One input of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// The name.
    pub name: Spanned<String>,
    /// The type; `None` where it could not be read, which was reported.
    pub ty: Option<Spanned<TensorType>>,
    /// Value of an input that a request leaves out.
    pub default: Option<Spanned<LiteralSpec>>,
    /// The smallest number.
    pub min: Option<Spanned<Scalar>>,
    /// The largest number.
    pub max: Option<Spanned<Scalar>>,
    /// The most elements.
    pub max_items: Option<Spanned<usize>>,
    /// The most bytes of one string or bytes element.
    pub max_bytes: Option<Spanned<usize>>,
    /// Place of `optional`, if a request may leave the input out.
    pub optional: Option<Span>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSpec {
    /// The name.
    pub name: Spanned<String>,
    /// The kind; `None` if it could not be read or is not supported, which was reported.
    pub kind: Option<Spanned<KindSpec>>,
    /// `in`: arguments by port.
    pub inputs: Vec<Named<Spanned<Value>>>,
    /// Where `in` is written; the node's name when it is not.
    pub inputs_span: Span,
    /// `true` if `in`, `with` or `when` could not be read, which was reported: nothing is known to
    /// be missing there.
    pub unreadable: bool,
    /// `with`: settings by parameter.
    pub settings: Vec<Named<Spanned<Value>>>,
    /// The policies of its calls.
    pub policies: PolicySpecs,
    /// Substitutes for a node that fails.
    pub on_error: Option<OnErrorSpec>,
    /// Condition under which the node runs; its outputs are optional then.
    pub when: Option<Spanned<Expression>>,
}

/// Substitutes for a node that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct OnErrorSpec {
    /// Where `on_error` is written.
    pub span: Span,
    /// Values in place of the node's outputs, by port.
    pub substitutes: Vec<Named<Spanned<Value>>>,
    /// `true` if the receipt names the node as degraded.
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
    /// Its value; `None` if it could not be read, which was reported.
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

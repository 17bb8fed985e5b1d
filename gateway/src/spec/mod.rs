//! A pipeline as written: the typed form of a pipeline file, every part with its place.
//!
//! [`parse`] knows which keys there are and what form their values have; whether references
//! lead anywhere and types fit is for [`crate::check`].

mod condition;
mod input;
mod kinds;
mod literal;
mod node;
mod output;
mod parse;
mod policy;
mod reference;

use std::time::Duration;

use motet_proto::types::TensorType;
use motet_runtime::config::{Span, Spanned};

use crate::policy::terms::{CacheTerms, Limit, Retry};

pub use condition::{CONDITION_BYTES_MAX, Comparison, Expression};
pub use literal::{LiteralSpec, Scalar};
pub use parse::{DEADLINE_DEFAULT, DEADLINE_MAX, parse};
pub use policy::HedgeSpec;
pub use reference::Reference;

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
    pub cache: Option<Spanned<CacheTerms>>,
    /// How urgent the node's calls are.
    pub priority: Option<Spanned<i64>>,
    /// What to do when the node fails.
    pub on_error: Option<OnErrorSpec>,
    /// Whether the node runs at all; its outputs are optional then.
    pub when: Option<Spanned<Expression>>,
}

/// What a node runs.
#[derive(Debug, Clone, PartialEq)]
pub enum KindSpec {
    /// A model of the configuration.
    Model(String),
    /// A step inside the gateway.
    Op(String),
    /// Another pipeline.
    Pipeline(String),
    /// Values.
    Value(Vec<ValueSpec>),
    /// The next arm when one fails.
    Fallback(Vec<BodySpec>),
    /// The first arm whose condition holds.
    Switch(Vec<CaseSpec>),
    /// Weighted arms.
    Split(SplitSpec),
    /// Several arms at once, combined.
    Ensemble(EnsembleSpec),
    /// A body for each element of a list.
    Map(MapSpec),
}

impl KindSpec {
    /// Whether steps or graphs stand inside the node.
    pub fn has_bodies(&self) -> bool {
        !self.bodies().is_empty()
    }

    /// What stands inside the node, in the file's order.
    pub fn bodies(&self) -> Vec<&BodySpec> {
        match self {
            Self::Model(_) | Self::Op(_) | Self::Pipeline(_) | Self::Value(_) => Vec::new(),
            Self::Fallback(arms) => arms.iter().collect(),
            Self::Switch(cases) => cases.iter().map(|c| &c.body).collect(),
            Self::Split(split) => {
                let arms = split.arms.iter().map(|a| &a.body);
                arms.chain(split.shadow.iter().map(|s| &s.body)).collect()
            }
            Self::Ensemble(ensemble) => ensemble.of.iter().collect(),
            Self::Map(map) => vec![&map.body],
        }
    }
}

impl NodeSpec {
    /// How many nodes this is, with all that stand inside it.
    pub fn count(&self) -> usize {
        let bodies = self.kind.iter().flat_map(|kind| kind.value.bodies());
        1 + bodies
            .flat_map(|body| body.nodes.iter().map(Self::count))
            .sum::<usize>()
    }
}

/// A step, or a graph with outputs of its own, inside a node.
#[derive(Debug, Clone, PartialEq)]
pub struct BodySpec {
    /// What messages call it, such as `words[2]`, and where it begins.
    pub name: Spanned<String>,
    /// Its nodes: exactly one for a step.
    pub nodes: Vec<NodeSpec>,
    /// Its outputs; `None` for a step, whose outputs they are. An output is `None` where it could
    /// not be read, which was reported.
    pub outputs: Option<Vec<Named<Option<Spanned<Reference>>>>>,
}

/// One value of a `value` node.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueSpec {
    /// The name.
    pub name: Spanned<String>,
    /// The type, where it is written.
    pub ty: Option<Spanned<TensorType>>,
    /// The value.
    pub value: Spanned<Value>,
}

/// One arm of a `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseSpec {
    /// When it runs.
    pub when: Case,
    /// What it runs.
    pub body: BodySpec,
}

/// When an arm of a `switch` runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Case {
    /// When this holds.
    When(Spanned<Expression>),
    /// When none before it ran.
    Default,
    /// Could not be read, which was reported.
    Broken,
}

/// `split`.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitSpec {
    /// Requests with one value of this take one arm.
    pub sticky: Option<Spanned<Reference>>,
    /// The arms.
    pub arms: Vec<WeightedSpec>,
    /// Arms whose results are compared, and never answered.
    pub shadow: Vec<ShadowSpec>,
}

/// One arm of a `split`.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedSpec {
    /// How often it runs, beside the weights of the others.
    pub weight: Spanned<f64>,
    /// What it runs.
    pub body: BodySpec,
}

/// One shadow arm of a `split`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowSpec {
    /// Of 100 requests, how many run it too.
    pub percent: f64,
    /// What it runs.
    pub body: BodySpec,
}

/// `ensemble`.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleSpec {
    /// The arms.
    pub of: Vec<BodySpec>,
    /// How their results become one.
    pub combine: Spanned<CombineSpec>,
    /// How many arms must succeed; all where the file does not say.
    pub quorum: Option<usize>,
    /// How long arms are waited for, once the quorum is there.
    pub deadline: Option<Spanned<Duration>>,
}

/// How the results of arms become one.
#[derive(Debug, Clone, PartialEq)]
pub enum CombineSpec {
    /// The mean of numbers.
    Mean,
    /// The mean of numbers, each arm with its weight.
    WeightedMean(Vec<f64>),
    /// The largest number.
    Max,
    /// The value that most arms gave.
    Vote,
    /// Reciprocal rank fusion of ranked lists.
    Rrf {
        /// The constant added to each rank.
        k: i64,
    },
    /// Lists one after the other.
    Concat,
}

/// `map`.
#[derive(Debug, Clone, PartialEq)]
pub struct MapSpec {
    /// The lists to go through together, under the names of their elements.
    pub over: Vec<Named<Spanned<Reference>>>,
    /// The most elements.
    pub max_items: usize,
    /// Elements that run at a time.
    pub concurrency: usize,
    /// What to do when an element fails.
    pub on_item_error: ItemError,
    /// What runs for each element.
    pub body: BodySpec,
}

/// What a `map` does when an element fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemError {
    /// The node fails.
    Fail,
    /// The element is left out.
    Drop,
    /// The element's results are zero or empty.
    Null,
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

//! What a node runs, as written.

use std::time::Duration;

use motet_config::Spanned;
use motet_proto::types::TensorType;
use motet_runtime::config::Endpoint;

use super::{Expression, Named, NodeSpec, Reference, Value};

/// What a node runs.
#[derive(Debug, Clone, PartialEq)]
pub enum KindSpec {
    /// A model of the configuration.
    Model(String),
    /// A method of a gRPC server.
    Grpc(GrpcSpec),
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
            Self::Model(_) | Self::Grpc(_) | Self::Op(_) | Self::Pipeline(_) | Self::Value(_) => {
                Vec::new()
            }
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

/// `grpc`.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcSpec {
    /// The full name of the service, such as `ocr.v1.Ocr`.
    pub service: String,
    /// The method.
    pub method: String,
    /// Where the service is.
    pub endpoint: Spanned<EndpointRef>,
    /// The node's outputs, each with a path of fields of the answer; `None` where the file does
    /// not say, and then every field is an output.
    pub out: Option<Vec<Named<Spanned<String>>>>,
    /// The most messages of an answer that is a stream.
    pub max_items: Option<Spanned<usize>>,
}

/// Where a gRPC server is, as a pipeline says it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointRef {
    /// An endpoint of the configuration, by name.
    Name(String),
    /// Written out.
    Address(Endpoint),
}

impl std::fmt::Display for EndpointRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(endpoint) => endpoint.fmt(f),
        }
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

//! What a checked node runs.

use std::sync::Arc;
use std::time::Duration;

use prost_reflect::MessageDescriptor;

use super::checked::{Node, Source};
use crate::ops::BoundOp;
use crate::ops::combine::Combine;
use crate::protobuf::FieldPath;
use crate::scalar::Scalar;
use crate::syntax::{Comparison, EndpointRef, ItemError};

/// What a node runs.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// A model of the configuration, by name.
    Model(String),
    /// A method of a gRPC server.
    Grpc(Box<GrpcCall>),
    /// A step inside the gateway.
    Op(BoundOp),
    /// Another pipeline.
    Pipeline(PipelineCall),
    /// The first arm that does not fail.
    Fallback(Vec<Body>),
    /// The first arm whose condition holds; one without always holds. Where none does, the
    /// results are absent.
    Switch(Vec<SwitchArm>),
    /// One arm by weight.
    Split(Split),
    /// All arms, combined.
    Ensemble(Ensemble),
    /// A body for each element of a list.
    Map(Map),
}

/// A call of a method of a gRPC server.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpcCall {
    /// Where the server is.
    pub endpoint: EndpointRef,
    /// `/package.Service/Method`.
    pub path: String,
    /// What it takes.
    pub request: MessageDescriptor,
    /// What it answers, once or as a stream.
    pub response: MessageDescriptor,
    /// For an answer that is a stream: its most messages.
    pub messages_max: Option<usize>,
    /// For each of the node's arguments, the field of the request that it is for.
    pub arguments: Vec<FieldPath>,
    /// For each of the node's outputs, the field of the answer that it is.
    pub outputs: Vec<GrpcOutput>,
    /// Whether the file says which fields of the answer are outputs.
    pub chosen: bool,
}

/// An output that is a field of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcOutput {
    /// The field.
    pub path: FieldPath,
    /// Whether the output is absent where the field is not set. Else it has the field's default.
    pub optional: bool,
}

impl GrpcCall {
    /// Why the node has no output of this name, where the answer has such a field.
    pub(super) fn without(&self, name: &str) -> Option<String> {
        self.response.get_field_by_name(name)?;
        Some(match FieldPath::find(&self.response, name) {
            Err(error) => format!("{error}: name what it should be under `out`"),
            Ok(path) if self.chosen => format!("{}: add it to `out`", path.describe()),
            Ok(_) => return None,
        })
    }
}

/// A call of another pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineCall {
    /// The pipeline.
    pub name: String,
    /// For each of the node's arguments, the index of the pipeline's input that it is for.
    pub inputs: Vec<usize>,
}

/// Nodes inside a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// What messages call it, such as `words[2]`.
    pub name: String,
    /// The nodes, each after all that it needs. Their [`Source::Input`] is the argument of that
    /// index of the node around them.
    pub nodes: Vec<Node>,
    /// What the body gives; `None` where nothing reads it. For a node whose outputs are the
    /// results of an arm, in the order of these outputs.
    pub results: Vec<Option<Source>>,
}

/// One arm of a `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct SwitchArm {
    /// When it runs, over the node's arguments.
    pub when: Option<Condition<Source>>,
    /// What it runs.
    pub body: Body,
}

/// `split`.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Requests with one value of this argument take one arm.
    pub sticky: Option<usize>,
    /// Weights and arms.
    pub arms: Vec<(f64, Body)>,
    /// Of 100 requests, how many run this arm too, whose results are only compared.
    pub shadow: Vec<(f64, Arc<Body>)>,
}

/// `ensemble`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// The arms.
    pub arms: Vec<Body>,
    /// How their results become one.
    pub combine: Combine,
    /// How many arms must succeed.
    pub quorum: usize,
    /// How long arms are waited for.
    pub deadline: Option<Duration>,
}

/// `map`. The first `over` arguments are lists; the body sees an element of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// What runs for each element.
    pub body: Body,
    /// How many of the arguments, the first ones, are gone through.
    pub over: usize,
    /// The most elements.
    pub max_items: usize,
    /// Elements that run at a time.
    pub concurrency: usize,
    /// What happens when an element fails. With `drop` the node has one more output, the indices
    /// of the elements that are left; with `null`, which elements failed.
    pub on_item_error: ItemError,
}

/// A condition over values.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition<S> {
    /// The value is absent.
    Absent(S),
    /// Two values compare so; never where one is absent.
    Compare {
        /// How.
        comparison: Comparison,
        /// The left side.
        left: Operand<S>,
        /// The right side.
        right: Operand<S>,
    },
    /// The condition does not hold.
    Not(Box<Condition<S>>),
    /// Every one holds.
    All(Vec<Condition<S>>),
    /// At least one holds.
    Any(Vec<Condition<S>>),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand<S> {
    /// Written out.
    Literal(Scalar),
    /// A single value.
    Value(S),
    /// How many rows a list has.
    Length(S),
}

impl<S> Condition<S> {
    /// Every value that the condition reads.
    pub fn sources(&self, visit: &mut impl FnMut(&S)) {
        match self {
            Self::Absent(source) => visit(source),
            Self::Compare { left, right, .. } => {
                for side in [left, right] {
                    match side {
                        Operand::Value(source) | Operand::Length(source) => visit(source),
                        Operand::Literal(_) => {}
                    }
                }
            }
            Self::Not(inner) => inner.sources(visit),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|p| p.sources(visit)),
        }
    }

    /// The condition over other values; `None` when one of them cannot be had.
    pub fn try_map<T>(self, map: &impl Fn(S) -> Option<T>) -> Option<Condition<T>> {
        let operand = |side| {
            Some(match side {
                Operand::Literal(scalar) => Operand::Literal(scalar),
                Operand::Value(source) => Operand::Value(map(source)?),
                Operand::Length(source) => Operand::Length(map(source)?),
            })
        };
        let all = |parts: Vec<Self>| -> Option<Vec<Condition<T>>> {
            parts.into_iter().map(|p| p.try_map(map)).collect()
        };
        Some(match self {
            Self::Absent(source) => Condition::Absent(map(source)?),
            Self::Compare {
                comparison,
                left,
                right,
            } => Condition::Compare {
                comparison,
                left: operand(left)?,
                right: operand(right)?,
            },
            Self::Not(inner) => Condition::Not(Box::new(inner.try_map(map)?)),
            Self::All(parts) => Condition::All(all(parts)?),
            Self::Any(parts) => Condition::Any(all(parts)?),
        })
    }
}

impl NodeKind {
    /// The bodies whose results the node may give, in the file's order: all but the shadows of a
    /// `split`.
    pub(super) fn arms_mut(&mut self) -> Vec<&mut Body> {
        match self {
            Self::Model(_) | Self::Grpc(_) | Self::Op(_) | Self::Pipeline(_) => Vec::new(),
            Self::Fallback(arms) => arms.iter_mut().collect(),
            Self::Switch(arms) => arms.iter_mut().map(|a| &mut a.body).collect(),
            Self::Split(split) => split.arms.iter_mut().map(|(_, body)| body).collect(),
            Self::Ensemble(ensemble) => ensemble.arms.iter_mut().collect(),
            Self::Map(map) => vec![&mut map.body],
        }
    }

    /// What stands inside the node, in the file's order.
    pub fn bodies(&self) -> Vec<&Body> {
        match self {
            Self::Model(_) | Self::Grpc(_) | Self::Op(_) | Self::Pipeline(_) => Vec::new(),
            Self::Fallback(arms) => arms.iter().collect(),
            Self::Switch(arms) => arms.iter().map(|a| &a.body).collect(),
            Self::Split(split) => {
                let arms = split.arms.iter().map(|(_, body)| body);
                arms.chain(split.shadow.iter().map(|(_, body)| &**body))
                    .collect()
            }
            Self::Ensemble(ensemble) => ensemble.arms.iter().collect(),
            Self::Map(map) => vec![&map.body],
        }
    }
}

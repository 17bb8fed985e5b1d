//! What the check knows so far, before everything has an index.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use motet_config::{Diagnostics, Span};
use motet_proto::types::ElementType;

use super::checked::{Input, Literal, Setting};
use super::dims::{DimId, DimTable};
use super::kind::{Condition, GrpcCall, PipelineCall};
use super::signatures::SignatureSource;
use crate::ops::BoundOp;
use crate::ops::combine::Combine;
use crate::policy::settings::Policies;
use crate::syntax::{ItemError, NodeSpec, PipelineSpec};

/// One check of one pipeline.
pub(super) struct Checker<'a> {
    pub(super) spec: &'a PipelineSpec,
    pub(super) signatures: &'a dyn SignatureSource,
    /// Whether a signature that cannot be had is a warning only.
    pub(super) offline: bool,
    pub(super) diagnostics: &'a mut Diagnostics,
    pub(super) dims: DimTable,
    pub(super) inputs: Vec<InputDraft>,
    /// Where each input is, by index of the spec. The first of a name counts.
    pub(super) input_names: HashMap<&'a str, usize>,
    /// The pipeline's own nodes first, then those that what is looked at now stands in.
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) outputs: Vec<OutputDraft>,
    /// The element types that the values of a `value` arm should have, from its sister arms.
    pub(super) expected: HashMap<String, ElementType>,
    /// Something is not known, because of a mistake that was reported or a signature that cannot
    /// be had: there can be no checked pipeline, and "not used" may not be true.
    pub(super) incomplete: bool,
}

/// Nodes that can refer to each other: those of the pipeline, or those inside a node.
pub(super) struct Scope<'a> {
    pub(super) nodes: &'a [NodeSpec],
    /// Where each name is, by index of `nodes`. The first of a name counts.
    pub(super) names: HashMap<&'a str, usize>,
    /// By index of `nodes`; `None` while not looked at.
    pub(super) drafts: Vec<Option<NodeDraft>>,
    /// The names of the elements of a `map`: element `i` is capture `i`.
    pub(super) elements: Vec<&'a str>,
    /// What the scope takes from outside.
    pub(super) captures: Vec<Capture>,
    /// Optional values, as written, that are known to be there.
    pub(super) present: HashSet<String>,
}

/// A value that a scope takes from the one around it.
#[derive(Debug, Clone)]
pub(super) struct Capture {
    /// As a reference is written, `$boxes.box`.
    pub(super) name: String,
    /// The value outside.
    pub(super) outer: Flow,
    /// The type inside: an element of a `map` has one dimension less.
    pub(super) ty: FlowType,
}

impl<'a> Scope<'a> {
    pub(super) fn new(nodes: &'a [NodeSpec]) -> Self {
        let mut names = HashMap::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            names.entry(node.name.value.as_str()).or_insert(i);
        }
        Self {
            nodes,
            names,
            drafts: nodes.iter().map(|_| None).collect(),
            elements: Vec::new(),
            captures: Vec::new(),
            present: HashSet::new(),
        }
    }
}

/// A type as it flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlowType {
    pub(super) element: ElementType,
    pub(super) dims: Vec<DimId>,
}

/// A value with what is known of its type.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) source: DraftSource,
    pub(super) ty: FlowType,
    /// Whether it may be absent.
    pub(super) optional: bool,
}

/// Where a value comes from, by index of its scope: inputs are those of the pipeline in the
/// outermost scope, and captures in all others.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum DraftSource {
    Input(usize),
    Node { node: usize, output: usize },
    Literal(Literal),
}

pub(super) struct InputDraft {
    /// `None` where the type could not be read.
    pub(super) ty: Option<FlowType>,
    /// Everything but the type's lengths.
    pub(super) input: Option<Input>,
    pub(super) used: bool,
}

pub(super) struct NodeDraft {
    pub(super) kind: KindDraft,
    pub(super) when: Option<Condition<DraftSource>>,
    pub(super) arguments: Vec<ArgumentDraft>,
    pub(super) outputs: Vec<OutputPort>,
    pub(super) settings: Vec<Setting>,
    pub(super) policies: Policies,
    pub(super) on_error: Option<OnErrorDraft>,
}

/// What a node runs.
pub(super) enum KindDraft {
    Model(String),
    Grpc(Box<GrpcCall>),
    Op(BoundOp),
    Pipeline(PipelineCall),
    Fallback(Vec<BodyDraft>),
    Switch(Vec<(Option<Condition<DraftSource>>, BodyDraft)>),
    Split {
        sticky: Option<usize>,
        arms: Vec<(f64, BodyDraft)>,
        shadow: Vec<(f64, BodyDraft)>,
    },
    Ensemble {
        arms: Vec<BodyDraft>,
        combine: Combine,
        quorum: usize,
        deadline: Option<Duration>,
    },
    Map {
        body: BodyDraft,
        /// How many of the arguments, the first ones, are gone through.
        over: usize,
        max_items: usize,
        concurrency: usize,
        on_item_error: ItemError,
        /// Results that make no list, and why.
        ragged: Vec<(String, String)>,
    },
}

/// What stands inside a node, once looked at.
pub(super) struct BodyDraft {
    pub(super) name: String,
    pub(super) names: Vec<String>,
    /// By index of `names`.
    pub(super) nodes: Vec<Option<NodeDraft>>,
    pub(super) order: Vec<usize>,
    pub(super) results: Vec<ResultDraft>,
}

/// One value that a body gives to the node around it.
pub(super) struct ResultDraft {
    pub(super) name: String,
    pub(super) flow: Flow,
    /// The output of the node around it that it is for; `None` where it is always needed.
    pub(super) output: Option<usize>,
}

pub(super) struct ArgumentDraft {
    pub(super) port: String,
    pub(super) element: ElementType,
    pub(super) flow: Flow,
    pub(super) lift: bool,
}

/// An output of a node.
#[derive(Debug, Clone)]
pub(super) struct OutputPort {
    pub(super) name: String,
    /// `None` where it follows from something unknown.
    pub(super) ty: Option<FlowType>,
    pub(super) lift: bool,
    /// Whether it may be absent.
    pub(super) optional: bool,
}

pub(super) struct OnErrorDraft {
    pub(super) span: Span,
    /// By index of the node's outputs.
    pub(super) values: Vec<Option<Flow>>,
    pub(super) mark_degraded: bool,
}

pub(super) enum OutputDraft {
    Broken,
    Value(Flow),
    Records {
        columns: Vec<(String, Flow)>,
        length: DimId,
    },
}

impl<'a> Checker<'a> {
    /// The nodes that are looked at now.
    pub(super) fn scope(&self) -> &Scope<'a> {
        // There is always the pipeline's own.
        &self.scopes[self.scopes.len() - 1]
    }

    pub(super) fn scope_mut(&mut self) -> &mut Scope<'a> {
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    /// The type in a message.
    pub(super) fn show(&mut self, ty: &FlowType) -> String {
        let mut text = ty.element.to_string();
        if !ty.dims.is_empty() {
            let dims: Vec<String> = ty.dims.iter().map(|d| self.dims.show(*d)).collect();
            text.push('[');
            text.push_str(&dims.join(","));
            text.push(']');
        }
        text
    }
}

//! State of a check, before everything has an index.

use std::collections::{HashMap, HashSet};

use motet_config::{Diagnostics, Span};
use motet_proto::types::ElementType;

use super::checked::{Condition, Input, Literal, Setting};
use super::dims::{DimId, DimTable};
use super::kind::KindDraft;
use super::signatures::SignatureSource;
use crate::call::Policies;
use crate::syntax::{NodeSpec, PipelineSpec};

/// One check of one pipeline.
pub(crate) struct Checker<'a> {
    pub(crate) spec: &'a PipelineSpec,
    pub(crate) signatures: &'a dyn SignatureSource,
    /// `true` if a signature that is not available is only a warning.
    pub(crate) offline: bool,
    pub(crate) diagnostics: &'a mut Diagnostics,
    pub(crate) dims: DimTable,
    pub(crate) inputs: Vec<InputDraft>,
    /// Where each input is, by index of the spec. The first of a name counts.
    pub(crate) input_names: HashMap<&'a str, usize>,
    /// Scopes from the pipeline's own nodes down to the body that is checked now.
    pub(crate) scopes: Vec<Scope<'a>>,
    pub(crate) outputs: Vec<OutputDraft>,
    /// The element types that the values of a `value` arm should have, from its sister arms.
    pub(crate) expected: HashMap<String, ElementType>,
    /// `true` if something is not known, because of a mistake that was reported or a signature that
    /// is not available: there can be no checked pipeline, and "not used" may not be true.
    pub(crate) incomplete: bool,
}

/// Nodes that can refer to each other: those of the pipeline, or those inside a node.
pub(crate) struct Scope<'a> {
    pub(crate) nodes: &'a [NodeSpec],
    /// Where each name is, by index of `nodes`. The first of a name counts.
    pub(crate) names: HashMap<&'a str, usize>,
    /// By index of `nodes`; `None` while not checked.
    pub(crate) drafts: Vec<Option<NodeDraft>>,
    /// The names of the elements of a `map`: element `i` is capture `i`.
    pub(crate) elements: Vec<&'a str>,
    /// Values that the scope takes from outside.
    pub(crate) captures: Vec<Captured>,
    /// Optional values, as written, that are known to be there.
    pub(crate) present: HashSet<String>,
}

/// A value that a scope takes from the one around it.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// As a reference is written, `$boxes.box`.
    pub(crate) name: String,
    /// The value outside.
    pub(crate) outer: Flow,
    /// The type inside: an element of a `map` has one dimension less.
    pub(crate) ty: FlowType,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(nodes: &'a [NodeSpec]) -> Self {
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
pub(crate) struct FlowType {
    pub(crate) element: ElementType,
    pub(crate) dims: Vec<DimId>,
}

/// A value with what is known of its type.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) source: DraftSource,
    pub(crate) ty: FlowType,
    /// `true` if it may be absent.
    pub(crate) optional: bool,
}

/// Where a value comes from, by index of its scope: inputs are those of the pipeline in the
/// outermost scope, and captures in all others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DraftSource {
    Input(usize),
    Node { node: usize, output: usize },
    Literal(Literal),
}

pub(crate) struct InputDraft {
    /// `None` where the type could not be read.
    pub(crate) ty: Option<FlowType>,
    /// Everything but the type's lengths.
    pub(crate) input: Option<Input>,
    pub(crate) used: bool,
}

pub(crate) struct NodeDraft {
    pub(crate) kind: KindDraft,
    pub(crate) when: Option<Condition<DraftSource>>,
    pub(crate) arguments: Vec<ArgumentDraft>,
    pub(crate) outputs: Vec<OutputPort>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) policies: Policies,
    pub(crate) on_error: Option<OnErrorDraft>,
}

/// A body inside a node, once checked.
pub(crate) struct BodyDraft {
    pub(crate) name: String,
    pub(crate) names: Vec<String>,
    /// By index of `names`.
    pub(crate) nodes: Vec<Option<NodeDraft>>,
    pub(crate) order: Vec<usize>,
    pub(crate) results: Vec<ResultDraft>,
}

/// One value that a body gives to the node around it.
pub(crate) struct ResultDraft {
    pub(crate) name: String,
    pub(crate) flow: Flow,
    /// The output of the node around it that it is for; `None` where it is always needed.
    pub(crate) output: Option<usize>,
}

pub(crate) struct ArgumentDraft {
    pub(crate) port: String,
    pub(crate) element: ElementType,
    pub(crate) flow: Flow,
    pub(crate) single_row: bool,
}

/// An output of a node.
#[derive(Debug, Clone)]
pub(crate) struct OutputPort {
    pub(crate) name: String,
    /// `None` where it follows from something unknown.
    pub(crate) ty: Option<FlowType>,
    pub(crate) single_row: bool,
    /// `true` if it may be absent.
    pub(crate) optional: bool,
}

pub(crate) struct OnErrorDraft {
    pub(crate) span: Span,
    /// By index of the node's outputs.
    pub(crate) values: Vec<Option<Flow>>,
    pub(crate) mark_degraded: bool,
}

pub(crate) enum OutputDraft {
    Broken,
    Value(Flow),
    Records {
        columns: Vec<(String, Flow)>,
        length: DimId,
    },
}

impl<'a> Checker<'a> {
    /// Returns the scope that is checked now.
    pub(crate) fn scope(&self) -> &Scope<'a> {
        // There is always the pipeline's own.
        &self.scopes[self.scopes.len() - 1]
    }

    pub(crate) fn scope_mut(&mut self) -> &mut Scope<'a> {
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    /// Shows a type for a message.
    pub(crate) fn show(&mut self, ty: &FlowType) -> String {
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

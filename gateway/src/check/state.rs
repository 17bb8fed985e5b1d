//! What the check knows so far, before everything has an index.

use std::collections::HashMap;

use motet_proto::types::ElementType;
use motet_runtime::config::{Diagnostics, Span};

use super::checked::{Input, Literal, NodeKind, Policies, Setting};
use super::dims::{DimId, DimTable};
use super::signatures::SignatureSource;
use crate::spec::PipelineSpec;

/// One check of one pipeline.
pub(super) struct Checker<'a> {
    pub(super) spec: &'a PipelineSpec,
    pub(super) signatures: &'a dyn SignatureSource,
    /// Whether a signature that cannot be had is a warning only.
    pub(super) offline: bool,
    pub(super) diagnostics: &'a mut Diagnostics,
    pub(super) names: Names<'a>,
    pub(super) dims: DimTable,
    pub(super) inputs: Vec<InputDraft>,
    /// By index of the spec's nodes; `None` while not looked at.
    pub(super) nodes: Vec<Option<NodeDraft>>,
    pub(super) outputs: Vec<OutputDraft>,
    /// Something is not known, because of a mistake that was reported or a signature that cannot
    /// be had: there can be no checked pipeline, and "not used" may not be true.
    pub(super) incomplete: bool,
}

/// Where each name of a pipeline is, by index of the spec. The first of a name counts.
#[derive(Default)]
pub(super) struct Names<'a> {
    pub(super) inputs: HashMap<&'a str, usize>,
    pub(super) nodes: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    pub(super) fn new(spec: &'a PipelineSpec) -> Self {
        let mut names = Self::default();
        for (i, input) in spec.inputs.iter().enumerate() {
            names.inputs.entry(&input.name.value).or_insert(i);
        }
        for (i, node) in spec.nodes.iter().enumerate() {
            names.nodes.entry(&node.name.value).or_insert(i);
        }
        names
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
}

/// Where a value comes from, by index of the spec.
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
    pub(super) kind: NodeKind,
    pub(super) arguments: Vec<ArgumentDraft>,
    pub(super) outputs: Vec<OutputPort>,
    pub(super) settings: Vec<Setting>,
    pub(super) policies: Policies,
    pub(super) on_error: Option<OnErrorDraft>,
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

impl Checker<'_> {
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

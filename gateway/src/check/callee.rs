//! The callee of a node, be it a model, a method, an op or a pipeline, as one form of signature.

use motet_config::Span;
use motet_proto::signature::Parameter;
use motet_proto::types::TensorType;

use super::policy::UnsupportedPolicies;

/// The callee of a node.
pub(crate) struct Callee {
    /// Its name in messages: ``model `minilm` `` or ``op `topk` ``.
    pub(crate) name: String,
    /// Where the node names it.
    pub(crate) span: Span,
    pub(crate) inputs: Vec<CalleePort>,
    pub(crate) outputs: Vec<CalleePort>,
    pub(crate) parameters: Vec<Parameter>,
    /// `true` if a request leaves the process for it.
    pub(crate) is_remote: bool,
    /// `true` if a scalar for a list port gives a scalar back.
    pub(crate) takes_single_rows: bool,
    /// `true` if every parameter must have a value; else the callee has its own defaults.
    pub(crate) fills_parameters: bool,
    pub(crate) unsupported_policies: UnsupportedPolicies,
}

/// A port of a callee; the type is `None` where it follows from an argument that is not known.
#[derive(Debug, Clone)]
pub(crate) struct CalleePort {
    pub(crate) name: String,
    pub(crate) ty: Option<TensorType>,
    /// `true` if the node must give it.
    pub(crate) required: bool,
    /// `true` if it may be absent.
    pub(crate) optional: bool,
    /// Origin of its type, if the callee does not state it.
    pub(crate) about: Option<String>,
}

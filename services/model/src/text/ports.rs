//! Names of ports and parameters, and how a signature is written.

use motet_proto::signature::Port;
use motet_proto::types::{Dim, ElementType, TensorType};

pub(super) const TEXT: &str = "text";
pub(super) const QUERY: &str = "query";
pub(super) const EMBEDDING: &str = "embedding";
pub(super) const ROW: &str = "row";
pub(super) const SCORE: &str = "score";
pub(super) const PAIR: &str = "pair";
pub(super) const LABEL: &str = "label";
pub(super) const LABELS: &str = "labels";
pub(super) const INDEX: &str = "index";
pub(super) const WEIGHT: &str = "weight";
pub(super) const HYPOTHESIS_TEMPLATE: &str = "hypothesis_template";
pub(super) const MULTI_LABEL: &str = "multi_label";
pub(super) const AGGREGATION: &str = "aggregation";
pub(super) const ACTIVATION: &str = "activation";
pub(super) const SOURCE: &str = "source";
pub(super) const START: &str = "start";
pub(super) const END: &str = "end";
pub(super) const TOKENS: &str = "tokens";
pub(super) const MAX_TOKENS: &str = "max_tokens";
pub(super) const OVERLAP: &str = "overlap";
pub(super) const TRUNCATE: &str = "truncate";
pub(super) const PROMPT_NAME: &str = "prompt_name";
pub(super) const PROMPT: &str = "prompt";
pub(super) const DIMENSIONS: &str = "dimensions";
pub(super) const NORMALIZE: &str = "normalize";

/// Returns a dimension that has the same length wherever its name occurs in the signature.
pub(super) fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

pub(super) fn port(name: &str, element: ElementType, dims: Vec<Dim>) -> Port {
    Port::new(name, TensorType::new(element, dims))
}

/// `text: string[N]`
pub(super) fn texts() -> Port {
    port(TEXT, ElementType::String, vec![symbol("N")])
}

//! Names of ports and parameters, and how a signature is written.

use motet_proto::signature::{OutputAxis, Parameter, Port};
use motet_proto::types::{Dim, ElementType, TensorType};

pub(crate) const TEXT: &str = "text";
pub(crate) const QUERY: &str = "query";
pub(crate) const EMBEDDING: &str = "embedding";
pub(crate) const ROW: &str = "row";
pub(crate) const SCORE: &str = "score";
pub(crate) const PAIR: &str = "pair";
pub(crate) const LABEL: &str = "label";
pub(crate) const LABELS: &str = "labels";
pub(crate) const INDEX: &str = "index";
pub(crate) const WEIGHT: &str = "weight";
pub(crate) const HYPOTHESIS_TEMPLATE: &str = "hypothesis_template";
pub(crate) const MULTI_LABEL: &str = "multi_label";
pub(crate) const AGGREGATION: &str = "aggregation";
pub(crate) const ACTIVATION: &str = "activation";
pub(crate) const SOURCE: &str = "source";
pub(crate) const START: &str = "start";
pub(crate) const END: &str = "end";
pub(crate) const TOKENS: &str = "tokens";
pub(crate) const MAX_TOKENS: &str = "max_tokens";
pub(crate) const OVERLAP: &str = "overlap";
pub(crate) const TRUNCATE: &str = "truncate";
pub(crate) const PROMPT_NAME: &str = "prompt_name";
pub(crate) const PROMPT: &str = "prompt";
pub(crate) const DIMENSIONS: &str = "dimensions";
pub(crate) const NORMALIZE: &str = "normalize";

/// Returns a dimension that has the same length wherever its name occurs in the signature.
pub(crate) fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

pub(crate) fn port(name: &str, element: ElementType, dims: Vec<Dim>) -> Port {
    Port::new(name, TensorType::new(element, dims))
}

/// `text: string[N]`
pub(crate) fn texts() -> Port {
    port(TEXT, ElementType::String, vec![symbol("N")])
}

/// Returns the parameters of a task that answers vectors in an output of this name, of which a call
/// may ask for the first of `size` values; they are of length 1 where a call does not say if
/// `normalize` is `true`.
pub(crate) fn vector_parameters(
    output: &str,
    size: Option<usize>,
    normalize: bool,
) -> Vec<Parameter> {
    let mut parameters = vec![Parameter::boolean(NORMALIZE, normalize)];
    if let Some(size) = size {
        let sets_length = vec![OutputAxis {
            output: output.to_owned(),
            axis: 1,
        }];
        let size = size as i64;
        let dimensions = Parameter {
            sets_length,
            ..Parameter::int(DIMENSIONS, size, 1, size)
        };
        parameters.insert(0, dimensions);
    }
    parameters
}

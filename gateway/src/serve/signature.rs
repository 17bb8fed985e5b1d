//! Signature of a pipeline as a model of the Open Inference Protocol.

use motet_proto::signature::{Port, Signature};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::check::CheckedPipeline;

/// Returns the signature of a pipeline. Each column of records is a tensor, `results.score`.
pub fn signature(pipeline: &CheckedPipeline) -> Signature {
    let port = |name: String, ty: &crate::check::ValueType| {
        Port::new(name, ty.to_tensor_type(&pipeline.symbols))
    };
    let outputs = pipeline.columns().map(|(name, c)| port(name, &c.ty));
    Signature {
        outputs: outputs.collect(),
        inputs: pipeline
            .inputs
            .iter()
            .map(|i| port(i.name.clone(), &i.ty))
            .collect(),
        parameters: Vec::new(),
    }
}

/// Converts a tensor of the protocol to the type of an input: a list of one element to a scalar,
/// BYTES to text. Other tensors are returned unchanged, for the check of the inputs to report.
///
/// # Errors
/// When the input is text and an element is not UTF-8.
pub(super) fn from_wire(
    tensor: Tensor,
    element: ElementType,
    rank: usize,
) -> Result<Tensor, String> {
    let tensor = if tensor.element() == ElementType::Bytes && element == ElementType::String {
        tensor.into_text(element).map_err(|e| e.to_string())?
    } else {
        tensor
    };
    if rank == 0 && tensor.shape() == [1] {
        return tensor.reshape(Vec::new()).map_err(|e| e.to_string());
    }
    Ok(tensor)
}

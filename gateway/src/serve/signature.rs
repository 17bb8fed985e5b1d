//! What a pipeline takes and gives, as the Open Inference Protocol sees it: a pipeline is a model.

use motet_proto::signature::{Port, Signature};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;

use crate::check::CheckedPipeline;

/// The signature of a pipeline. A column of records is a tensor of its own, `results.score`.
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

/// A tensor of the wire as a pipeline's input takes it: a list of one is a scalar, `BYTES` is
/// text where text is wanted. What does not fit stays as it is, for the check to name.
///
/// # Errors
/// When text is wanted and an element is not UTF-8.
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

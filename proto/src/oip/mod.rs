//! Tensors from and to messages of the Open Inference Protocol.
//!
//! A request has its elements raw or in typed lists; both become a [`Tensor`], raw ones without a
//! copy. A response has the form of its request ([`Encoding`]), so that a client that writes JSON
//! also reads JSON.
//!
//! * `contents`: the typed lists; `parameters`: parameters of requests and responses.
//! * [`cost`]: names of the parameters with which a model reports what a call cost.
//! * [`lookahead`]: names of the parameters with which a caller announces further rows.
//! * [`truncation`]: names of the parameters with which a model reports what it cut.
//! * `version`: versions of models; `model_config`: Triton's model configuration.
//! * `finite`: numbers of an answer that are infinite or none.
//! * `error`: [`MessageError`].

mod contents;
pub mod cost;
mod error;
mod finite;
pub mod lookahead;
mod model_config;
mod parameters;
pub mod truncation;
mod version;

use std::collections::HashSet;

use bytes::Bytes;

pub use error::{DecodeError, MessageError};
pub use finite::{NotFinite, first_not_finite};
pub use model_config::model_config;
pub use parameters::{
    PRIORITY, SCORE_KIND, TIMEOUT, boolean_parameter, integer_parameter, parameter,
    string_parameter,
};
pub use version::{VERSION, find_version, split_version};

use contents::{from_contents, to_contents};

use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::tensor::Tensor;
use crate::types::ElementType;

/// Encoding of the elements in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// `raw_input_contents` and `raw_output_contents`.
    #[default]
    Raw,
    /// The typed lists of `contents`.
    Typed,
}

/// A tensor and its name.
pub type Named = (String, Tensor);

/// Takes the tensors out of a request, and returns the form that they had.
///
/// # Errors
/// The first tensor that cannot be read.
pub fn take_inputs(
    request: &mut ModelInferRequest,
) -> Result<(Vec<Named>, Encoding), MessageError> {
    let parts = std::mem::take(&mut request.inputs)
        .into_iter()
        .map(|t| (t.name, t.datatype, t.shape, t.contents))
        .collect();
    take(parts, std::mem::take(&mut request.raw_input_contents))
}

/// Takes the tensors out of a response.
///
/// # Errors
/// The first tensor that cannot be read.
pub fn take_outputs(response: &mut ModelInferResponse) -> Result<Vec<Named>, MessageError> {
    let parts = std::mem::take(&mut response.outputs)
        .into_iter()
        .map(|t| (t.name, t.datatype, t.shape, t.contents))
        .collect();
    take(parts, std::mem::take(&mut response.raw_output_contents)).map(|(tensors, _)| tensors)
}

/// Adds input tensors to a request, in raw form.
pub fn put_inputs<'a>(
    request: &mut ModelInferRequest,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) {
    for (name, tensor) in tensors {
        request.inputs.push(InferInputTensor {
            name: name.to_owned(),
            datatype: tensor.element().oip_name().to_owned(),
            shape: wire_shape(tensor),
            ..Default::default()
        });
        request.raw_input_contents.push(tensor.data().clone());
    }
}

/// Adds output tensors to a response. FP16 and BF16 have no typed list: a response with one of them
/// is raw as a whole.
pub fn put_outputs<'a>(
    response: &mut ModelInferResponse,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    encoding: Encoding,
) {
    let tensors: Vec<_> = tensors.into_iter().collect();
    let typed: Option<Vec<_>> = match encoding {
        Encoding::Raw => None,
        Encoding::Typed => tensors.iter().map(|(_, t)| to_contents(t)).collect(),
    };
    let is_typed = typed.is_some();
    let mut contents = typed.unwrap_or_default().into_iter();
    for (name, tensor) in tensors {
        response.outputs.push(InferOutputTensor {
            name: name.to_owned(),
            datatype: tensor.element().oip_name().to_owned(),
            shape: wire_shape(tensor),
            contents: contents.next(),
            ..Default::default()
        });
        if !is_typed {
            response.raw_output_contents.push(tensor.data().clone());
        }
    }
}

/// Returns the shape in a message: a scalar is `[1]`.
fn wire_shape(tensor: &Tensor) -> Vec<i64> {
    if tensor.shape().is_empty() {
        return vec![1];
    }
    tensor.shape().iter().map(|d| *d as i64).collect()
}

/// Name, datatype, shape and typed lists of a tensor.
type Part = (String, String, Vec<i64>, Option<InferTensorContents>);

fn take(parts: Vec<Part>, raw: Vec<Bytes>) -> Result<(Vec<Named>, Encoding), MessageError> {
    let encoding = if raw.is_empty() && parts.iter().any(|p| p.3.is_some()) {
        Encoding::Typed
    } else {
        Encoding::Raw
    };
    if !raw.is_empty() && raw.len() != parts.len() {
        return Err(MessageError::RawCount {
            raw: raw.len(),
            tensors: parts.len(),
        });
    }
    let mut names = HashSet::with_capacity(parts.len());
    if let Some((name, ..)) = parts.iter().find(|(name, ..)| !names.insert(name.as_str())) {
        return Err(MessageError::tensor(name, DecodeError::Twice));
    }
    let mut raw = raw.into_iter();
    let mut tensors: Vec<Named> = Vec::with_capacity(parts.len());
    for (name, datatype, shape, contents) in parts {
        let tensor = take_one(&datatype, &shape, contents, raw.next())
            .map_err(|error| MessageError::tensor(&name, error))?;
        tensors.push((name, tensor));
    }
    Ok((tensors, encoding))
}

fn take_one(
    datatype: &str,
    shape: &[i64],
    contents: Option<InferTensorContents>,
    raw: Option<Bytes>,
) -> Result<Tensor, DecodeError> {
    let element = ElementType::from_oip(datatype)
        .ok_or_else(|| DecodeError::Datatype(datatype.to_owned()))?;
    let shape: Vec<usize> = shape
        .iter()
        .map(|d| usize::try_from(*d).map_err(|_| DecodeError::Shape(shape.to_vec())))
        .collect::<Result<_, _>>()?;
    match (raw, contents) {
        (Some(_), Some(c)) if c != InferTensorContents::default() => Err(DecodeError::Both),
        (Some(raw), _) => Ok(Tensor::from_raw(element, shape, raw)?),
        (None, contents) => from_contents(element, shape, contents.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;

//! Tensors in and out of Open Inference Protocol messages.
//!
//! A request may carry its elements raw or in typed lists; both become a [`Tensor`], raw ones
//! without a copy. An answer is given in the form of the question ([`Form`]), so that a client
//! that writes JSON also reads JSON.

mod contents;
mod describe;
mod error;
mod parameters;
mod version;

use bytes::Bytes;

pub use describe::model_config;
pub use error::{MessageError, Problem};
pub use parameters::{PRIORITY, TIMEOUT, integer_parameter, parameter};
pub use version::{VERSION, find_version, split_version};

use contents::{from_contents, to_contents};

use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::tensor::Tensor;
use crate::types::ElementType;

/// Names of the parameters with which a motet model service says what an answer cost. A call that
/// was split over several batches is told by the one that finished it, so that queue and compute
/// are parts of the time that the caller waited.
pub mod cost {
    /// Time in the batcher's queue, in microseconds (`int64`).
    pub const QUEUE_US: &str = "motet.queue_us";
    /// Time of the forward pass, in microseconds (`int64`).
    pub const COMPUTE_US: &str = "motet.compute_us";
    /// Rows of the largest batch that the call's rows rode in (`int64`).
    pub const BATCH_ROWS: &str = "motet.batch_rows";
    /// Tokens of the largest batch that the call's rows rode in (`int64`).
    pub const BATCH_TOKENS: &str = "motet.batch_tokens";
    /// Longest time that a free executor waited for company, on purpose, before a batch that the call's rows rode in, in
    /// microseconds (`int64`); 0 where none waited. There where a batcher ran.
    pub const WINDOW_US: &str = "motet.window_us";
    /// Why the batch that finished the call started when it did (`string`). There where a batcher ran.
    ///
    /// * `ready`: an executor was free, and waiting would not have paid;
    /// * `size`: the batch was full, or as long as pays where all in it wait for its end;
    /// * `window`: the wait for company was over;
    /// * `deadline`: waiting longer would have made a row late;
    /// * `drain`: the model was shutting down;
    /// * `retry`: it was a part of a batch that failed.
    pub const WINDOW_CAUSE: &str = "motet.window_cause";
}

/// Names of the parameters with which a caller tells a motet model service what it knows of the request that a call is part of, so
/// that rows which arrive one after the other can run together. All are `int64`, and none is needed.
pub mod lookahead {
    /// A number that the calls of one request have in common, 0 or more.
    pub const REQUEST: &str = "motet.request";
    /// Rows of the same request that will come to the same model soon, about.
    pub const SEQUEL_ROWS: &str = "motet.sequel_rows";
    /// Within what time they will most probably have come, in microseconds. Without it, [`SEQUEL_ROWS`] says nothing.
    pub const SEQUEL_US: &str = "motet.sequel_us";
}

/// How a message carries the elements of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// In `raw_input_contents` and `raw_output_contents`.
    #[default]
    Raw,
    /// In the typed lists of `contents`.
    Typed,
}

/// A tensor with its name in the message.
pub type Named = (String, Tensor);

/// Takes the tensors out of a request.
///
/// # Errors
/// With the name of the tensor that is wrong.
pub fn take_inputs(request: &mut ModelInferRequest) -> Result<(Vec<Named>, Form), MessageError> {
    let parts = std::mem::take(&mut request.inputs)
        .into_iter()
        .map(|t| (t.name, t.datatype, t.shape, t.contents))
        .collect();
    take(parts, std::mem::take(&mut request.raw_input_contents))
}

/// Takes the tensors out of a response.
///
/// # Errors
/// With the name of the tensor that is wrong.
pub fn take_outputs(response: &mut ModelInferResponse) -> Result<Vec<Named>, MessageError> {
    let parts = std::mem::take(&mut response.outputs)
        .into_iter()
        .map(|t| (t.name, t.datatype, t.shape, t.contents))
        .collect();
    take(parts, std::mem::take(&mut response.raw_output_contents)).map(|(tensors, _)| tensors)
}

/// Puts raw input tensors into a request.
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

/// Puts output tensors into a response. FP16 and BF16 have no typed list, so a response that
/// holds one is raw as a whole.
pub fn put_outputs<'a>(
    response: &mut ModelInferResponse,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    form: Form,
) {
    let tensors: Vec<_> = tensors.into_iter().collect();
    let typed: Option<Vec<_>> = match form {
        Form::Raw => None,
        Form::Typed => tensors.iter().map(|(_, t)| to_contents(t)).collect(),
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

/// The shape on the wire: a scalar is `[1]`.
fn wire_shape(tensor: &Tensor) -> Vec<i64> {
    if tensor.shape().is_empty() {
        return vec![1];
    }
    tensor.shape().iter().map(|d| *d as i64).collect()
}

type Part = (String, String, Vec<i64>, Option<InferTensorContents>);

fn take(parts: Vec<Part>, raw: Vec<Bytes>) -> Result<(Vec<Named>, Form), MessageError> {
    let form = if raw.is_empty() && parts.iter().any(|p| p.3.is_some()) {
        Form::Typed
    } else {
        Form::Raw
    };
    if !raw.is_empty() && raw.len() != parts.len() {
        return Err(MessageError::RawCount {
            raw: raw.len(),
            tensors: parts.len(),
        });
    }
    let mut raw = raw.into_iter();
    let mut tensors: Vec<Named> = Vec::with_capacity(parts.len());
    for (name, datatype, shape, contents) in parts {
        if tensors.iter().any(|(n, _)| *n == name) {
            return Err(MessageError::tensor(&name, Problem::Twice));
        }
        let tensor = take_one(&datatype, &shape, contents, raw.next())
            .map_err(|problem| MessageError::tensor(&name, problem))?;
        tensors.push((name, tensor));
    }
    Ok((tensors, form))
}

fn take_one(
    datatype: &str,
    shape: &[i64],
    contents: Option<InferTensorContents>,
    raw: Option<Bytes>,
) -> Result<Tensor, Problem> {
    let element =
        ElementType::from_oip(datatype).ok_or_else(|| Problem::Datatype(datatype.to_owned()))?;
    let shape: Vec<usize> = shape
        .iter()
        .map(|d| usize::try_from(*d).map_err(|_| Problem::Shape(shape.to_vec())))
        .collect::<Result<_, _>>()?;
    match (raw, contents) {
        (Some(_), Some(c)) if c != InferTensorContents::default() => Err(Problem::Both),
        (Some(raw), _) => Ok(Tensor::from_raw(element, shape, raw)?),
        (None, contents) => from_contents(element, shape, contents.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;

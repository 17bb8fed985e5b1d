//! Tensors in and out of Open Inference Protocol messages.
//!
//! A request may carry its elements raw or in typed lists; both become a [`Tensor`], raw ones
//! without a copy. An answer is given in the form of the question ([`Form`]), so that a client
//! that writes JSON also reads JSON.

use std::collections::HashMap;

use bytes::Bytes;

use crate::inference::infer_parameter::ParameterChoice;
use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
};
use crate::tensor::{Element, Tensor, TensorError, element_count};
use crate::types::ElementType;

/// Names of the parameters with which a motet model service says what an answer cost.
pub mod cost {
    /// Time in the batcher's queue, in microseconds (`int64`).
    pub const QUEUE_US: &str = "motet.queue_us";
    /// Time of the forward passes that carried the call's rows, in microseconds (`int64`).
    pub const COMPUTE_US: &str = "motet.compute_us";
    /// Rows of the largest batch that the call's rows rode in (`int64`).
    pub const BATCH_ROWS: &str = "motet.batch_rows";
    /// Tokens of the largest batch that the call's rows rode in (`int64`).
    pub const BATCH_TOKENS: &str = "motet.batch_tokens";
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

/// Narrower integers travel in the 32-bit lists.
fn narrow<W: Copy + std::fmt::Display, T: Element + TryFrom<W>>(
    shape: Vec<usize>,
    values: Vec<W>,
) -> Result<Tensor, Problem> {
    let values = values
        .into_iter()
        .map(|v| T::try_from(v).map_err(|_| Problem::Range(v.to_string(), T::TYPE)))
        .collect::<Result<Vec<T>, _>>()?;
    Ok(Tensor::from_values(shape, values)?)
}

fn from_contents(
    element: ElementType,
    shape: Vec<usize>,
    c: InferTensorContents,
) -> Result<Tensor, Problem> {
    let filled = [
        ("bool_contents", c.bool_contents.len()),
        ("int_contents", c.int_contents.len()),
        ("int64_contents", c.int64_contents.len()),
        ("uint_contents", c.uint_contents.len()),
        ("uint64_contents", c.uint64_contents.len()),
        ("fp32_contents", c.fp32_contents.len()),
        ("fp64_contents", c.fp64_contents.len()),
        ("bytes_contents", c.bytes_contents.len()),
    ];
    let wanted = list_of(element).ok_or(Problem::OnlyRaw(element))?;
    if let Some((found, _)) = filled.iter().find(|(n, len)| *len > 0 && *n != wanted) {
        return Err(Problem::WrongList {
            found,
            wanted,
            element,
        });
    }
    let count = element_count(&shape)?;
    let found = filled.iter().find(|(n, _)| *n == wanted).map_or(0, |f| f.1);
    if found != count {
        return Err(Problem::Count {
            found,
            count,
            shape,
        });
    }
    Ok(match element {
        ElementType::Bool => Tensor::bools(&c.bool_contents).reshape(shape)?,
        ElementType::I8 => narrow::<i32, i8>(shape, c.int_contents)?,
        ElementType::I16 => narrow::<i32, i16>(shape, c.int_contents)?,
        ElementType::I32 => Tensor::from_values(shape, c.int_contents)?,
        ElementType::I64 => Tensor::from_values(shape, c.int64_contents)?,
        ElementType::U8 => narrow::<u32, u8>(shape, c.uint_contents)?,
        ElementType::U16 => narrow::<u32, u16>(shape, c.uint_contents)?,
        ElementType::U32 => Tensor::from_values(shape, c.uint_contents)?,
        ElementType::U64 => Tensor::from_values(shape, c.uint64_contents)?,
        ElementType::F32 => Tensor::from_values(shape, c.fp32_contents)?,
        ElementType::F64 => Tensor::from_values(shape, c.fp64_contents)?,
        ElementType::String | ElementType::Bytes => {
            Tensor::byte_strings(&c.bytes_contents).reshape(shape)?
        }
        ElementType::F16 | ElementType::BF16 => return Err(Problem::OnlyRaw(element)),
    })
}

/// The list of `contents` that holds elements of this type.
const fn list_of(element: ElementType) -> Option<&'static str> {
    Some(match element {
        ElementType::Bool => "bool_contents",
        ElementType::I8 | ElementType::I16 | ElementType::I32 => "int_contents",
        ElementType::I64 => "int64_contents",
        ElementType::U8 | ElementType::U16 | ElementType::U32 => "uint_contents",
        ElementType::U64 => "uint64_contents",
        ElementType::F32 => "fp32_contents",
        ElementType::F64 => "fp64_contents",
        ElementType::String | ElementType::Bytes => "bytes_contents",
        ElementType::F16 | ElementType::BF16 => return None,
    })
}

fn to_contents(t: &Tensor) -> Option<InferTensorContents> {
    fn widen<T: Element, W: From<T>>(t: &Tensor) -> Option<Vec<W>> {
        Some(t.values::<T>().ok()?.iter().map(|v| W::from(*v)).collect())
    }
    let mut c = InferTensorContents::default();
    match t.element() {
        ElementType::Bool => c.bool_contents = t.to_bools().ok()?,
        ElementType::I8 => c.int_contents = widen::<i8, _>(t)?,
        ElementType::I16 => c.int_contents = widen::<i16, _>(t)?,
        ElementType::I32 => c.int_contents = widen::<i32, _>(t)?,
        ElementType::I64 => c.int64_contents = widen::<i64, _>(t)?,
        ElementType::U8 => c.uint_contents = widen::<u8, _>(t)?,
        ElementType::U16 => c.uint_contents = widen::<u16, _>(t)?,
        ElementType::U32 => c.uint_contents = widen::<u32, _>(t)?,
        ElementType::U64 => c.uint64_contents = widen::<u64, _>(t)?,
        ElementType::F32 => c.fp32_contents = widen::<f32, _>(t)?,
        ElementType::F64 => c.fp64_contents = widen::<f64, _>(t)?,
        ElementType::String | ElementType::Bytes => {
            // Elements are slices of the tensor's own buffer.
            c.bytes_contents = t
                .as_strings()
                .ok()?
                .iter()
                .map(|s| t.data().slice_ref(s))
                .collect();
        }
        ElementType::F16 | ElementType::BF16 => return None,
    }
    Some(c)
}

/// A request or response parameter.
pub fn parameter(choice: impl Into<ParameterChoice>) -> InferParameter {
    InferParameter {
        parameter_choice: Some(choice.into()),
    }
}

impl From<bool> for ParameterChoice {
    fn from(v: bool) -> Self {
        Self::BoolParam(v)
    }
}

impl From<i64> for ParameterChoice {
    fn from(v: i64) -> Self {
        Self::Int64Param(v)
    }
}

impl From<u64> for ParameterChoice {
    fn from(v: u64) -> Self {
        Self::Uint64Param(v)
    }
}

impl From<f64> for ParameterChoice {
    fn from(v: f64) -> Self {
        Self::DoubleParam(v)
    }
}

impl From<&str> for ParameterChoice {
    fn from(v: &str) -> Self {
        Self::StringParam(v.to_owned())
    }
}

/// A parameter that must be a whole number, whichever way the client wrote it.
///
/// # Errors
/// When it is there and is none.
pub fn integer_parameter(
    parameters: &HashMap<String, InferParameter>,
    name: &str,
) -> Result<Option<i64>, MessageError> {
    let wrong = || MessageError::Parameter {
        name: name.to_owned(),
        wanted: "a whole number",
    };
    let Some(parameter) = parameters.get(name) else {
        return Ok(None);
    };
    match &parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(v)) => Ok(Some(*v)),
        Some(ParameterChoice::Uint64Param(v)) => i64::try_from(*v).map(Some).map_err(|_| wrong()),
        Some(ParameterChoice::StringParam(v)) => v.parse().map(Some).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// Why a message's tensors or parameters cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// One tensor is wrong.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Raw contents for some tensors but not for others.
    #[error("{raw} raw contents do not go with {tensors} tensors: give one for each, or none")]
    RawCount {
        /// Raw contents given.
        raw: usize,
        /// Tensors given.
        tensors: usize,
    },
    /// One parameter is wrong.
    #[error("parameter `{name}` must be {wanted}")]
    Parameter {
        /// Its name.
        name: String,
        /// What it must be.
        wanted: &'static str,
    },
}

impl MessageError {
    fn tensor(name: &str, problem: Problem) -> Self {
        Self::Tensor {
            name: name.to_owned(),
            problem,
        }
    }

    /// The tensor or parameter at fault.
    pub fn field(&self) -> &str {
        match self {
            Self::Tensor { name, .. } | Self::Parameter { name, .. } => name,
            Self::RawCount { .. } => "raw_input_contents",
        }
    }
}

/// What is wrong with one tensor of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not a datatype of the protocol.
    #[error("unknown datatype `{0}`")]
    Datatype(String),
    /// A length below zero.
    #[error("shape {0:?} has a negative length")]
    Shape(Vec<i64>),
    /// Given twice.
    #[error("given twice")]
    Twice,
    /// Elements both raw and in lists.
    #[error("has both contents and raw contents")]
    Both,
    /// The type has no list.
    #[error("{} elements must be raw", .0.oip_name())]
    OnlyRaw(ElementType),
    /// Elements in the list of another type.
    #[error("{} elements belong in {wanted}, not in {found}", element.oip_name())]
    WrongList {
        /// The list that is filled.
        found: &'static str,
        /// The list that should be.
        wanted: &'static str,
        /// The element type.
        element: ElementType,
    },
    /// More or fewer elements than the shape asks for.
    #[error("{found} elements do not fill shape {shape:?} of {count}")]
    Count {
        /// Elements given.
        found: usize,
        /// Elements that the shape asks for.
        count: usize,
        /// The shape.
        shape: Vec<usize>,
    },
    /// A number that does not fit the element type.
    #[error("{0} does not fit {oip}", oip = .1.oip_name())]
    Range(String, ElementType),
    /// The buffer is wrong.
    #[error(transparent)]
    Content(#[from] TensorError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
        InferInputTensor {
            name: name.to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
            ..Default::default()
        }
    }

    fn every_type() -> Vec<Tensor> {
        vec![
            Tensor::strings(["a", "é"])
                .into_text(ElementType::Bytes)
                .unwrap(),
            Tensor::bools(&[true, false]),
            Tensor::from_values(vec![2], vec![-1i8, 1]).unwrap(),
            Tensor::from_values(vec![2], vec![-1i16, 1]).unwrap(),
            Tensor::from_values(vec![1, 2], vec![-1i32, 1]).unwrap(),
            Tensor::from_values(vec![2], vec![-1i64, 1]).unwrap(),
            Tensor::from_values(vec![2], vec![1u8, 255]).unwrap(),
            Tensor::from_values(vec![2], vec![1u16, 2]).unwrap(),
            Tensor::from_values(vec![2], vec![1u32, 2]).unwrap(),
            Tensor::from_values(vec![2], vec![1u64, 2]).unwrap(),
            Tensor::from_values(vec![2, 1], vec![0.5f32, -0.5]).unwrap(),
            Tensor::from_values(vec![2], vec![0.5f64, -0.5]).unwrap(),
        ]
    }

    #[test]
    fn every_type_survives_both_forms() {
        for form in [Form::Raw, Form::Typed] {
            for t in every_type() {
                let mut response = ModelInferResponse::default();
                put_outputs(&mut response, [("x", &t)], form);
                assert_eq!(response.raw_output_contents.is_empty(), form == Form::Typed);
                assert_eq!(
                    take_outputs(&mut response).unwrap(),
                    [("x".to_owned(), t)],
                    "{form:?}"
                );
            }
        }
    }

    #[test]
    fn half_floats_are_always_raw() {
        let t = Tensor::from_values(vec![1], vec![half::f16::ONE]).unwrap();
        let mut response = ModelInferResponse::default();
        put_outputs(&mut response, [("x", &t)], Form::Typed);
        assert_eq!(response.raw_output_contents.len(), 1);
        assert_eq!(take_outputs(&mut response).unwrap()[0].1, t);
    }

    #[test]
    fn raw_contents_are_not_copied() {
        let t = Tensor::from_values(vec![2], vec![1f32, 2.0]).unwrap();
        let mut request = ModelInferRequest::default();
        put_inputs(&mut request, [("x", &t)]);
        let (tensors, form) = take_inputs(&mut request).unwrap();
        assert_eq!(form, Form::Raw);
        assert_eq!(tensors[0].1.data().as_ptr(), t.data().as_ptr());
    }

    #[test]
    fn a_scalar_is_a_list_of_one() {
        let mut request = ModelInferRequest::default();
        put_inputs(&mut request, [("x", &Tensor::scalar(1i64))]);
        assert_eq!(request.inputs[0].shape, [1]);
    }

    #[test]
    fn wrong_messages_name_the_tensor() {
        let contents = |c| {
            let mut t = input("x", "INT8", &[1]);
            t.contents = Some(c);
            t
        };
        let ints = |v: Vec<i32>| InferTensorContents {
            int_contents: v,
            ..Default::default()
        };
        let floats = InferTensorContents {
            fp32_contents: vec![1.0],
            ..Default::default()
        };
        for (inputs, raw, error) in [
            (
                vec![input("x", "TEXT", &[1])],
                0,
                "tensor `x`: unknown datatype `TEXT`",
            ),
            (
                vec![input("x", "INT8", &[-1])],
                0,
                "tensor `x`: shape [-1] has a negative length",
            ),
            (
                vec![input("x", "FP16", &[1])],
                0,
                "tensor `x`: FP16 elements must be raw",
            ),
            (
                vec![contents(floats)],
                0,
                "tensor `x`: INT8 elements belong in int_contents, not in fp32_contents",
            ),
            (
                vec![contents(ints(vec![300]))],
                0,
                "tensor `x`: 300 does not fit INT8",
            ),
            (
                vec![contents(ints(vec![1, 2]))],
                0,
                "tensor `x`: 2 elements do not fill shape [1] of 1",
            ),
            (
                vec![contents(ints(vec![1]))],
                1,
                "tensor `x`: has both contents and raw contents",
            ),
            (
                vec![input("x", "INT8", &[0]), input("x", "INT8", &[0])],
                0,
                "tensor `x`: given twice",
            ),
            (
                vec![input("x", "INT8", &[0])],
                2,
                "2 raw contents do not go with 1 tensors: give one for each, or none",
            ),
        ] {
            let mut request = ModelInferRequest {
                inputs,
                raw_input_contents: vec![Bytes::from_static(b"1"); raw],
                ..Default::default()
            };
            assert_eq!(take_inputs(&mut request).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn integers_come_in_several_clothes() {
        let parameters = HashMap::from([
            ("a".to_owned(), parameter(3i64)),
            ("b".to_owned(), parameter(3u64)),
            ("c".to_owned(), parameter("3")),
            ("d".to_owned(), parameter(true)),
        ]);
        for name in ["a", "b", "c"] {
            assert_eq!(integer_parameter(&parameters, name), Ok(Some(3)));
        }
        assert_eq!(integer_parameter(&parameters, "none"), Ok(None));
        assert_eq!(
            integer_parameter(&parameters, "d").unwrap_err().to_string(),
            "parameter `d` must be a whole number"
        );
    }
}

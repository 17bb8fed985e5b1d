//! One call of a model: the request made of a node's arguments, and its answer read back.

use std::time::Duration;

use bytes::Bytes;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::model_infer_request::InferRequestedOutputTensor;
use motet_proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{self, cost};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;
use motet_runtime::status::{self, Reason};
use prost::Message;
use tonic::Status;

use super::blame;
use super::context::Context;
use crate::check::{Argument, Length, Node, NodeOutput, Setting};
use crate::compute::{compute_here, copying};
use crate::scalar::Scalar;

/// The answer of a model: its tensors in the order of the node's outputs (`None` where nothing
/// reads them), and what it cost.
#[derive(Debug)]
pub(crate) struct ModelAnswer {
    /// The tensors.
    pub outputs: Vec<Option<Tensor>>,
    /// Time in the model's queue.
    pub queue: Duration,
    /// Time in the model's forward passes.
    pub compute: Duration,
    /// Rows of the largest batch that had some of them.
    pub batch_rows: usize,
    /// Cost of what the model computed for it.
    pub cost: u64,
    /// The unit of the cost; `None` is tokens.
    pub unit: Option<String>,
}

/// The request for `node` with these argument values and settings.
///
/// # Errors
/// When a value that must be text is not.
pub(crate) fn request(
    context: Context<'_>,
    node: &Node,
    arguments: Vec<Tensor>,
    settings: Vec<Scalar>,
) -> Result<ModelInferRequest, Status> {
    let bytes = arguments.iter().map(|argument| argument.data().len()).sum();
    let tensors = compute_here(copying(bytes), || {
        let mut tensors = Vec::with_capacity(arguments.len());
        for (index, (argument, value)) in node.inputs.iter().zip(arguments).enumerate() {
            let value = fit_argument(argument, value)
                .map_err(|why| blame::for_unfit(context, node, index, &why))?;
            tensors.push((argument.port.as_str(), value));
        }
        Ok::<_, Status>(tensors)
    })?;
    let mut request = ModelInferRequest {
        parameters: node
            .parameters
            .iter()
            .zip(&settings)
            .map(|(setting, value)| (setting.name.clone(), parameter(setting, value)))
            .collect(),
        ..Default::default()
    };
    if node.outputs.iter().any(|o| !o.used) {
        request.outputs = node
            .outputs
            .iter()
            .filter(|o| o.used)
            .map(|o| InferRequestedOutputTensor {
                name: o.name.clone(),
                ..Default::default()
            })
            .collect();
    }
    oip::put_inputs(&mut request, tensors.iter().map(|(name, t)| (*name, t)));
    Ok(request)
}

/// A value as its port takes it: text checked or declared to be bytes, a scalar made a list.
pub(crate) fn fit_argument(argument: &Argument, value: Tensor) -> Result<Tensor, String> {
    let value = if argument.check_utf8 || argument.element == ElementType::Bytes {
        value
            .into_text(argument.element)
            .map_err(|e| e.to_string())?
    } else {
        value
    };
    if !argument.single_row {
        return Ok(value);
    }
    let mut shape = vec![1];
    shape.extend_from_slice(value.shape());
    value.reshape(shape).map_err(|e| e.to_string())
}

fn parameter(setting: &Setting, value: &Scalar) -> InferParameter {
    oip::parameter(match value {
        Scalar::Bool(b) => ParameterChoice::from(*b),
        Scalar::Int(i) if setting.element.is_float() => ParameterChoice::from(*i as f64),
        Scalar::Int(i) => ParameterChoice::from(*i),
        Scalar::Float(x) => ParameterChoice::from(*x),
        Scalar::String(s) => ParameterChoice::from(s.as_str()),
    })
}

/// Reads what a model answered to `node`.
///
/// # Errors
/// INTERNAL when it is not what the model's signature promises; the model is at fault.
pub(crate) fn answer(node: &Node, response: ModelInferResponse) -> Result<ModelAnswer, Status> {
    let raw = response.raw_output_contents.iter().map(Bytes::len);
    let bytes = match response.raw_output_contents.is_empty() {
        true => response.encoded_len(),
        false => raw.sum(),
    };
    compute_here(copying(bytes), || read_answer(node, response))
}

fn read_answer(node: &Node, mut response: ModelInferResponse) -> Result<ModelAnswer, Status> {
    let bad = |why: String| -> Status {
        status::internal(format!("node {} got a wrong answer: {why}", node.name))
            .reason(Reason::BadAnswer)
            .node(&node.name)
            .into()
    };
    let parameters = std::mem::take(&mut response.parameters);
    let number = |name| {
        oip::integer_parameter(&parameters, name)
            .ok()
            .flatten()
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0)
    };
    let unit = match parameters
        .get(cost::UNIT)
        .map(|unit| &unit.parameter_choice)
    {
        Some(Some(ParameterChoice::StringParam(unit))) => Some(unit.clone()),
        _ => None,
    };
    let mut tensors = oip::take_outputs(&mut response).map_err(|e| bad(e.to_string()))?;
    let outputs = node
        .outputs
        .iter()
        .map(|produced| {
            if !produced.used {
                return Ok(None);
            }
            let at = tensors
                .iter()
                .position(|(name, _)| *name == produced.name)
                .ok_or_else(|| bad(format!("tensor `{}` is missing", produced.name)))?;
            let (name, tensor) = tensors.swap_remove(at);
            fit_answer(produced, tensor)
                .map(Some)
                .map_err(|why| bad(format!("tensor `{name}`: {why}")))
        })
        .collect::<Result<_, _>>()?;
    Ok(ModelAnswer {
        outputs,
        queue: Duration::from_micros(number(cost::QUEUE_US)),
        compute: Duration::from_micros(number(cost::COMPUTE_US)),
        batch_rows: usize::try_from(number(cost::BATCH_ROWS)).unwrap_or(usize::MAX),
        cost: number(if unit.is_some() {
            cost::COST
        } else {
            cost::TOKENS
        }),
        unit,
    })
}

/// An answer as it flows on in the pipeline: text checked, a list of one made a scalar again.
fn fit_answer(produced: &NodeOutput, tensor: Tensor) -> Result<Tensor, String> {
    let wanted = produced.ty.element;
    let tensor = match (tensor.element(), wanted) {
        (a, b) if a == b => tensor,
        (ElementType::Bytes, ElementType::String) => {
            tensor.into_text(wanted).map_err(|e| e.to_string())?
        }
        (found, wanted) => return Err(format!("elements are {found}, not {wanted}")),
    };
    // On the wire a scalar is a list of one.
    let scalar_on_the_wire = produced.ty.is_scalar() && tensor.shape() == [1];
    if !produced.single_row && !scalar_on_the_wire {
        return Ok(tensor);
    }
    match tensor.shape().split_first() {
        Some((1, rest)) => {
            let rest = rest.to_vec();
            tensor.reshape(rest).map_err(|e| e.to_string())
        }
        _ => Err(format!(
            "shape {:?} is not one row, though one was sent",
            tensor.shape()
        )),
    }
}

/// Rows that a call sends: the length of its first list, or 1.
pub(crate) fn rows(node: &Node, arguments: &[Tensor]) -> usize {
    node.inputs
        .iter()
        .zip(arguments)
        .filter(|(a, _)| !a.single_row && !a.ty.is_scalar())
        .map(|(_, t)| t.rows())
        .max()
        .unwrap_or(1)
}

/// Returns `true` if the node has nothing to do: a list whose length the request decides is empty,
/// and so every result is an empty list.
pub(crate) fn is_empty(node: &Node, arguments: &[Tensor]) -> bool {
    node.inputs.iter().zip(arguments).any(|(a, t)| {
        !a.single_row && matches!(a.ty.dims.first(), Some(Length::Symbol(_))) && t.rows() == 0
    })
}

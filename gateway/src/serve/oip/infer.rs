//! `ModelInfer` of a pipeline.

use std::sync::Arc;

use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{self, Encoding, Named, PRIORITY, TIMEOUT};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use prost::Message;
use tokio::time::Duration;
use tonic::Status;

use crate::compute::{compute, converting};
use crate::exec::{self, InputViolation};
use crate::serve::account::Account;
use crate::serve::pipeline::{Answer, Call, ServedPipeline};
use crate::serve::{output_selection, signature};

/// Returns the earlier of the deadline of the caller and that of the parameter `timeout`, which is
/// in microseconds.
pub(super) fn with_timeout_parameter(
    request: &ModelInferRequest,
    asked: Option<Deadline>,
) -> Result<Option<Deadline>, Status> {
    let timeout = oip::integer_parameter(&request.parameters, TIMEOUT).map_err(message_status)?;
    match timeout {
        None | Some(0) => Ok(asked),
        Some(us) => match u64::try_from(us) {
            Ok(us) => Ok(Some(
                Deadline::within(Duration::from_micros(us)).capped(asked),
            )),
            Err(_) => Err(status::invalid_argument(TIMEOUT, "must not be negative").into()),
        },
    }
}

/// Parameters of a request to a pipeline.
const PARAMETERS: [&str; 2] = [PRIORITY, TIMEOUT];
/// Parameters that clients of Triton add, which have no effect.
const IGNORED_PARAMETERS: [&str; 4] = [
    "binary_data_output",
    "sequence_end",
    "sequence_id",
    "sequence_start",
];

fn check_parameters(request: &ModelInferRequest) -> Result<(), Vec<InputViolation>> {
    let violations: Vec<InputViolation> = request
        .parameters
        .keys()
        .map(String::as_str)
        .filter(|name| !PARAMETERS.contains(name) && !IGNORED_PARAMETERS.contains(name))
        .filter(|name| !name.starts_with("triton_"))
        .map(|name| {
            let known = PARAMETERS.join(", ");
            InputViolation::invalid(
                name,
                format!("is not a parameter of a pipeline: there are {known}"),
            )
        })
        .collect();
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations)
    }
}

/// Returns the parameter `priority`.
fn priority(request: &ModelInferRequest) -> Result<Option<i64>, Status> {
    match oip::integer_parameter(&request.parameters, PRIORITY).map_err(message_status)? {
        Some(value) if value < 0 => {
            Err(status::invalid_argument(PRIORITY, "must not be negative").into())
        }
        priority => Ok(priority),
    }
}

fn message_status(error: oip::MessageError) -> Status {
    status::invalid_argument(error.field(), error.to_string()).into()
}

/// Runs a pipeline for a request of the protocol.
///
/// # Errors
/// INVALID_ARGUMENT with the violations of the request, or the error of the pipeline.
pub(super) async fn infer_pipeline(
    served: &Arc<ServedPipeline>,
    mut request: ModelInferRequest,
    deadline: Option<Deadline>,
    account: &Account,
) -> Result<ModelInferResponse, Status> {
    let pipeline = served.pipeline();
    let refused =
        |violations: Vec<InputViolation>| exec::violation_status(&pipeline.name, &violations);
    let deadline = with_timeout_parameter(&request, deadline)?;
    check_parameters(&request).map_err(refused)?;
    let names: Vec<String> = request.outputs.iter().map(|o| o.name.clone()).collect();
    let names = names.iter().map(String::as_str);
    let (columns, positions) = if request.outputs.is_empty() {
        (None, (0..served.signature.outputs.len()).collect())
    } else {
        let columns = output_selection::select(pipeline, names.clone()).map_err(refused)?;
        let positions = output_selection::positions(pipeline, names).map_err(refused)?;
        (Some(columns), positions)
    };
    let priority = priority(&request)?;
    let id = std::mem::take(&mut request.id);
    let (inputs, encoding) = read(served, request).await?;
    // Raw contents are slices of the message.
    if encoding == Encoding::Typed {
        account.hold(&inputs)?;
    }
    let call = Call {
        inputs,
        columns,
        deadline,
        priority,
    };
    let answer = served.call(call).await?;
    write(served, answer, id, positions, encoding).await
}

/// Takes the tensors out of a request. Large typed contents are decoded on a blocking thread; raw
/// contents are not copied.
async fn read(
    served: &Arc<ServedPipeline>,
    mut request: ModelInferRequest,
) -> Result<(Vec<Option<Tensor>>, Encoding), Status> {
    let bytes = contents_bytes(&request);
    let served = served.clone();
    compute(converting(bytes), move |_| {
        let (tensors, encoding) = oip::take_inputs(&mut request).map_err(message_status)?;
        let tensors = in_order(&served, tensors)
            .map_err(|violations| exec::violation_status(&served.pipeline().name, &violations))?;
        Ok((tensors, encoding))
    })
    .await?
}

/// Returns the number of bytes to decode: all but raw contents of fixed element size.
fn contents_bytes(request: &ModelInferRequest) -> usize {
    if request.raw_input_contents.is_empty() {
        return request.encoded_len();
    }
    let contents = request.inputs.iter().zip(&request.raw_input_contents);
    let texts = contents.filter(|(input, _)| input.datatype == ElementType::Bytes.oip_name());
    texts.map(|(_, contents)| contents.len()).sum()
}

/// Returns the response with the columns at `positions`, without absent ones.
async fn write(
    served: &Arc<ServedPipeline>,
    answer: Answer,
    id: String,
    positions: Vec<usize>,
    encoding: Encoding,
) -> Result<ModelInferResponse, Status> {
    let columns = answer.into_columns();
    let work = match encoding {
        Encoding::Raw => 0,
        Encoding::Typed => converting(columns.iter().flatten().map(|t| t.data().len()).sum()),
    };
    let served = served.clone();
    compute(work, move |_| {
        let pipeline = served.pipeline();
        let mut response = ModelInferResponse {
            model_name: pipeline.name.clone(),
            model_version: pipeline.version.to_string(),
            id,
            ..Default::default()
        };
        let named = positions.iter().filter_map(|&at| {
            let name = served.signature.outputs.get(at)?.name.as_str();
            Some((name, columns.get(at)?.as_ref()?))
        });
        oip::put_outputs(&mut response, named, encoding);
        response
    })
    .await
}

/// Returns the tensors of a request in the order of the inputs of the pipeline.
fn in_order(
    served: &ServedPipeline,
    tensors: Vec<Named>,
) -> Result<Vec<Option<Tensor>>, Vec<InputViolation>> {
    let inputs = &served.pipeline().inputs;
    let mut ordered = vec![None; inputs.len()];
    let mut violations = Vec::new();
    for (name, tensor) in tensors {
        let Some(at) = inputs.iter().position(|i| i.name == name) else {
            let known: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            let why = format!("is not an input: the inputs are {}", known.join(", "));
            violations.push(InputViolation::invalid(name, why));
            continue;
        };
        match signature::from_wire(tensor, inputs[at].ty.element, inputs[at].ty.rank()) {
            Ok(tensor) => ordered[at] = Some(tensor),
            Err(why) => violations.push(InputViolation::invalid(name, why)),
        }
    }
    if violations.is_empty() {
        Ok(ordered)
    } else {
        Err(violations)
    }
}

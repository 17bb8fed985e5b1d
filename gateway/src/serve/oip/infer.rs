//! A pipeline called as a model.

use std::sync::Arc;

use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{self, Named, PRIORITY, TIMEOUT};
use motet_proto::signature::Signature;
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tokio::time::Duration;
use tonic::Status;

use crate::exec::{self, Mistake, Terms, Wanted};
use crate::serve::registry::Served;
use crate::serve::signature;

/// The stricter of the caller's deadline and the request's `timeout` parameter, in microseconds.
pub(super) fn with_timeout_parameter(
    request: &ModelInferRequest,
    asked: Option<Deadline>,
) -> Result<Option<Deadline>, Status> {
    let timeout = oip::integer_parameter(&request.parameters, TIMEOUT).map_err(bad_message)?;
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

/// Parameters of a request to a pipeline. Triton's clients add some of their own, which ask for
/// nothing here.
const PARAMETERS: [&str; 2] = [PRIORITY, TIMEOUT];
const IGNORED_PARAMETERS: [&str; 4] = [
    "binary_data_output",
    "sequence_end",
    "sequence_id",
    "sequence_start",
];

fn known_parameters(request: &ModelInferRequest) -> Result<(), Vec<Mistake>> {
    let mistakes: Vec<Mistake> = request
        .parameters
        .keys()
        .map(String::as_str)
        .filter(|name| !PARAMETERS.contains(name) && !IGNORED_PARAMETERS.contains(name))
        .filter(|name| !name.starts_with("triton_"))
        .map(|name| {
            let known = PARAMETERS.join(", ");
            Mistake::wrong(
                name,
                format!("is not a parameter of a pipeline: there are {known}"),
            )
        })
        .collect();
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(mistakes)
    }
}

/// The request's `priority` parameter.
fn priority(request: &ModelInferRequest) -> Result<Option<i64>, Status> {
    match oip::integer_parameter(&request.parameters, PRIORITY).map_err(bad_message)? {
        Some(value) if value < 0 => {
            Err(status::invalid_argument(PRIORITY, "must not be negative").into())
        }
        priority => Ok(priority),
    }
}

fn bad_message(error: oip::MessageError) -> Status {
    status::invalid_argument(error.field(), error.to_string()).into()
}

/// Runs a pipeline for a request of the protocol.
///
/// # Errors
/// What is wrong with the request, or what went wrong with the pipeline.
pub(super) async fn infer_pipeline(
    served: &Arc<Served>,
    mut request: ModelInferRequest,
    asked: Option<Deadline>,
) -> Result<ModelInferResponse, Status> {
    let pipeline = &served.plan.pipeline;
    let refused = |mistakes: Vec<Mistake>| exec::refuse(&pipeline.name, &mistakes);
    known_parameters(&request).map_err(refused)?;
    let (tensors, form) = oip::take_inputs(&mut request).map_err(bad_message)?;
    let signature = signature::signature(pipeline);
    let asked_for: Vec<&str> = request.outputs.iter().map(|o| o.name.as_str()).collect();
    let places = places(&signature, &asked_for).map_err(refused)?;
    let mut columns = vec![asked_for.is_empty(); signature.outputs.len()];
    for place in &places {
        columns[*place] = true;
    }
    let tensors = in_order(served, tensors).map_err(refused)?;
    let inputs = exec::bind_inputs(&served.plan, tensors).map_err(refused)?;
    let terms = Terms {
        deadline: served.deadline(asked)?,
        priority: priority(&request)?,
    };
    let wanted = Wanted::Columns(&columns);
    let outcome = exec::run(&served.plan, inputs, wanted, terms).await?;
    let mut response = ModelInferResponse {
        model_name: pipeline.name.clone(),
        model_version: pipeline.version.to_string(),
        id: request.id,
        ..Default::default()
    };
    let tensors: Vec<Option<Tensor>> = outcome.outputs.into_iter().flatten().collect();
    // An absent output is left out.
    let named = places.iter().filter_map(|&at| {
        let name = signature.outputs.get(at)?.name.as_str();
        Some((name, tensors.get(at)?.as_ref()?))
    });
    oip::put_outputs(&mut response, named, form);
    Ok(response)
}

/// The tensors of a request in the pipeline's order.
fn in_order(served: &Served, tensors: Vec<Named>) -> Result<Vec<Option<Tensor>>, Vec<Mistake>> {
    let inputs = &served.plan.pipeline.inputs;
    let mut ordered = vec![None; inputs.len()];
    let mut mistakes = Vec::new();
    for (name, tensor) in tensors {
        let Some(at) = inputs.iter().position(|i| i.name == name) else {
            let known: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            let why = format!("is not an input: the inputs are {}", known.join(", "));
            mistakes.push(Mistake::wrong(name, why));
            continue;
        };
        match signature::from_wire(tensor, inputs[at].ty.element, inputs[at].ty.rank()) {
            Ok(tensor) => ordered[at] = Some(tensor),
            Err(why) => mistakes.push(Mistake::wrong(name, why)),
        }
    }
    if mistakes.is_empty() {
        Ok(ordered)
    } else {
        Err(mistakes)
    }
}

/// Where the outputs that a request asks for are, in its order; none named is all.
fn places(signature: &Signature, asked_for: &[&str]) -> Result<Vec<usize>, Vec<Mistake>> {
    if asked_for.is_empty() {
        return Ok((0..signature.outputs.len()).collect());
    }
    let mut mistakes = Vec::new();
    let mut places = Vec::with_capacity(asked_for.len());
    for name in asked_for {
        match signature.outputs.iter().position(|o| o.name == *name) {
            Some(at) => places.push(at),
            None => {
                let known: Vec<&str> = signature.outputs.iter().map(|o| o.name.as_str()).collect();
                let why = format!("is not an output: the outputs are {}", known.join(", "));
                mistakes.push(Mistake::wrong(*name, why));
            }
        }
    }
    if mistakes.is_empty() {
        Ok(places)
    } else {
        Err(mistakes)
    }
}

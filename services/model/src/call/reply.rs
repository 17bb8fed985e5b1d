//! The answer to a request.

use std::collections::HashMap;
use std::time::Duration;

use motet_proto::Tensor;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{Form, cost, parameter, put_outputs};
use motet_proto::signature::Signature;
use motet_runtime::status::invalid_arguments;
use tonic::Status;

use super::there_is;
use crate::task::Cost;

/// Output tensors by name, in the signature's order.
pub(crate) type Outputs = Vec<(&'static str, Tensor)>;

/// An answer that lacks only its tensors.
#[derive(Debug)]
pub(crate) struct Reply {
    response: ModelInferResponse,
    /// Outputs to send, in this order; all if empty.
    wanted: Vec<String>,
}

impl Reply {
    /// # Errors
    /// INVALID_ARGUMENT for outputs asked for that do not exist, or twice.
    pub(crate) fn open(
        (name, version): (&str, &str),
        request: &mut ModelInferRequest,
        signature: &Signature,
    ) -> Result<Self, Status> {
        let wanted: Vec<String> = request.outputs.iter().map(|o| o.name.clone()).collect();
        let mut mistakes = Vec::new();
        for (at, name) in wanted.iter().enumerate() {
            if signature.output(name).is_none() {
                let ports = signature.outputs.iter().map(|port| port.name.as_str());
                let hint = there_is(name, "output", ports);
                mistakes.push((name.clone(), format!("unknown output; {hint}")));
            } else if wanted[..at].contains(name) {
                mistakes.push((name.clone(), "asked for twice".to_owned()));
            }
        }
        if !mistakes.is_empty() {
            return Err(invalid_arguments(mistakes).into());
        }
        Ok(Self {
            response: ModelInferResponse {
                model_name: name.to_owned(),
                model_version: version.to_owned(),
                id: std::mem::take(&mut request.id),
                ..ModelInferResponse::default()
            },
            wanted,
        })
    }

    /// Puts the wanted tensors in.
    pub(crate) fn tensors(mut self, outputs: &Outputs, form: Form) -> ModelInferResponse {
        let named = |name: &String| outputs.iter().find(|(n, _)| n == name);
        let chosen: Vec<_> = if self.wanted.is_empty() {
            outputs.iter().collect()
        } else {
            self.wanted.iter().filter_map(named).collect()
        };
        let tensors = chosen.into_iter().map(|(name, tensor)| (*name, tensor));
        put_outputs(&mut self.response, tensors, form);
        self.response
    }
}

/// Says in an answer's parameters what it cost.
pub(crate) fn put_cost(parameters: &mut HashMap<String, InferParameter>, spent: &Cost) {
    let mut put = |name: &str, value: ParameterChoice| {
        parameters.insert(name.to_owned(), parameter(value));
    };
    put(cost::QUEUE_US, micros(spent.queue));
    put(cost::COMPUTE_US, micros(spent.infer));
    let Some(timing) = &spent.timing else { return };
    put(cost::BATCH_ROWS, whole(timing.batch_rows_max as u128));
    put(cost::BATCH_TOKENS, whole(timing.batch_tokens_max.into()));
    // A call without rows rode in no batch.
    if let Some(cause) = timing.cause {
        put(cost::WINDOW_US, micros(timing.deliberate_wait));
        let cause = cause.as_str().to_owned();
        put(cost::WINDOW_CAUSE, ParameterChoice::StringParam(cause));
    }
}

fn micros(time: Duration) -> ParameterChoice {
    whole(time.as_micros())
}

fn whole(value: u128) -> ParameterChoice {
    ParameterChoice::Int64Param(i64::try_from(value).unwrap_or(i64::MAX))
}

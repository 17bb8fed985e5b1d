//! The response to a request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use motet_proto::Tensor;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{Encoding, cost, parameter, put_outputs};
use motet_proto::signature::Signature;
use motet_runtime::status::invalid_arguments;
use tonic::Status;

use super::hint;
use crate::call_cost::CallCost;

/// Output tensors by name, in the signature's order.
pub(crate) type Outputs = Vec<(&'static str, Tensor)>;

/// A response that lacks only its tensors.
#[derive(Debug)]
pub(crate) struct ResponseBuilder {
    response: ModelInferResponse,
    /// Names of the outputs to send, in this order; all outputs if empty.
    wanted: Vec<String>,
}

impl ResponseBuilder {
    /// Reads which outputs a request wants, and takes its id.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for outputs that do not exist or are named twice.
    pub(crate) fn new(
        (name, version): (&str, &str),
        request: &mut ModelInferRequest,
        signature: &Signature,
    ) -> Result<Self, Status> {
        let wanted: Vec<String> = request.outputs.iter().map(|o| o.name.clone()).collect();
        let mut mistakes = Vec::new();
        for (at, name) in wanted.iter().enumerate() {
            if signature.output(name).is_none() {
                let ports = signature.outputs.iter().map(|port| port.name.as_str());
                let hint = hint(name, "output", ports);
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

    /// Returns the names of the outputs that are asked for; none if all are.
    pub(crate) fn wanted(&self) -> &[String] {
        &self.wanted
    }

    /// Returns the response with the wanted tensors, raw or typed as `form` says.
    pub(crate) fn build(
        mut self,
        outputs: &[(Cow<'static, str>, Tensor)],
        encoding: Encoding,
    ) -> ModelInferResponse {
        let named = |name: &String| outputs.iter().find(|(n, _)| n == name);
        let chosen: Vec<_> = if self.wanted.is_empty() {
            outputs.iter().collect()
        } else {
            self.wanted.iter().filter_map(named).collect()
        };
        let tensors = chosen.into_iter().map(|(name, tensor)| (&**name, tensor));
        put_outputs(&mut self.response, tensors, encoding);
        self.response
    }
}

/// Writes what a call cost into the parameters of its response.
pub(crate) fn write_cost(parameters: &mut HashMap<String, InferParameter>, spent: &CallCost) {
    let mut put = |name: &str, value: ParameterChoice| {
        parameters.insert(name.to_owned(), parameter(value));
    };
    put(cost::QUEUE_US, micros(spent.queue));
    put(cost::COMPUTE_US, micros(spent.infer));
    let Some(timing) = &spent.timing else {
        return;
    };
    let (of_call, of_batch) = match spent.unit {
        cost::UNIT_TOKENS => (cost::TOKENS, cost::BATCH_TOKENS),
        unit => {
            put(cost::UNIT, ParameterChoice::StringParam(unit.to_owned()));
            (cost::COST, cost::BATCH_COST)
        }
    };
    put(of_call, integer(spent.cost as u128));
    if spent.rows_reused > 0 {
        put(cost::ROWS_REUSED, integer(spent.rows_reused as u128));
    }
    put(cost::BATCH_ROWS, integer(timing.batch_rows_max as u128));
    put(of_batch, integer(timing.batch_tokens_max.into()));
    // A call without rows was in no batch.
    if let Some(cause) = timing.cause {
        put(cost::WINDOW_US, micros(timing.deliberate_wait));
        let cause = cause.as_str().to_owned();
        put(cost::WINDOW_CAUSE, ParameterChoice::StringParam(cause));
    }
}

fn micros(time: Duration) -> ParameterChoice {
    integer(time.as_micros())
}

fn integer(value: u128) -> ParameterChoice {
    ParameterChoice::Int64Param(i64::try_from(value).unwrap_or(i64::MAX))
}

//! Parameters of requests and responses.

use std::collections::HashMap;

use super::error::MessageError;
use crate::inference::InferParameter;
use crate::inference::infer_parameter::ParameterChoice;

/// Name of the request parameter for the urgency of the request (`int64`): 0 is the default and as
/// urgent as 1; larger numbers are less urgent.
pub const PRIORITY: &str = "priority";

/// Name of the request parameter for the longest time that the request may take (`int64`,
/// microseconds); 0 is no limit.
pub const TIMEOUT: &str = "timeout";

/// Name of the response parameter that says how logits became the scores of a classifier or a
/// reranker (`string`): `raw`, `sigmoid` or `softmax`.
pub const SCORE_KIND: &str = "score_kind";

/// Creates a parameter.
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

/// Returns an integer parameter, which clients write as `int64`, `uint64` or string; `None` if it
/// is not set.
///
/// # Errors
/// When it is set and not an integer that fits 64 bits with sign.
pub fn integer_parameter(
    parameters: &HashMap<String, InferParameter>,
    name: &str,
) -> Result<Option<i64>, MessageError> {
    let wrong = || MessageError::Parameter {
        name: name.to_owned(),
        wanted: "an integer",
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

/// Returns a boolean parameter, which clients write as `bool` or as a string; `None` if it is not
/// set.
///
/// # Errors
/// When it is set and neither true nor false.
pub fn boolean_parameter(
    parameters: &HashMap<String, InferParameter>,
    name: &str,
) -> Result<Option<bool>, MessageError> {
    let Some(parameter) = parameters.get(name) else {
        return Ok(None);
    };
    match &parameter.parameter_choice {
        Some(ParameterChoice::BoolParam(v)) => Some(*v),
        Some(ParameterChoice::StringParam(v)) => v.parse().ok(),
        _ => None,
    }
    .map(Some)
    .ok_or_else(|| MessageError::Parameter {
        name: name.to_owned(),
        wanted: "true or false",
    })
}

/// Returns a string parameter; `None` if it is not set.
///
/// # Errors
/// When it is set and not a string.
pub fn string_parameter<'p>(
    parameters: &'p HashMap<String, InferParameter>,
    name: &str,
) -> Result<Option<&'p str>, MessageError> {
    let Some(parameter) = parameters.get(name) else {
        return Ok(None);
    };
    match &parameter.parameter_choice {
        Some(ParameterChoice::StringParam(v)) => Ok(Some(v)),
        _ => Err(MessageError::Parameter {
            name: name.to_owned(),
            wanted: "a string",
        }),
    }
}

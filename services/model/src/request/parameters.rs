//! The parameters of a request: how the call is to be treated, and settings of the task.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use motet_batcher::{ExpectedRows, Lookahead, Priority};
use motet_config::{list_of, truncated};
use motet_proto::inference::InferParameter;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::lookahead::{REQUEST, SEQUEL_ROWS, SEQUEL_US};
use motet_proto::oip::{PRIORITY, TIMEOUT, boolean_parameter, integer_parameter, string_parameter};
use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::ElementType;
use motet_runtime::deadline::Deadline;
use motet_runtime::status::invalid_arguments;
use tonic::Status;

use super::hint;

/// Triton's clients ask with it that the last response of a request in a stream is marked.
const EMPTY_FINAL_RESPONSE: &str = "triton_enable_empty_final_response";

/// The largest [`PRIORITY`] that is interactive.
const INTERACTIVE_MAX: i64 = 1;

/// The parameters of a request, read and checked.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    /// When the response is due.
    pub(crate) deadline: Option<Deadline>,
    /// How urgent the call is.
    pub(crate) priority: Priority,
    request: Option<u64>,
    sequel_rows: Option<usize>,
    sequel_within: Option<Duration>,
    /// Parameters of the signature.
    task: BTreeMap<String, Value>,
}

/// Value of a parameter of the signature.
#[derive(Debug)]
enum Value {
    Integer(i64),
    Boolean(bool),
    Text(String),
}

impl Parameters {
    /// Reads the parameters of a request. `deadline` is that of the call's headers; the earlier of
    /// it and the parameter `timeout` holds.
    ///
    /// # Errors
    /// INVALID_ARGUMENT that lists every parameter that is unknown, not of its type, out of range,
    /// or none of the words that it takes.
    pub(crate) fn read(
        parameters: &HashMap<String, InferParameter>,
        signature: &Signature,
        deadline: Option<Deadline>,
    ) -> Result<Self, Status> {
        let mut read = Self {
            deadline,
            ..Self::default()
        };
        let mut mistakes = BTreeMap::new();
        for name in parameters.keys() {
            let one = read.read_one(name, parameters, signature);
            mistakes.extend(one.err().map(|mistake| (name.clone(), mistake)));
        }
        if mistakes.is_empty() {
            Ok(read)
        } else {
            Err(invalid_arguments(mistakes).into())
        }
    }

    fn read_one(
        &mut self,
        name: &str,
        parameters: &HashMap<String, InferParameter>,
        signature: &Signature,
    ) -> Result<(), String> {
        if name == EMPTY_FINAL_RESPONSE {
            return Ok(());
        }
        if let Some(parameter) = signature.parameter(name) {
            let value = task_value(parameter, parameters)?;
            self.task.insert(name.to_owned(), value);
            return Ok(());
        }
        if ![PRIORITY, TIMEOUT, REQUEST, SEQUEL_ROWS, SEQUEL_US].contains(&name) {
            let known = signature.parameters.iter().map(|p| p.name.as_str());
            let hint = hint(name, "parameter", known.chain([PRIORITY, TIMEOUT]));
            return Err(format!("unknown parameter; {hint}"));
        }
        let value = integer_in(0..=i64::MAX, name, parameters)?;
        match name {
            PRIORITY if value > INTERACTIVE_MAX => self.priority = Priority::Bulk,
            PRIORITY => {}
            TIMEOUT if value == 0 => {}
            TIMEOUT => {
                let timeout = Duration::from_micros(value.unsigned_abs());
                self.deadline = Some(Deadline::within(timeout).capped(self.deadline));
            }
            REQUEST => self.request = Some(value.unsigned_abs()),
            SEQUEL_ROWS => self.sequel_rows = usize::try_from(value).ok(),
            _ => self.sequel_within = Some(Duration::from_micros(value.unsigned_abs())),
        }
        Ok(())
    }

    /// Announces the rows of later calls of the same request.
    pub(crate) fn lookahead(&self) -> Lookahead {
        let sequel = self.sequel_rows.zip(self.sequel_within);
        Lookahead {
            request: self.request,
            expected: sequel.map(|(rows, within)| ExpectedRows { rows, within }),
        }
    }

    /// Returns the value of an integer parameter of the signature, if the request gives it. Ranges
    /// in a signature begin at 0 or above.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        match self.task.get(name)? {
            Value::Integer(value) => Some(usize::try_from(*value).unwrap_or_default()),
            Value::Boolean(_) | Value::Text(_) => None,
        }
    }

    /// Returns the value of a boolean parameter of the signature, if the request gives it.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.task.get(name)? {
            Value::Boolean(value) => Some(*value),
            Value::Integer(_) | Value::Text(_) => None,
        }
    }

    /// Returns the value of a string parameter of the signature, if the request gives it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.task.get(name)? {
            Value::Text(value) => Some(value),
            Value::Integer(_) | Value::Boolean(_) => None,
        }
    }
}

/// Reads a parameter of the signature. A signature has integers, booleans and strings.
fn task_value(
    parameter: &Parameter,
    parameters: &HashMap<String, InferParameter>,
) -> Result<Value, String> {
    let name = &parameter.name;
    match parameter.ty.element {
        ElementType::Bool => {
            let value = boolean_parameter(parameters, name).map_err(|error| error.to_string())?;
            Ok(Value::Boolean(value.unwrap_or_default()))
        }
        ElementType::String => {
            let value = string_parameter(parameters, name).map_err(|error| error.to_string())?;
            let value = value.unwrap_or_default();
            let words = &parameter.one_of;
            if !words.is_empty() && !words.iter().any(|word| word == value) {
                let (value, words) = (truncated(value), list_of(words));
                return Err(format!("is `{value}`, must be one of {words}"));
            }
            Ok(Value::Text(value.to_owned()))
        }
        _ => {
            let least = parameter.min.unwrap_or(i64::MIN);
            let range = least..=parameter.max.unwrap_or(i64::MAX);
            integer_in(range, name, parameters).map(Value::Integer)
        }
    }
}

/// Reads an integer and checks its range.
fn integer_in(
    range: RangeInclusive<i64>,
    name: &str,
    parameters: &HashMap<String, InferParameter>,
) -> Result<i64, String> {
    let value = integer_parameter(parameters, name).map_err(|error| error.to_string())?;
    let value = value.unwrap_or_default();
    if range.contains(&value) {
        return Ok(value);
    }
    Err(match (range.start(), range.end()) {
        (least, &i64::MAX) => format!("is {value}, must be at least {least}"),
        (least, most) => format!("is {value}, must be between {least} and {most}"),
    })
}

/// Returns whether the request asks that the last response to it in a stream is marked as such.
pub(crate) fn wants_final_response(parameters: &HashMap<String, InferParameter>) -> bool {
    let parameter = parameters.get(EMPTY_FINAL_RESPONSE);
    let choice = parameter.and_then(|parameter| parameter.parameter_choice.as_ref());
    matches!(choice, Some(ParameterChoice::BoolParam(true)))
}

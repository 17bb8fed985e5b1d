//! The parameters of a request: how the call is to be treated, and settings of the task.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use motet_batcher::{ExpectedRows, Lookahead, Priority};
use motet_proto::inference::InferParameter;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::lookahead::{REQUEST, SEQUEL_ROWS, SEQUEL_US};
use motet_proto::oip::{PRIORITY, TIMEOUT, integer_parameter};
use motet_proto::signature::Signature;
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
    task: BTreeMap<String, i64>,
}

impl Parameters {
    /// Reads the parameters of a request. `deadline` is that of the call's headers; the earlier of
    /// it and the parameter `timeout` holds.
    ///
    /// # Errors
    /// INVALID_ARGUMENT that lists every parameter that is unknown, not an integer, or out of
    /// range.
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
        let known = signature.parameters.iter().map(|p| p.name.as_str());
        let range = match (name, signature.parameter(name)) {
            (_, Some(parameter)) => {
                parameter.min.unwrap_or(i64::MIN)..=parameter.max.unwrap_or(i64::MAX)
            }
            (PRIORITY | TIMEOUT | REQUEST | SEQUEL_ROWS | SEQUEL_US, None) => 0..=i64::MAX,
            _ => {
                let known = known.chain([PRIORITY, TIMEOUT]);
                let hint = hint(name, "parameter", known);
                return Err(format!("unknown parameter; {hint}"));
            }
        };
        let value = integer_parameter(parameters, name).map_err(|error| error.to_string())?;
        let value = value.unwrap_or_default();
        if !range.contains(&value) {
            return Err(match (range.start(), range.end()) {
                (least, &i64::MAX) => format!("is {value}, must be at least {least}"),
                (least, most) => format!("is {value}, must be between {least} and {most}"),
            });
        }
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
            SEQUEL_US => self.sequel_within = Some(Duration::from_micros(value.unsigned_abs())),
            _ => {
                self.task.insert(name.to_owned(), value);
            }
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

    /// Returns the value of a parameter of the signature, if the request gives it. Ranges in a
    /// signature begin at 0 or above.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        let value = self.task.get(name)?;
        Some(usize::try_from(*value).unwrap_or_default())
    }
}

/// Returns whether the request asks that the last response to it in a stream is marked as such.
pub(crate) fn wants_final_response(parameters: &HashMap<String, InferParameter>) -> bool {
    let parameter = parameters.get(EMPTY_FINAL_RESPONSE);
    let choice = parameter.and_then(|parameter| parameter.parameter_choice.as_ref());
    matches!(choice, Some(ParameterChoice::BoolParam(true)))
}

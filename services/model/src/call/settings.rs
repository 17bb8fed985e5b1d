//! Parameters of a request: how it is to be treated, and what the task is told.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use motet_batcher::{ExpectedRows, Lookahead, Priority};
use motet_proto::inference::InferParameter;
use motet_proto::oip::lookahead::{REQUEST, SEQUEL_ROWS, SEQUEL_US};
use motet_proto::oip::{PRIORITY, TIMEOUT, integer_parameter};
use motet_proto::signature::Signature;
use motet_runtime::deadline::Deadline;
use motet_runtime::status::invalid_arguments;
use tonic::Status;

use super::there_is;

/// Triton's clients ask for a last, empty answer of a stream with it. Here each request has one answer.
pub(crate) const EMPTY_FINAL_RESPONSE: &str = "triton_enable_empty_final_response";

/// The highest number of [`PRIORITY`] that somebody waits for.
const INTERACTIVE_MAX: i64 = 1;

/// What a request's parameters say.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// When the answer must be there.
    pub(crate) deadline: Option<Deadline>,
    /// How urgent it is.
    pub(crate) priority: Priority,
    request: Option<u64>,
    sequel_rows: Option<usize>,
    sequel_within: Option<Duration>,
    given: BTreeMap<String, i64>,
}

impl Settings {
    /// `deadline` is the call's own, from its headers; a shorter `timeout` wins.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with every parameter that is unknown, no whole number, or out of range.
    pub(crate) fn read(
        parameters: &HashMap<String, InferParameter>,
        signature: &Signature,
        deadline: Option<Deadline>,
    ) -> Result<Self, Status> {
        let mut settings = Self {
            deadline,
            ..Self::default()
        };
        let mut mistakes = BTreeMap::new();
        for name in parameters.keys() {
            let read = settings.read_one(name, parameters, signature);
            mistakes.extend(read.err().map(|mistake| (name.clone(), mistake)));
        }
        if mistakes.is_empty() {
            Ok(settings)
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
                let hint = there_is(name, "parameter", known);
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
                self.given.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    /// What the request says of calls that will follow.
    pub(crate) fn lookahead(&self) -> Lookahead {
        let sequel = self.sequel_rows.zip(self.sequel_within);
        Lookahead {
            request: self.request,
            expected: sequel.map(|(rows, within)| ExpectedRows { rows, within }),
        }
    }

    /// What the request says for a parameter of the signature. Counts are never negative there.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        let value = self.given.get(name)?;
        Some(usize::try_from(*value).unwrap_or_default())
    }
}

//! Requests by line, and what is printed of their answers: pure bookkeeping.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Key with the identity of a request, in a line and in its answer.
pub(super) const REQUEST_ID: &str = "request_id";
/// Key with the error of a line that has no answer.
const ERROR: &str = "error";

/// Lines that were read and are not printed yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Identities of requests in flight, by the number of their line.
    in_flight: BTreeMap<u64, Value>,
    /// Results that wait for those of earlier lines; unused where any order will do.
    waiting: BTreeMap<u64, String>,
    /// The first line whose result is not printed; `None` where any order will do.
    next: Option<u64>,
    /// Number of answers.
    pub(super) answers: u64,
    /// Number of errors.
    pub(super) errors: u64,
}

/// Error of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineError {
    /// Name of the code, such as `INVALID_ARGUMENT`.
    pub(super) code: &'static str,
    /// Reason.
    pub(super) message: String,
    /// The node that failed.
    pub(super) node: Option<String>,
}

impl Lines {
    /// Returns lines whose results are printed in order, or as they come.
    pub(super) fn new(ordered: bool) -> Self {
        Self {
            next: ordered.then_some(1),
            ..Self::default()
        }
    }

    /// Begins a line, whose result is to follow.
    pub(super) fn begin(&mut self, line: u64) {
        self.in_flight.insert(line, json!(line));
    }

    /// Passes over a line that is empty and has no result.
    pub(super) fn skip(&mut self, line: u64) {
        if self.next.is_some() {
            self.waiting.insert(line, String::new());
        }
    }

    /// Reads a line with a JSON object, which is in flight then. Returns its inputs.
    ///
    /// # Errors
    /// When it is no object. The line is in flight all the same, until its error is added.
    pub(super) fn read(&mut self, line: u64, text: &str) -> Result<Map<String, Value>, LineError> {
        self.begin(line);
        let mut inputs: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
            // Of a text of one line, the column is the place.
            let (column, words) = (error.column(), error.to_string());
            let reason = words.split(" at line").next().unwrap_or_default();
            LineError::of_input(format!("line {line}, column {column}: {reason}"))
        })?;
        if let Some(id) = inputs.remove(REQUEST_ID) {
            self.in_flight.insert(line, id);
        }
        Ok(inputs)
    }

    /// Adds the answer of a line. Returns the text to print now.
    pub(super) fn answered(&mut self, line: u64, outputs: Map<String, Value>) -> String {
        self.answers += 1;
        self.add(line, outputs)
    }

    /// Adds the error of a line. Returns the text to print now.
    pub(super) fn failed(&mut self, line: u64, error: &LineError) -> String {
        self.errors += 1;
        let mut object = json!({ "code": error.code, "message": error.message });
        if let (Some(node), Some(object)) = (&error.node, object.as_object_mut()) {
            object.insert("node".to_owned(), json!(node));
        }
        self.add(line, Map::from_iter([(ERROR.to_owned(), object)]))
    }

    /// Returns the lines in flight.
    pub(super) fn in_flight(&self) -> Vec<u64> {
        self.in_flight.keys().copied().collect()
    }

    fn add(&mut self, line: u64, mut result: Map<String, Value>) -> String {
        let Some(id) = self.in_flight.remove(&line) else {
            // A second answer to one request is not one.
            return String::new();
        };
        result.insert(REQUEST_ID.to_owned(), id);
        let text = format!("{}\n", Value::Object(result));
        let Some(next) = &mut self.next else {
            return text;
        };
        self.waiting.insert(line, text);
        let mut ready = String::new();
        while let Some(text) = self.waiting.remove(next) {
            ready.push_str(&text);
            *next += 1;
        }
        ready
    }
}

impl LineError {
    /// Returns the error of a line that cannot be a request.
    pub(super) fn of_input(message: String) -> Self {
        Self {
            code: "INVALID_ARGUMENT",
            message,
            node: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(n: i64) -> Map<String, Value> {
        Map::from_iter([("n".to_owned(), json!(n))])
    }

    #[test]
    fn results_come_in_any_order_or_in_that_of_the_lines() {
        for (ordered, expected) in [(false, ["3", "1", "2"]), (true, ["", "1", "23"])] {
            let mut lines = Lines::new(ordered);
            for line in 1..=3 {
                let inputs = lines.read(line, r#"{"a": [1]}"#).expect("an object");
                assert_eq!(json!(inputs), json!({"a": [1]}));
            }
            assert_eq!(lines.in_flight(), [1, 2, 3]);
            let printed = [3, 1, 2].map(|line| lines.answered(line, outputs(line as i64)));
            for (printed, lines) in printed.into_iter().zip(expected) {
                let line = |n| format!("{{\"n\":{n},\"request_id\":{n}}}\n");
                let expected: String = lines.chars().map(line).collect();
                assert_eq!(printed, expected, "{ordered}");
            }
            assert_eq!((lines.answers, lines.errors), (3, 0));
            assert!(lines.in_flight().is_empty());
        }
    }

    #[test]
    fn empty_lines_hold_nothing_up() {
        let mut lines = Lines::new(true);
        lines.skip(1);
        lines.begin(2);
        lines.skip(3);
        lines.begin(4);
        assert_eq!(lines.answered(4, outputs(4)), "");
        let both = "{\"n\":2,\"request_id\":2}\n{\"n\":4,\"request_id\":4}\n";
        assert_eq!(lines.answered(2, outputs(2)), both);
    }

    #[test]
    fn a_line_keeps_its_own_identity() {
        let mut lines = Lines::new(false);
        let inputs = lines.read(1, r#"{"request_id": "x", "a": 1}"#);
        assert_eq!(inputs.map(Value::Object), Ok(json!({"a": 1})));
        assert_eq!(
            lines.answered(1, outputs(7)),
            "{\"n\":7,\"request_id\":\"x\"}\n"
        );
        assert_eq!(lines.answered(1, outputs(7)), "", "once");
    }

    #[test]
    fn a_line_that_is_no_object_is_an_error_with_its_place() {
        for (text, place) in [
            ("{\"a\": }", "line 1, column 7: expected value"),
            (
                "[1]",
                "line 1, column 0: invalid type: sequence, expected a map",
            ),
            ("{\"a\": 1", "line 1, column 7: EOF while parsing an object"),
            ("{} {}", "line 1, column 4: trailing characters"),
        ] {
            let mut lines = Lines::new(true);
            let error = lines.read(1, text).expect_err(text);
            assert_eq!(error.message, place);
            let printed: Value = serde_json::from_str(&lines.failed(1, &error)).expect("JSON");
            let expected = json!({
                "error": { "code": "INVALID_ARGUMENT", "message": place },
                "request_id": 1,
            });
            assert_eq!(printed, expected);
        }
    }
}

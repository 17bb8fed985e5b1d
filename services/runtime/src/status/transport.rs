//! Errors that are found before a handler runs: no such method, bytes that are no message.

use tonic::{Code, Status};

use super::{Reason, StatusBuilder, invalid_argument};

/// The server has no method at `path` (`/package.Service/Method`).
pub fn unknown_method(path: &str) -> StatusBuilder {
    StatusBuilder::new(
        Reason::UnknownMethod,
        format!("this server has no method {path}; reflection lists those it has"),
    )
}

/// The request cannot be decoded; `error` is the text of prost's `DecodeError`.
pub fn malformed_message(error: &str) -> StatusBuilder {
    let what = error
        .strip_prefix("failed to decode Protobuf message: ")
        .unwrap_or(error);
    let (field, description) = field_path(what);
    let description = format!("the bytes are not a valid message: {description}");
    invalid_argument(field, description).reason(Reason::MalformedMessage)
}

/// The message would take too much once decoded; `error` says what.
pub fn undecoded_message(error: &str) -> StatusBuilder {
    StatusBuilder::new(Reason::ExpansionLimit, error)
}

/// A message over its limit, as tonic tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// `true` for a message that was to be sent, `false` for one that arrived.
    pub is_outgoing: bool,
    /// Its bytes.
    pub bytes: usize,
    /// The limit, in bytes.
    pub limit: usize,
}

/// Reads tonic's words for a message over its limit, which it calls OUT_OF_RANGE and gives no
/// details. `None` for any other error.
pub fn oversized(status: &Status) -> Option<Oversized> {
    if status.code() != Code::OutOfRange || !status.details().is_empty() {
        return None;
    }
    let what = status.message().strip_prefix("Error, ")?;
    let (direction, sizes) = what.split_once(" message length too large: found ")?;
    let (bytes, rest) = sizes.split_once(" bytes, the limit is: ")?;
    Some(Oversized {
        is_outgoing: direction == "encoded",
        bytes: bytes.parse().ok()?,
        limit: rest.strip_suffix(" bytes")?.parse().ok()?,
    })
}

/// Splits prost's `Inner.b: Outer.a: the error` into the path `a.b` and the error. prost names the
/// innermost field first.
fn field_path(text: &str) -> (String, &str) {
    let mut fields = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once(": ") {
        match head.split_once('.') {
            Some((message, field)) if is_name(message) && is_name(field) => fields.push(field),
            _ => break,
        }
        rest = tail;
    }
    fields.reverse();
    let path = if fields.is_empty() {
        "request".to_owned()
    } else {
        fields.join(".")
    };
    (path, rest)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_prost_messages() {
        for (text, expected) in [
            ("invalid varint", ("request", "invalid varint")),
            (
                "HealthCheckRequest.service: invalid string value: data is not UTF-8 encoded",
                ("service", "invalid string value: data is not UTF-8 encoded"),
            ),
            (
                "InferTensor.name: ModelInferRequest.inputs: invalid wire type: Varint (expected \
                 LengthDelimited)",
                (
                    "inputs.name",
                    "invalid wire type: Varint (expected LengthDelimited)",
                ),
            ),
            ("", ("request", "")),
        ] {
            let (path, rest) = field_path(text);
            assert_eq!((path.as_str(), rest), expected, "{text}");
        }
    }
}

//! Failures of calls, and of rows.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Failure of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Code of gRPC.
    pub code: Code,
    /// Message.
    pub message: String,
    /// The node of the pipeline that failed, where one did.
    pub node: Option<String>,
    /// When the server wants to be asked again (`RetryInfo`).
    pub retry_after: Option<Duration>,
}

/// Error of a row, as it is written beside the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    /// Name of the code, such as `INVALID_ARGUMENT`.
    pub code: Code,
    /// Message.
    pub message: String,
    /// The node of the pipeline that failed, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Number of calls that failed for the row's sake; 0 for a row that was never sent. Calls that
    /// a server refused because it was away or full do not count: what is written does not depend
    /// on them.
    pub attempts: u32,
}

impl Failure {
    /// Returns a failure without further details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            node: None,
            retry_after: None,
        }
    }

    /// Returns the error of a row after this many attempts.
    pub fn after(self, attempts: u32) -> RowError {
        RowError {
            code: self.code,
            message: self.message,
            node: self.node,
            attempts,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Makes [`Code`] of a list of codes of gRPC, each with its number and name.
macro_rules! codes {
    ($($code:ident = $number:literal $name:literal,)*) => {
        /// Codes of gRPC, other than OK.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(
                #[doc = concat!("`", $name, "`, ", stringify!($number), ".")]
                #[serde(rename = $name)]
                $code,
            )*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// Returns the name, such as `INVALID_ARGUMENT`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }

            /// Returns the code of a number; `UNKNOWN` of one that gRPC does not have.
            pub const fn of_number(number: i32) -> Self {
                match number {
                    $($number => Self::$code,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}

codes! {
    Cancelled = 1 "CANCELLED",
    Unknown = 2 "UNKNOWN",
    InvalidArgument = 3 "INVALID_ARGUMENT",
    DeadlineExceeded = 4 "DEADLINE_EXCEEDED",
    NotFound = 5 "NOT_FOUND",
    AlreadyExists = 6 "ALREADY_EXISTS",
    PermissionDenied = 7 "PERMISSION_DENIED",
    ResourceExhausted = 8 "RESOURCE_EXHAUSTED",
    FailedPrecondition = 9 "FAILED_PRECONDITION",
    Aborted = 10 "ABORTED",
    OutOfRange = 11 "OUT_OF_RANGE",
    Unimplemented = 12 "UNIMPLEMENTED",
    Internal = 13 "INTERNAL",
    Unavailable = 14 "UNAVAILABLE",
    DataLoss = 15 "DATA_LOSS",
    Unauthenticated = 16 "UNAUTHENTICATED",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_row_is_written_and_read() {
        let failure = Failure {
            node: Some("d".to_owned()),
            ..Failure::new(Code::Internal, "not finite")
        };
        let text = serde_json::to_string(&failure.after(3)).unwrap();
        let expected = r#"{"code":"INTERNAL","message":"not finite","node":"d","attempts":3}"#;
        assert_eq!(text, expected);
        let read: RowError = serde_json::from_str(&text).unwrap();
        assert_eq!(read.code, Code::Internal);
        assert_eq!(Code::of_number(14), Code::Unavailable);
        assert_eq!(Code::of_number(77), Code::Unknown);
    }
}

//! Why a call has no answer.

use motet_runtime::status::code_name;
use tonic::Status;

use crate::address::AddressError;
use crate::connection::ConnectError;

/// Why a call of a [`Client`](crate::Client) has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The text is not the address of a server.
    #[error("not an address of a server: {0}")]
    Address(String),
    /// The API key cannot be sent.
    #[error("{0}")]
    ApiKey(String),
    /// Nothing answers at the address.
    #[error("{0}")]
    Connect(String),
    /// The server has no such pipeline.
    #[error("the server has no pipeline `{pipeline}`")]
    NoPipeline {
        /// The name that was asked for.
        pipeline: String,
    },
    /// The server does not describe its services.
    #[error("the server does not describe its services: {0}")]
    Reflection(String),
    /// The inputs do not fit those of the pipeline.
    #[error("the request does not fit {message}: {reason}")]
    Inputs {
        /// The name of the message of the inputs.
        message: String,
        /// The reason, with the name of the input.
        reason: String,
    },
    /// The server answered with an error. Its `google.rpc` details are in the status.
    #[error("{}: {}", code_name(.0.code()), .0.message())]
    Status(Box<Status>),
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Answer(String),
}

impl ClientError {
    pub(super) fn address(error: AddressError) -> Self {
        Self::Address(error.to_string())
    }
}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error.to_string())
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

//! Connections of commands to a running server, and its errors as a person reads them.

use std::error::Error as StdError;
use std::time::Duration;

use anyhow::anyhow;
use motet_runtime::status;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::address::ServerAddress;
use crate::api_key::SendApiKey;
use crate::args::ServerArgs;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Nothing answers at an address.
#[derive(Debug, thiserror::Error)]
#[error("nothing answers at {address}: {cause}; is a server running there?")]
pub(crate) struct ConnectError {
    address: ServerAddress,
    cause: String,
}

/// A connection of a command, which sends its API key.
pub(crate) type Connection = InterceptedService<Channel, SendApiKey>;

/// Connects a command to the server of its arguments.
///
/// # Errors
/// When nothing answers at the address, or the API key cannot be read.
pub(crate) async fn connect_command(server: &ServerArgs) -> anyhow::Result<Connection> {
    let key = SendApiKey::read(server.api_key_file.as_deref())?;
    let channel = connect(&server.address).await?;
    Ok(InterceptedService::new(channel, key))
}

/// Connects to a server.
///
/// # Errors
/// When nothing answers at the address, with the cause.
pub(crate) async fn connect(address: &ServerAddress) -> Result<Channel, ConnectError> {
    let connecting = async {
        Endpoint::from_shared(address.uri())?
            .connect_timeout(CONNECT_TIMEOUT)
            .connect()
            .await
    };
    connecting.await.map_err(|error| ConnectError {
        address: address.clone(),
        cause: root_cause(&error),
    })
}

/// Returns the last error of a chain: the system's own words, without those of the layers above it.
fn root_cause(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Returns an error of the server: its code and message, and the fields that it blames on lines of
/// their own where there are several.
pub(crate) fn refusal(error: &Status) -> anyhow::Error {
    let code = status::code_name(error.code());
    let violations = status::read(error).violations;
    if violations.len() < 2 {
        return anyhow!("{code}: {}", error.message());
    }
    let mut text = format!("{code}:");
    for (field, why) in violations {
        text.push_str(&format!("\n  {field}: {why}"));
    }
    anyhow!(text)
}

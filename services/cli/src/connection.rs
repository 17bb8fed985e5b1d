//! Connections of commands to a running server, and its errors as a person reads them.

use std::error::Error as StdError;
use std::time::Duration;

use anyhow::anyhow;
use motet_runtime::config::Destination;
use motet_runtime::connect::{ChannelBuilder, Explained, words};
use motet_runtime::status;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::api_key::SendApiKey;
use crate::args::ServerArgs;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Error of a connection to a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Nothing answers at an address.
    #[error("nothing answers at {address}: {cause}; is a server running there?")]
    Silent { address: String, cause: String },
    /// Something does, but not as it is spoken to.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a server.
pub(crate) type ServerChannel = Explained<Channel>;

/// A connection of a command, which sends its API key.
pub(crate) type Connection = InterceptedService<ServerChannel, SendApiKey>;

/// Returns the connection of a command that is made when it is first used, and again after an
/// error.
///
/// # Errors
/// When the address or the API key cannot be used.
pub(crate) fn lazily(server: &ServerArgs) -> anyhow::Result<Connection> {
    let key = SendApiKey::read(server.credentials.api_key_file.as_deref())?;
    let channel = ChannelBuilder::new(&server.destination(), CONNECT_TIMEOUT)?.lazy();
    Ok(InterceptedService::new(channel, key))
}

/// Connects a command to the server of its arguments.
///
/// # Errors
/// When nothing answers at the address, or the API key cannot be read.
pub(crate) async fn connect_command(server: &ServerArgs) -> anyhow::Result<Connection> {
    let key = SendApiKey::read(server.credentials.api_key_file.as_deref())?;
    let channel = connect(&server.destination()).await?;
    Ok(InterceptedService::new(channel, key))
}

/// Connects to a server.
///
/// # Errors
/// When nothing answers at the address, or not as it is spoken to, with the cause.
pub(crate) async fn connect(destination: &Destination) -> Result<ServerChannel, ConnectError> {
    let connecting = async {
        let channel = ChannelBuilder::new(destination, CONNECT_TIMEOUT)?;
        channel.connect().await
    };
    connecting.await.map_err(|error| match words(&error) {
        Some(words) => ConnectError::Refused(words),
        None => ConnectError::Silent {
            address: shown(destination),
            cause: root_cause(&error),
        },
    })
}

/// Returns the address as commands show it: without a scheme for plain text.
fn shown(destination: &Destination) -> String {
    let text = destination.endpoint.to_string();
    text.strip_prefix("grpc://").unwrap_or(&text).to_owned()
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
    if let Some(words) = words(error) {
        return anyhow!(words);
    }
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

//! Questions to servers that may not be up yet.

use std::time::Duration;

use anyhow::anyhow;
use motet_gateway::backend::Backend;
use motet_gateway::grpc::reflect::ReflectError;
use motet_gateway::grpc::{NoService, Remote};
use prost_reflect::ServiceDescriptor;
use tokio::time::Instant;

/// Pause between two questions to a model service that does not answer yet.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a server may take to say what its model or service takes and gives.
const SIGNATURE_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks a server about one of its services, until it answers or `wait` has passed.
pub(crate) async fn describe(
    remote: &Remote,
    service: &str,
    wait: Duration,
) -> Result<ServiceDescriptor, NoService> {
    let until = Instant::now() + wait;
    let mut told = false;
    loop {
        match remote.describe(service, SIGNATURE_TIMEOUT).await {
            Err(ReflectError::Status(error))
                if Instant::now() + RETRY_PAUSE < until && may_come(&error) =>
            {
                if !told {
                    tracing::info!("waiting: {}", error.message());
                    told = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            answer => return answer.map_err(NoService::from),
        }
    }
}

/// Asks a model service what its model takes and gives, until it answers or `wait` has passed.
pub(crate) async fn wait_for(
    backend: &Backend,
    wait: Duration,
) -> anyhow::Result<motet_proto::signature::Signature> {
    let until = Instant::now() + wait;
    let mut told = false;
    loop {
        match backend.signature(SIGNATURE_TIMEOUT).await {
            Ok((signature, _)) => return Ok(signature),
            Err(error) if Instant::now() + RETRY_PAUSE < until && may_come(&error) => {
                if !told {
                    tracing::info!("waiting: {}", error.message());
                    told = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(anyhow!("{}", error.message())),
        }
    }
}

/// Whether an error may go away by itself: the service is not up yet.
fn may_come(error: &tonic::Status) -> bool {
    matches!(
        error.code(),
        tonic::Code::Unavailable | tonic::Code::DeadlineExceeded
    )
}

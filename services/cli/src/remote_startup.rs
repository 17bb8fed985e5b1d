//! Waiting for servers in other processes, which may start after this one.

use std::time::Duration;

use anyhow::anyhow;
use motet_gateway::grpc::reflect::ReflectError;
use motet_gateway::grpc::{EndpointClient, ServiceLookupError};
use motet_gateway::model::Backend;
use motet_proto::signature::Signature;
use prost_reflect::ServiceDescriptor;
use tokio::time::Instant;
use tonic::{Code, Status};

/// Pause between two attempts to reach a server.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks a server to describe one of its services, until it answers or `deadline` has passed.
///
/// # Errors
/// When it answers with an error that does not go away, or not before the deadline.
pub(crate) async fn service(
    remote: &EndpointClient,
    service: &str,
    deadline: Instant,
) -> Result<ServiceDescriptor, ServiceLookupError> {
    let attempt = || remote.describe(service, ATTEMPT_TIMEOUT);
    let status = |error: &ReflectError| match error {
        ReflectError::Status(status) => Some(status.clone()),
        _ => None,
    };
    Ok(until_answered(deadline, attempt, status).await?)
}

/// Asks a model service for the signature of its model, until it answers or `deadline` has passed.
///
/// # Errors
/// When it answers with an error that does not go away, or not before the deadline.
pub(crate) async fn signature(backend: &Backend, deadline: Instant) -> anyhow::Result<Signature> {
    let attempt = || backend.signature(ATTEMPT_TIMEOUT);
    match until_answered(deadline, attempt, |error| Some(error.clone())).await {
        Ok((signature, _)) => Ok(signature),
        Err(error) => Err(anyhow!("{}", error.message())),
    }
}

/// Repeats an attempt while it fails with a status that a server gives, or a client sees, while
/// the server is not up yet.
async fn until_answered<T, E, F>(
    deadline: Instant,
    attempt: impl Fn() -> F,
    status: impl Fn(&E) -> Option<Status>,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut logged = false;
    loop {
        let error = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let not_up = status(&error)
            .filter(|s| matches!(s.code(), Code::Unavailable | Code::DeadlineExceeded));
        match not_up {
            Some(status) if Instant::now() + RETRY_PAUSE < deadline => {
                if !logged {
                    tracing::info!("waiting: {}", status.message());
                    logged = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            _ => return Err(error),
        }
    }
}

//! Waiting for servers in other processes, which may start after this one.

use std::time::Duration;

use anyhow::{anyhow, bail};
use motet_gateway::grpc::reflect::ReflectError;
use motet_gateway::grpc::{EndpointClient, ServiceLookupError};
use motet_gateway::model::Backend;
use motet_gateway::serve::Gateway;
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

/// Asks a model service once for the signature of its model; `None` if it is not up.
///
/// # Errors
/// When it answers with an error that does not go away.
pub(crate) async fn signature_if_up(backend: &Backend) -> anyhow::Result<Option<Signature>> {
    match backend.signature(ATTEMPT_TIMEOUT).await {
        Ok((signature, _)) => Ok(Some(signature)),
        Err(error) if is_not_up(&error) => Ok(None),
        Err(error) => Err(anyhow!("{}", error.message())),
    }
}

fn is_not_up(error: &Status) -> bool {
    matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded)
}

/// Waits until every pipeline can answer, or `deadline` has passed: until then for the models that
/// are not up and that some pipeline cannot do without.
///
/// # Errors
/// When one of them is not up in time, or is not what the lock file says.
pub(crate) async fn required(
    gateway: &Gateway,
    models: &[Backend],
    deadline: Instant,
) -> anyhow::Result<()> {
    loop {
        let missing = gateway.missing_models();
        let Some(model) = models
            .iter()
            .find(|m| missing.iter().any(|name| name == m.model()))
        else {
            return Ok(());
        };
        signature(model, deadline).await?;
        gateway.ask_models().await;
        if gateway.missing_models() != missing {
            continue;
        }
        if Instant::now() + RETRY_PAUSE >= deadline {
            bail!(
                "model {} at {} is not ready, or its signature differs from the lock file",
                model.model(),
                model.address()
            );
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
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
        let not_up = status(&error).filter(is_not_up);
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

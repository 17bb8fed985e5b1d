//! The server layer that enforces `grpc-timeout`, also while an answer is streaming.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::{Deadline, GRPC_TIMEOUT, exceeded, parse_timeout};
use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::status::invalid_argument;

/// Puts a [`Deadline`] into the extensions of every request that carries `grpc-timeout`. When it
/// passes, what runs for the request is dropped and the caller gets DEADLINE_EXCEEDED: as the whole
/// answer if nothing was sent yet, as trailers if the answer is streaming. A malformed header gets
/// INVALID_ARGUMENT.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer;

/// A service with a [`DeadlineLayer`] around it.
pub type DeadlineService<S> = Layered<DeadlineLayer, S>;

impl<B> CallLayer<B> for DeadlineLayer {
    type Hooks = Timer;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<Timer>, Status> {
        let Some(header) = request.headers().get(GRPC_TIMEOUT) else {
            return Ok(None);
        };
        let timeout = parse_timeout(header.as_bytes())
            .map_err(|error| invalid_argument(GRPC_TIMEOUT, error.to_string()).build())?;
        if timeout.is_zero() {
            return Err(exceeded(Some(timeout)));
        }
        let deadline = Deadline::after(Instant::now(), timeout);
        request.extensions_mut().insert(deadline);
        Ok(Some(Timer {
            sleep: Box::pin(tokio::time::sleep_until(deadline.instant())),
            timeout,
        }))
    }
}

/// Ends a call at its deadline.
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    timeout: Duration,
}

impl CallHooks for Timer {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let elapsed = self.sleep.as_mut().poll(cx);
        elapsed.map(|()| exceeded(Some(self.timeout)))
    }
}

//! The server layer that finds the flow of a call.

use http::Request;
use tonic::Status;

use super::{Flow, MOTET_FLOW};
use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::status::invalid_argument;

/// Makes the [`Flow`] of a call the current one while anything runs for it. A malformed header gets
/// INVALID_ARGUMENT.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowLayer;

/// A service with a [`FlowLayer`] around it.
pub type FlowService<S> = Layered<FlowLayer, S>;

impl<B> CallLayer<B> for FlowLayer {
    type Hooks = Flow;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<Flow>, Status> {
        let flow = Flow::of(request.extensions(), request.headers())
            .map_err(|error| invalid_argument(MOTET_FLOW, error.to_string()).build())?;
        Ok(Some(flow))
    }
}

impl CallHooks for Flow {
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, Status> {
        Ok(self.sync_scope(step))
    }
}

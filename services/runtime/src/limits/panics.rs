//! A panic in a handler fails its call, not the connection and not the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::Request;
use tonic::Status;

use crate::layers::call::{CallHooks, CallLayer, Layered};
use crate::metrics::ServerMetrics;
use crate::panics;
use crate::status::{Reason, internal};

/// Answers INTERNAL where a handler, or the stream it returned, panics. The panic's text goes to
/// the log, not to the caller.
#[derive(Clone, Debug)]
pub struct PanicLayer {
    metrics: ServerMetrics,
}

impl PanicLayer {
    /// Panics are counted in `metrics`.
    pub fn new(metrics: ServerMetrics) -> Self {
        Self { metrics }
    }
}

/// A service with a [`PanicLayer`] around it.
pub type PanicService<S> = Layered<PanicLayer, S>;

impl<B> CallLayer<B> for PanicLayer {
    type Hooks = Self;

    fn begin(&self, _: &mut Request<B>) -> Result<Option<Self>, Status> {
        Ok(Some(self.clone()))
    }
}

impl CallHooks for PanicLayer {
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, Status> {
        // Unwind safety: what panicked is dropped at once and never used again.
        catch_unwind(AssertUnwindSafe(step)).map_err(|payload| {
            panics::report("handler", &*payload, Some(&self.metrics));
            internal("the server failed on this request (a bug); see its log")
                .reason(Reason::Panic)
                .into()
        })
    }
}

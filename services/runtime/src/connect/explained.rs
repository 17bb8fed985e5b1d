//! Errors of calls that say why there is no connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::Request;
use tower::Service;

use super::problem::{ConnectProblem, words};
use super::{BoxError, Connector};

/// The problem of the latest connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest(Arc<Mutex<Option<ConnectProblem>>>);

impl Latest {
    pub(super) fn set(&self, problem: Option<ConnectProblem>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn get(&self) -> Option<ConnectProblem> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A channel whose errors are [`ConnectProblem`]s where the connection had one. A server may refuse
/// a connection after it was made; HTTP/2 then tells calls only that there is none.
#[derive(Clone, Debug)]
pub struct Explained<S> {
    inner: S,
    latest: Latest,
}

impl<S> Explained<S> {
    pub(super) fn new(inner: S, connector: &Connector) -> Self {
        let latest = connector.latest.clone();
        Self { inner, latest }
    }
}

impl<S, B> Service<Request<B>> for Explained<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (call, latest) = (self.inner.call(request), self.latest.clone());
        Box::pin(async move {
            call.await.map_err(|error| {
                let error = error.into();
                match (words(&*error), latest.get()) {
                    (None, Some(problem)) => problem.into(),
                    _ => error,
                }
            })
        })
    }
}

//! Headers of calls to a server: those of the configuration, and those of the caller that go along.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::Either;
use http::{HeaderName, HeaderValue, Request};
use tower::Service;

use super::BoxError;
use crate::config::{Destination, HeaderError, HeaderSpec};
use crate::forward::Forwarded;

/// Time after which files are looked at again.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A service whose requests have the headers of a destination.
#[derive(Clone, Debug)]
pub struct WithHeaders<S> {
    inner: S,
    headers: Headers,
}

impl<S> WithHeaders<S> {
    /// Adds to the requests of `inner` what `destination` says.
    pub fn new(inner: S, destination: &Destination) -> Self {
        let forward = destination.forward.iter();
        let forward = forward.filter_map(|name| HeaderName::try_from(name).ok());
        let specs: Arc<[HeaderSpec]> = destination.headers.clone().into();
        let values = read(&specs).map_err(|error| told(&error));
        let state = State {
            values,
            looked: Instant::now(),
        };
        Self {
            inner,
            headers: Headers {
                specs,
                state: Arc::new(Mutex::new(state)),
                forward: forward.collect(),
            },
        }
    }
}

#[derive(Clone, Debug)]
struct Headers {
    specs: Arc<[HeaderSpec]>,
    state: Arc<Mutex<State>>,
    forward: Arc<[HeaderName]>,
}

type Values = Vec<(HeaderName, HeaderValue)>;

/// Values as they were when they were last looked at.
#[derive(Debug)]
struct State {
    /// The error where there never were any.
    values: Result<Values, String>,
    looked: Instant,
}

fn read(specs: &[HeaderSpec]) -> Result<Values, HeaderError> {
    let env = |name: &str| std::env::var(name).ok();
    let read = specs.iter().map(|spec| {
        let name = HeaderName::try_from(spec.name());
        let value = spec.value(env)?;
        name.map(|name| (name, value))
            .map_err(|_| HeaderError::Value {
                name: spec.name().to_owned(),
            })
    });
    read.collect()
}

fn told(error: &HeaderError) -> String {
    tracing::error!(%error, "a header cannot be made");
    format!("`headers`: {error}")
}

impl Headers {
    /// Returns the values. Files are looked at again meanwhile, if that is due.
    fn values(&self) -> Result<Values, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let has_files = self.specs.iter().any(HeaderSpec::has_files);
        if has_files && state.looked.elapsed() >= LOOK_INTERVAL {
            state.looked = Instant::now();
            let headers = self.clone();
            tokio::task::spawn_blocking(move || headers.look());
        }
        state.values.clone()
    }

    /// Reads the files again. A value that cannot be read stays as it was.
    fn look(&self) {
        let values = read(&self.specs);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match values {
            Ok(values) => state.values = Ok(values),
            Err(error) => {
                let error = told(&error);
                if state.values.is_err() {
                    state.values = Err(error);
                }
            }
        }
    }
}

impl<S, B> Service<Request<B>> for WithHeaders<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<
        futures::future::ErrInto<S::Future, BoxError>,
        std::future::Ready<Result<S::Response, BoxError>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        use futures::TryFutureExt;
        if !self.headers.forward.is_empty() {
            let forwarded = Forwarded::current();
            for name in &*self.headers.forward {
                for value in forwarded.values(name) {
                    request.headers_mut().append(name, value.clone());
                }
            }
        }
        if !self.headers.specs.is_empty() {
            match self.headers.values() {
                Ok(values) => {
                    for (name, value) in values {
                        request.headers_mut().insert(name, value);
                    }
                }
                Err(error) => {
                    return Either::Right(std::future::ready(Err(error.into())));
                }
            }
        }
        Either::Left(self.inner.call(request).err_into())
    }
}

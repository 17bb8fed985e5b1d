//! Headers of a call that go along to other servers, which say by name which ones they get.
//!
//! As the flow of a call, what may be forwarded is ambient: [`ForwardLayer`] makes it current while
//! anything runs for the call, and who makes a call to another server asks
//! [`Forwarded::current`]. Work on other tasks has to be given it ([`Forwarded::scope`]).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tonic::Status;

use crate::layers::call::{CallHooks, CallLayer};

tokio::task_local! {
    static CURRENT: Forwarded;
}

/// The headers of a call that may be forwarded. The default has none. Clones share them.
#[derive(Clone, Default)]
pub struct Forwarded(Option<Arc<HeaderMap>>);

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().flat_map(|headers| headers.keys());
        f.debug_list().entries(names).finish()
    }
}

impl Forwarded {
    /// Returns those of `headers` that have one of these names.
    pub fn of(headers: &HeaderMap, names: &[HeaderName]) -> Self {
        let mut found = HeaderMap::new();
        for name in names {
            for value in headers.get_all(name) {
                let mut value = value.clone();
                value.set_sensitive(true);
                found.append(name, value);
            }
        }
        Self((!found.is_empty()).then(|| Arc::new(found)))
    }

    /// Returns those of the call that is being answered.
    pub fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Returns the values of a header.
    pub fn values<'h>(&'h self, name: &'h HeaderName) -> impl Iterator<Item = &'h HeaderValue> {
        let headers = self.0.iter();
        headers.flat_map(move |headers| headers.get_all(name))
    }

    /// Runs a future with these as the current ones.
    pub async fn scope<T>(self, future: impl Future<Output = T>) -> T {
        CURRENT.scope(self, future).await
    }
}

/// Makes headers of these names the current ones while anything runs for a call.
#[derive(Clone, Debug)]
pub struct ForwardLayer(Arc<[HeaderName]>);

impl ForwardLayer {
    /// A layer for headers of these names.
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        Self(names.into_iter().collect())
    }
}

impl<B> CallLayer<B> for ForwardLayer {
    type Hooks = Forwarded;

    fn begin(&self, request: &mut Request<B>) -> Result<Option<Forwarded>, Status> {
        let forwarded = Forwarded::of(request.headers(), &self.0);
        Ok(forwarded.0.is_some().then_some(forwarded))
    }
}

impl CallHooks for Forwarded {
    fn step<T>(&mut self, step: impl FnOnce() -> T) -> Result<T, Status> {
        Ok(CURRENT.sync_scope(self.clone(), step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_named_is_forwarded_and_only_within_the_call() {
        let tenant = HeaderName::from_static("x-tenant");
        let mut headers = HeaderMap::new();
        headers.append(&tenant, HeaderValue::from_static("a"));
        headers.append(&tenant, HeaderValue::from_static("b"));
        headers.append("authorization", HeaderValue::from_static("secret"));
        let forwarded = Forwarded::of(&headers, std::slice::from_ref(&tenant));
        let printed = format!("{forwarded:?}");
        assert_eq!(printed, "[\"x-tenant\"]");
        let inside = forwarded.scope(async { Forwarded::current() }).await;
        let values: Vec<_> = inside.values(&tenant).collect();
        assert_eq!(values, ["a", "b"]);
        let authorization = HeaderName::from_static("authorization");
        assert_eq!(inside.values(&authorization).count(), 0);
        assert_eq!(Forwarded::current().values(&tenant).count(), 0);
    }
}

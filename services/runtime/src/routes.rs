//! The services behind a port, replaceable while the port serves.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use axum::Router;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

/// A handle on the current routes. Clones share them; [`LiveRoutes::set`] swaps them for all. A
/// request runs to its end on the routes that were current when it arrived.
#[derive(Clone, Debug)]
pub struct LiveRoutes(Arc<ArcSwap<Router>>);

impl LiveRoutes {
    /// Serves `routes` until [`LiveRoutes::set`] is called.
    pub fn new(routes: Routes) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(prepared(routes))))
    }

    /// Replaces the routes for requests from now on.
    pub fn set(&self, routes: Routes) {
        self.0.store(Arc::new(prepared(routes)));
    }
}

fn prepared(routes: Routes) -> Router {
    routes.prepare().into_axum_router()
}

impl Service<Request<Body>> for LiveRoutes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RoutesFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // an axum router is always ready
    }

    fn call(&mut self, request: Request<Body>) -> RoutesFuture {
        let mut router = Router::clone(&self.0.load());
        RoutesFuture(router.call(request))
    }
}

/// The future of [`LiveRoutes`].
pub struct RoutesFuture(axum::routing::future::RouteFuture<Infallible>);

impl Future for RoutesFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map_ok(|response| response.map(Body::new))
    }
}

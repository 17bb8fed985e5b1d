//! A connection within the process.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tower::util::BoxCloneSyncService;

/// A connection within the process to a [`Server`](crate::Server). Generated clients take it in
/// place of a `tonic::transport::Channel`. Clones are cheap.
///
/// ```
/// use tonic_health::pb::HealthCheckRequest;
/// use tonic_health::pb::health_client::HealthClient;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let yaml = "{ pipeline: same, inputs: { a: int }, outputs: { a: $a } }";
/// let server = motet::Server::from_yaml(yaml).await?;
/// server.ready().await?;
/// let mut health = HealthClient::new(server.local_channel());
/// let request = HealthCheckRequest { service: "same".to_owned() };
/// assert_eq!(health.check(request).await?.into_inner().status().as_str_name(), "SERVING");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LocalChannel(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

impl LocalChannel {
    pub(crate) fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service))
    }
}

impl fmt::Debug for LocalChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalChannel").finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for LocalChannel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

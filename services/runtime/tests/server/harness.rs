//! A server with the test service behind all layers, and clients for it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use motet_runtime::health::Health;
use motet_runtime::layers::{Guards, stack};
use motet_runtime::limits::Admission;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::serve::{Drained, ServeOptions, Server};
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::service::Routes;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::test_service::{Event, MESSAGE_MAX, STREAM, TestService, UNARY};

/// How long a message may take to come.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) release: watch::Sender<bool>,
    pub(crate) service: TestService,
    pub(crate) routes: LiveRoutes,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Admission,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Drained>,
}

pub(crate) async fn start() -> TestServer {
    start_with(100, ServeOptions::default()).await
}

pub(crate) async fn start_with(max_requests: usize, options: ServeOptions) -> TestServer {
    let admission = Admission::new(max_requests).reading_within(READ_TIMEOUT);
    start_admitting(admission, options).await
}

pub(crate) async fn start_admitting(admission: Admission, options: ServeOptions) -> TestServer {
    start_guarded(admission, options, async |_: &Metrics| Guards::default()).await
}

pub(crate) async fn start_guarded(
    admission: Admission,
    options: ServeOptions,
    guards: impl AsyncFnOnce(&Metrics) -> Guards,
) -> TestServer {
    let (told, events) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let service = TestService {
        greeting: "hello",
        events: told,
        release: released,
    };
    let health = Health::new();
    let metrics = Metrics::new("test").expect("no environment is needed");
    let routes = LiveRoutes::new(Routes::new(service.clone()).add_service(health.server()));
    let guards = guards(&metrics).await;
    let stack = stack(
        routes.clone(),
        guards,
        admission.clone(),
        &metrics,
        MESSAGE_MAX,
    );
    let shutdown = CancellationToken::new();
    let server = Server::bind(loopback(), options)
        .await
        .expect("a free port");
    TestServer {
        addr: server.local_addr(),
        task: server
            .with_metrics(metrics.server())
            .spawn(stack, shutdown.clone()),
        events,
        release,
        service,
        routes,
        health,
        metrics,
        admission,
        shutdown,
    }
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl TestServer {
    pub(crate) async fn next_event(&mut self) -> Event {
        self.events.recv().await.expect("the test service lives")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// The value of this line of the metrics; 0 before its first one.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let text = self.metrics.render().expect("valid text");
        let mut values = text.lines().filter_map(|l| l.strip_prefix(line));
        values
            .next()
            .map_or(0, |v| v.trim().parse().expect("a number"))
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        waited.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// tonic's own channel, for generated clients.
    pub(crate) async fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(format!("http://{}", self.addr))
            .expect("a valid address")
            .connect()
            .await
            .expect("the server listens")
    }
}

/// A client on bare HTTP/2: tonic's channel would enforce `grpc-timeout` itself and hide what the
/// server answers.
#[derive(Clone)]
pub(crate) struct Client {
    bare: Bare,
    origin: Uri,
    grpc: Grpc<Bare>,
}

#[derive(Clone)]
pub(crate) struct Bare(SendRequest<Body>);

impl Service<Request<Body>> for Bare {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::connect_with(addr, &http2::Builder::new(TokioExecutor::new())).await
    }

    /// Connects a client with these settings.
    pub(crate) async fn connect_with(
        addr: SocketAddr,
        settings: &http2::Builder<TokioExecutor>,
    ) -> Self {
        Self::connect_watched(addr, settings).await.0
    }

    /// Connects a client, and returns the task of its connection.
    pub(crate) async fn connect_watched(
        addr: SocketAddr,
        settings: &http2::Builder<TokioExecutor>,
    ) -> (Self, JoinHandle<hyper::Result<()>>) {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        let (sender, connection) = settings
            .handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let origin = format!("http://{addr}")
            .parse::<Uri>()
            .expect("a valid URI");
        let bare = Bare(sender);
        let client = Self {
            bare: bare.clone(),
            origin: origin.clone(),
            grpc: Grpc::with_origin(bare, origin),
        };
        (client, connection)
    }

    /// Calls a method with these bytes, whatever they are.
    pub(crate) async fn bytes(&self, path: &'static str, body: Body) -> Response<Incoming> {
        self.bytes_with(path, &[], body).await
    }

    /// Calls a method with these headers and bytes.
    pub(crate) async fn bytes_with(
        &self,
        path: &'static str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Response<Incoming> {
        let answer = self.try_bytes_with(path, headers, body).await;
        answer.expect("an answer")
    }

    /// Calls a method with these bytes, over a connection that may end.
    pub(crate) async fn try_bytes(
        &self,
        path: &'static str,
        body: Body,
    ) -> hyper::Result<Response<Incoming>> {
        self.try_bytes_with(path, &[], body).await
    }

    async fn try_bytes_with(
        &self,
        path: &'static str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> hyper::Result<Response<Incoming>> {
        let mut uri = self.origin.clone().into_parts();
        uri.path_and_query = Some(PathAndQuery::from_static(path));
        let mut request = Request::post(Uri::from_parts(uri).expect("a URI"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        self.bare.clone().call(request).await
    }

    /// Calls the unary method with this text.
    pub(crate) async fn say(&self, text: &str) -> Result<String, Status> {
        self.unary(UNARY, tonic::Request::new(text.to_owned()))
            .await
    }

    /// Calls the unary method with this text and header.
    pub(crate) async fn say_with(
        &self,
        text: &str,
        key: &'static str,
        value: &str,
    ) -> Result<String, Status> {
        let mut request = tonic::Request::new(text.to_owned());
        let value = value.parse().expect("a valid header");
        request.metadata_mut().insert(key, value);
        self.unary(UNARY, request).await
    }

    /// Calls a unary method with any message.
    pub(crate) async fn unary<T>(
        &self,
        path: &'static str,
        request: tonic::Request<T>,
    ) -> Result<String, Status>
    where
        T: Message + 'static,
    {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.expect("the connection is up");
        let codec = ProstCodec::<T, String>::default();
        let path = PathAndQuery::from_static(path);
        let response = grpc.unary(request, path, codec).await?;
        Ok(response.into_inner())
    }

    /// Calls the streaming method with these messages.
    pub(crate) async fn stream<S>(
        &self,
        request: tonic::Request<S>,
    ) -> Result<Streaming<String>, Status>
    where
        S: Stream<Item: Message + 'static> + Send + 'static,
    {
        self.stream_of(STREAM, request).await
    }

    /// Calls a streaming method with these messages.
    pub(crate) async fn stream_of<S>(
        &self,
        path: &'static str,
        request: tonic::Request<S>,
    ) -> Result<Streaming<String>, Status>
    where
        S: Stream<Item: Message + 'static> + Send + 'static,
    {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.expect("the connection is up");
        let codec = ProstCodec::<S::Item, String>::default();
        let path = PathAndQuery::from_static(path);
        let response = grpc.streaming(request, path, codec).await?;
        Ok(response.into_inner())
    }
}

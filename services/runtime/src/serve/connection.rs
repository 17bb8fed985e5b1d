//! One accepted connection.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tower::{Service, ServiceExt};
use tracing::Span;

use super::ending::Ending;
use super::gather::Gathering;
use super::{BoxError, Protocol, ServeOptions, until};
use crate::body::{OnEnd, watch};
use crate::limits::is_exempt;

/// The two ends of a server: `stop` lets calls finish, `kill` drops them.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) stop: CancellationToken,
    pub(super) kill: CancellationToken,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) in_flight: Arc<AtomicUsize>,
    pub(super) ends: Ends,
}

impl Connection {
    pub(super) async fn serve<S, B>(self, service: S, options: &ServeOptions)
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if !self.speaks(options.keep_alive_timeout).await {
            return;
        }
        let info = TcpConnectInfo {
            local_addr: Some(self.local),
            remote_addr: Some(self.peer),
        };
        let in_flight = self.in_flight;
        let stop = self.ends.stop.clone();
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let exempt = is_exempt(request.uri().path());
            let count = (!exempt).then(|| Counted::new(&in_flight));
            let stop = exempt.then(|| stop.clone());
            let mut request = match stop.clone() {
                None => request.map(Body::new),
                stop => request.map(|body| Body::new(Ending::request(body, stop))),
            };
            request.extensions_mut().insert(info.clone());
            let answer = service.clone().oneshot(request);
            async move {
                let Ok(response) = answer.await;
                let response = response.map(|body| Ending::answer(body, stop));
                let ended = OnEnd::new(move |_| drop(count));
                Ok::<_, Infallible>(watch(response, ended, Span::none()))
            }
        });
        let builder = builder(options, self.ends.kill.clone());
        let socket = Gathering::new(self.stream);
        let outgoing = socket.outgoing();
        let mut connection =
            pin!(builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service)));
        let ended = match until(&self.ends.stop, outgoing.send(connection.as_mut())).await {
            Some(ended) => Some(ended),
            None => {
                connection.as_mut().graceful_shutdown();
                until(&self.ends.kill, outgoing.send(connection)).await
            }
        };
        if let Some(Err(error)) = ended {
            // Clients that vanish are daily life.
            tracing::debug!(peer = %self.peer, %error, "a connection ended with an error");
        }
    }

    /// Whether the client sends anything within this time, and before the server stops. HTTP/2 pings begin only after
    /// the client's first bytes: a connection without any would hold its place, and a drain, for ever.
    async fn speaks(&self, within: Duration) -> bool {
        let mut first = [0];
        tokio::select! {
            biased;
            peeked = self.stream.peek(&mut first) => peeked.is_ok_and(|bytes| bytes > 0),
            () = self.ends.stop.cancelled() => false,
            () = tokio::time::sleep(within) => false,
        }
    }
}

fn builder(options: &ServeOptions, kill: CancellationToken) -> Builder<Executor> {
    let mut builder = Builder::new(Executor { kill });
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        // A gateway in front sends the calls of many users over one connection. When their
        // deadlines are short, many are reset before they are taken up; the default of 20 then
        // ends the connection for all.
        .max_pending_accept_reset_streams(options.max_concurrent_streams as usize)
        .initial_stream_window_size(options.stream_window_bytes)
        .initial_connection_window_size(options.connection_window_bytes)
        .keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.keep_alive_timeout);
    match options.protocol {
        Protocol::Grpc => builder.http2_only(),
        Protocol::Http => builder,
    }
}

/// Runs a connection's calls as tasks that end when the server is killed: hyper's own would outlive the connection.
#[derive(Clone)]
struct Executor {
    kill: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, call: F) {
        let kill = self.kill.clone();
        tokio::spawn(async move {
            until(&kill, call).await;
        });
    }
}

/// One call in flight, from its headers to the end of its answer.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(in_flight: &Arc<AtomicUsize>) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        Self(in_flight.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

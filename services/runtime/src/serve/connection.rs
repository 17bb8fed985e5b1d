//! One accepted connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use super::answer_body::AnswerBody;
use super::complaints::Complaints;
use super::executor::Executor;
use super::guard::Guard;
#[cfg(feature = "tls")]
use super::handshake;
use super::info::{ConnectionInfo, Security};
use super::request_body::RequestBody;
use super::resets::Resets;
use super::socket::{FirstBytes, Socket};
use super::unread::Unread;
use super::until_shutdown::UntilShutdown;
use super::windows::Window;
use super::write_coalescing::CoalescingStream;
use super::{BoxError, Protocol, ServeOptions, Shutdown, http1, run_until, wrong_protocol};
use crate::layers::call::{CallHooks, HookedBody};
use crate::limits::{ConnectionBytes, ConnectionPlaces, is_exempt, is_request_stream};
use crate::metrics::ServerMetrics;
use crate::request_stream::MessageSizes;
use crate::tls::PortTls;
use crate::usage::Usage;

/// Time between the last words to a client and the end of its connection.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An accepted connection and what it needs of its server.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// The HTTP/1.1 address of this process.
    pub(super) http_port: Option<SocketAddr>,
    pub(super) places: ConnectionPlaces,
    pub(super) in_flight: Arc<AtomicUsize>,
    /// Its part of the server's budget of bytes.
    pub(super) bytes: ConnectionBytes,
    /// How much the client may send before it is read.
    pub(super) window: Window,
    /// TLS of the port; `None` for plain text.
    pub(super) tls: Option<PortTls>,
    pub(super) complaints: Complaints,
    pub(super) shutdown: Shutdown,
    pub(super) metrics: Option<ServerMetrics>,
}

impl Connection {
    /// Serves the connection until the client closes it or the server shuts down.
    pub(super) async fn serve<S, B>(self, stream: TcpStream, service: S, options: &ServeOptions)
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let begin = self.begin(stream, options);
        let Some(Some((socket, first, security))) = run_until(&self.shutdown.graceful, begin).await
        else {
            return;
        };
        let guard = match first {
            FirstBytes::None | FirstBytes::Tls => return,
            FirstBytes::Other if options.protocol == Protocol::Grpc => {
                let refusal = http1::refuse(socket, self.http_port, options);
                run_until(&self.shutdown.graceful, refusal).await;
                return;
            }
            FirstBytes::Other => None,
            FirstBytes::Http2 => {
                let resets = Resets::new(options.max_resets_per_second, options.resets_endured);
                Some(Guard::new(resets, self.metrics.clone()))
            }
        };
        let flooded = guard.as_ref().map(Guard::ended).unwrap_or_default();
        let graceful = self.shutdown.graceful.clone();
        let info = {
            let graceful = graceful.clone();
            ConnectionInfo::new(self.peer, self.local, security, self.places, graceful)
        };
        let in_flight = self.in_flight;
        let bytes = self.bytes;
        let unread = Arc::new(Unread::default());
        let unread_answers = unread.clone();
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let exempt = is_exempt(request.uri().path());
            let count = (!exempt).then(|| InFlight::new(&in_flight));
            let shutdown = exempt.then(|| graceful.clone());
            let (held, usage) = (bytes.request(), Usage::default());
            let is_stream = !exempt && is_request_stream(request.uri().path());
            let messages = is_stream.then(MessageSizes::default);
            let mut request = request.map(|body| {
                let (held, usage) = (held.clone(), usage.clone());
                let (info, messages) = (info.clone(), messages.clone());
                let body = RequestBody::new(body, info, held, usage, messages, exempt);
                match shutdown.clone() {
                    None => Body::new(body),
                    shutdown => Body::new(UntilShutdown::request(body, shutdown)),
                }
            });
            let extensions = request.extensions_mut();
            extensions.insert(info.clone());
            extensions.insert(held);
            extensions.insert(usage.clone());
            if let Some(messages) = messages {
                extensions.insert(messages);
            }
            let answer = service.clone().oneshot(request);
            let (held, unread) = (bytes.request(), unread_answers.clone());
            async move {
                let Ok(response) = answer.await;
                let (head, body) = response.into_parts();
                let body = HookedBody::new(UntilShutdown::answer(body, shutdown), count);
                let mut body = AnswerBody::new(body, held, unread, usage);
                poll_fn(|cx| {
                    body.begin(cx);
                    Poll::Ready(())
                })
                .await;
                Ok::<_, Infallible>(Response::from_parts(head, body))
            }
        });
        let forced = self.shutdown.forced.clone();
        let executor = Executor::new(forced, options.write_timeout, self.metrics.clone());
        let builder = builder(options, self.window.bytes(), executor);
        let socket = CoalescingStream::new(socket, guard);
        let buffer = socket.buffer();
        let mut connection =
            pin!(builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service)));
        let graceful = &self.shutdown.graceful;
        let ended = async {
            if let Some(ended) = run_until(graceful, buffer.drive(connection.as_mut())).await {
                return Some(ended);
            }
            connection.as_mut().graceful_shutdown();
            run_until(&self.shutdown.forced, buffer.drive(connection.as_mut())).await
        };
        let ended = tokio::select! {
            biased;
            ended = ended => ended,
            () = flooded.notified() => {
                tracing::warn!(peer = %self.peer, "a client resets too many calls: disconnected");
                buffer.end();
                // Nothing more is read; what is in flight may end, and the client read why.
                let last = buffer.drive(connection.as_mut());
                let _ = tokio::time::timeout(LAST_WORDS, last).await;
                return;
            }
            () = unread.stalled(2 * options.write_timeout) => {
                // Twice the time: the calls themselves are ended before.
                if let Some(metrics) = &self.metrics {
                    metrics.cut("slow_connection");
                }
                tracing::debug!(peer = %self.peer, "a client takes no answers: disconnected");
                return;
            }
        };
        if let Some(Err(error)) = ended {
            // Clients that disappear are normal.
            tracing::debug!(peer = %self.peer, %error, "a connection ended with an error");
        }
    }

    /// Waits for the client's first bytes, makes the TLS handshake if the port speaks TLS, and
    /// waits for the first bytes inside. `None` for a client that sends none in time, makes no
    /// handshake, or was refused: HTTP/2 pings begin only after first bytes, so without a limit it
    /// would hold its slot for ever.
    async fn begin(
        &self,
        stream: TcpStream,
        options: &ServeOptions,
    ) -> Option<(Socket, FirstBytes, Security)> {
        let timeout = options.keep_alive_timeout;
        let first = tokio::time::timeout(timeout, FirstBytes::peek(&stream)).await;
        match (&self.tls, first.ok()?) {
            (_, FirstBytes::None) => None,
            (None, first @ (FirstBytes::Http2 | FirstBytes::Other)) => {
                Some((Socket::Plain(stream), first, Security::default()))
            }
            #[cfg(feature = "tls")]
            (Some(tls), FirstBytes::Tls) => {
                let told = handshake::Told {
                    peer: self.peer,
                    complaints: &self.complaints,
                    metrics: self.metrics.as_ref(),
                };
                let limit = options.handshake_timeout;
                let mut stream = handshake::handshake(stream, tls, limit, &told).await?;
                let security = handshake::security(&stream);
                let inside = FirstBytes::peek_inside(&mut stream);
                let first = tokio::time::timeout(timeout, inside).await;
                Some((Socket::Tls(stream), first.ok()?, security))
            }
            (tls, first) => {
                if let (Some(_), Some(metrics)) = (tls, &self.metrics) {
                    metrics.handshake("plain_text");
                }
                wrong_protocol::refuse(stream, first, self.peer, &self.complaints).await;
                None
            }
        }
    }
}

fn builder(options: &ServeOptions, window: u32, executor: Executor) -> Builder<Executor> {
    let mut builder = Builder::new(executor);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        // A gateway sends the calls of many users over one connection. With short deadlines, many
        // are reset before they are taken up; the default of 20 would end the connection for all.
        .max_pending_accept_reset_streams(options.max_concurrent_streams as usize)
        // The guard counts these in time; h2 counts those of all its life.
        .max_local_error_reset_streams(None)
        .initial_stream_window_size(options.stream_window_bytes.min(window))
        .initial_connection_window_size(window)
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

/// One call in flight, from its headers to the end of its answer.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn new(in_flight: &Arc<AtomicUsize>) -> Self {
        in_flight.fetch_add(1, Ordering::Relaxed);
        Self(in_flight.clone())
    }
}

impl CallHooks for InFlight {}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

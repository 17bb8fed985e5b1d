//! A listening port: accept loop, HTTP/2 (or HTTP/1 and 2), graceful shutdown.
//!
//! Our own loop rather than tonic's: tonic's server applies its own `grpc-timeout` (and answers
//! CANCELLED), reports neither the bound port nor what a shutdown cut off, and waits for ever for
//! calls that never end.
//!
//! * `answer_body`: bodies of answers whose bytes are counted.
//! * `complaints`: what the log says of clients, once a minute for each.
//! * `connection`: one accepted connection.
//! * `connections`: the open connections.
//! * `descriptors`: the file descriptors that the process may have.
//! * `discard`: the rest of a request that is answered already.
//! * `executor`: the tasks of its calls.
//! * `frames`: HTTP/2 frames as their bytes go by.
//! * `guard`: clients that reset too many calls; `resets`: how many that is.
//! * `handshake`: TLS handshakes.
//! * `http1`: the answer to an HTTP/1 client of the gRPC port.
//! * `info`: what a handler may know about its connection.
//! * `reader`: the time in which a client has to take something of an answer.
//! * `request_body`: bodies whose bytes are counted.
//! * `socket`: plain sockets and those inside TLS.
//! * `unread`: answers that HTTP/2 has and no client takes.
//! * `until_shutdown`: bodies that end when the server shuts down.
//! * `windows`: how much a client may send before it is read.
//! * `write_coalescing`: one system call for all that a poll writes.
//! * `wrong_protocol`: last words to clients that speak TLS to a port without it, or the reverse.

mod answer_body;
mod complaints;
mod connection;
mod connections;
mod descriptors;
mod discard;
mod executor;
mod frames;
mod guard;
#[cfg(feature = "tls")]
mod handshake;
mod http1;
mod info;
mod reader;
mod request_body;
mod resets;
mod socket;
mod unread;
mod until_shutdown;
mod windows;
mod write_coalescing;
mod wrong_protocol;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body as HttpBody;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use complaints::Complaints;
use connection::Connection;
use connections::Connections;
pub use descriptors::{raise_descriptor_limit, reachable_connections};
pub use info::ConnectionInfo;
use windows::Windows;

use crate::limits::{ByteBudget, ConnectionPlaces, usable_memory};
use crate::metrics::ServerMetrics;
use crate::panics;
use crate::tls::PortTls;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2: with prior knowledge, as gRPC without TLS uses it, or inside TLS.
    Grpc,
    /// HTTP/1.1 or HTTP/2, whichever the client begins with.
    Http,
}

/// Options of a port.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The protocol. Default gRPC.
    pub protocol: Protocol,
    /// Connections at once. A new one takes the place of the one that has been idle for longest;
    /// where none is idle it waits in the kernel's backlog. Default 10,000.
    pub max_connections: usize,
    /// HTTP/2 streams (calls) at once on one connection. Default [`MAX_CONCURRENT_STREAMS`].
    pub max_concurrent_streams: u32,
    /// HTTP/2 flow control window of one stream, in bytes: how much of a request may arrive before
    /// it is read. Default 1 MiB.
    pub stream_window_bytes: u32,
    /// Largest HTTP/2 flow control window of one connection, in bytes. Default 4 MiB. Where there
    /// are many connections they have smaller ones: a quarter of `max_bytes_in_flight` together.
    pub connection_window_bytes: u32,
    /// Time that a client has for the TLS handshake from its first byte on. Default 10 s.
    pub handshake_timeout: Duration,
    /// A connection that is silent this long is pinged. Default 30 s.
    pub keep_alive_interval: Duration,
    /// A pinged connection that is silent this long is closed, and so is an HTTP/1 client that does
    /// not complete its request's headers in this time. Default 20 s.
    pub keep_alive_timeout: Duration,
    /// Bytes of requests and answers that the port holds at once; see
    /// [`ByteBudget`]. Default: [`default_max_bytes_in_flight`].
    pub max_bytes_in_flight: usize,
    /// Calls that the client of a connection may reset in a second; it is read so slowly that it
    /// does not reset more, and ended if it goes on. Default [`MAX_RESETS_PER_SECOND`].
    pub max_resets_per_second: usize,
    /// How long a client may go on to reset more calls than that. Default 30 s.
    pub resets_endured: Duration,
    /// A call whose client takes nothing of its answer for this long is ended. Default
    /// [`WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// How long calls in flight may run after shutdown begins. Default 30 s.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Grpc,
            max_connections: 10_000,
            max_concurrent_streams: MAX_CONCURRENT_STREAMS,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
            handshake_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(20),
            max_bytes_in_flight: default_max_bytes_in_flight(),
            max_resets_per_second: MAX_RESETS_PER_SECOND,
            resets_endured: Duration::from_secs(30),
            write_timeout: WRITE_TIMEOUT,
            grace: Duration::from_secs(30),
        }
    }
}

/// The default of [`ServeOptions::max_concurrent_streams`]: below the share of one connection in
/// the requests of a server (two thirds of 1024), so that the client of a single connection, a
/// gateway for one, holds calls back by itself instead of having them refused.
pub const MAX_CONCURRENT_STREAMS: u32 = 640;
/// The default of [`ServeOptions::max_resets_per_second`].
pub const MAX_RESETS_PER_SECOND: usize = 500;
/// The default of [`ServeOptions::write_timeout`].
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a quarter of the memory that this process may use.
pub fn default_max_bytes_in_flight() -> usize {
    static QUARTER: LazyLock<usize> =
        LazyLock::new(|| usize::try_from(usable_memory() / 4).unwrap_or(usize::MAX));
    *QUARTER
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {hint}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// The obstacle, and how to remove it.
        hint: String,
        /// The system's own error.
        source: io::Error,
    },
}

/// The outcome of a shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Calls that were still in flight at the end of the grace period, and were dropped.
    pub dropped: usize,
}

/// The two stages of a shutdown.
#[derive(Clone)]
struct Shutdown {
    /// Calls in flight may end.
    graceful: CancellationToken,
    /// Calls in flight are dropped.
    forced: CancellationToken,
}

impl Shutdown {
    /// A child that follows this one. Waiting on it takes no lock that other connections take.
    fn child(&self) -> Self {
        Self {
            graceful: self.graceful.child_token(),
            forced: self.forced.child_token(),
        }
    }
}

/// A port that is bound. Connections wait in the kernel's backlog until [`Server::run`].
///
/// ```
/// use motet_runtime::health::Health;
/// use motet_runtime::layers;
/// use motet_runtime::limits::Admission;
/// use motet_runtime::metrics::Metrics;
/// use motet_runtime::routes::LiveRoutes;
/// use motet_runtime::serve::{Drained, ServeOptions, Server};
/// use tokio_util::sync::CancellationToken;
/// use tonic::service::Routes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (health, metrics) = (Health::new(), Metrics::new("example")?);
/// let routes = LiveRoutes::new(Routes::new(health.server()));
/// let guards = layers::Guards::default();
/// let service = layers::stack(routes, guards, Admission::new(1024), &metrics, 64 << 20);
///
/// let shutdown = CancellationToken::new();
/// let server = Server::bind("127.0.0.1:0".parse()?, ServeOptions::default()).await?;
/// println!("listening on {}", server.local_addr());
/// let running = server.spawn(service, shutdown.clone());
///
/// shutdown.cancel();
/// assert_eq!(running.await?, Drained { dropped: 0 });
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    http_port: Option<SocketAddr>,
    tls: Option<PortTls>,
    metrics: Option<ServerMetrics>,
    options: ServeOptions,
}

impl Server {
    /// Binds `addr`; port 0 chooses a free port (see [`Server::local_addr`]).
    ///
    /// # Errors
    /// If the address is taken, not this machine's, or not permitted: one line that names it.
    pub async fn bind(addr: SocketAddr, options: ServeOptions) -> Result<Self, ServeError> {
        let failed = |source: io::Error| {
            let hint = match source.kind() {
                io::ErrorKind::AddrInUse => "another program has this port; stop it, or choose \
                                             another port (0 takes any free one)"
                    .to_owned(),
                io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
                io::ErrorKind::PermissionDenied => {
                    "not permitted; ports below 1024 need extra rights".to_owned()
                }
                _ => source.to_string(),
            };
            ServeError::Bind { addr, hint, source }
        };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            local_addr,
            http_port: None,
            tls: None,
            metrics: None,
            options,
        })
    }

    /// Counts panics in `metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: ServerMetrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Names this address to clients that speak HTTP/1.1 to a gRPC port.
    #[must_use]
    pub fn with_http_port(mut self, address: Option<SocketAddr>) -> Self {
        self.http_port = address;
        self
    }

    /// Speaks TLS with this, or plain text with nothing.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<PortTls>) -> Self {
        self.tls = tls;
        self
    }

    /// The bound address, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` is cancelled. Then no connection is accepted, clients are told to go
    /// elsewhere (GOAWAY), calls in flight may end within the grace period, and the rest is
    /// dropped.
    pub async fn run<S, B>(self, service: S, shutdown: CancellationToken) -> Drained
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let shutdown = Shutdown {
            graceful: shutdown,
            forced: CancellationToken::new(),
        };
        let metrics = self.metrics.as_ref();
        let in_flight = Arc::new(AtomicUsize::new(0));
        let bytes = ByteBudget::new(self.options.max_bytes_in_flight, self.metrics.clone());
        let windows = Windows::new(self.options.max_bytes_in_flight / WINDOWS_PART);
        let open = Connections::new(self.options.max_connections, self.metrics.clone());
        let complaints = Complaints::default();
        let mut connections = JoinSet::new();
        {
            // Kept while other things happen: it may have a client in hand.
            let mut accepting = pin!(accept(&self.listener, &open));
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = shutdown.graceful.cancelled() => break,
                    // Frees what a closed connection held.
                    Some(closed) = connections.join_next() => {
                        report_panic(closed, metrics);
                        continue;
                    }
                    accepted = &mut accepting => accepted,
                };
                accepting.set(accept(&self.listener, &open));
                match accepted {
                    Ok((stream, peer, permit)) => {
                        let (shutdown, places) = (shutdown.child(), ConnectionPlaces::default());
                        let slot = open.add(permit, places.clone(), shutdown.clone());
                        let connection = Connection {
                            peer,
                            local: self.local_addr,
                            http_port: self.http_port,
                            places,
                            in_flight: in_flight.clone(),
                            bytes: bytes.connection(),
                            window: windows.lend(self.options.connection_window_bytes),
                            tls: self.tls.clone(),
                            complaints: complaints.clone(),
                            shutdown,
                            metrics: self.metrics.clone(),
                        };
                        let (service, options) = (service.clone(), self.options.clone());
                        connections.spawn(async move {
                            connection.serve(stream, service, &options).await;
                            drop(slot);
                        });
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        // Out of file descriptors or memory: accepting at once would only spin.
                        let (addr, made_room) = (self.local_addr, open.make_room());
                        let text = "cannot accept connections for now";
                        tracing::warn!(%error, %addr, made_room, "{text}");
                        tokio::select! {
                            () = shutdown.graceful.cancelled() => break,
                            () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        }
                    }
                }
            }
        }
        drop(self.listener);
        let mut closed = async || {
            while let Some(closed) = connections.join_next().await {
                report_panic(closed, metrics);
            }
        };
        let dropped = tokio::select! {
            () = closed() => 0,
            () = wait_until_quiet(&in_flight) => 0,
            () = tokio::time::sleep(self.options.grace) => in_flight.load(Ordering::Relaxed),
        };
        shutdown.forced.cancel();
        closed().await;
        if dropped > 0 {
            tracing::warn!(
                dropped,
                grace = ?self.options.grace,
                addr = %self.local_addr,
                "requests were still running at the end of the grace period and were dropped"
            );
        }
        Drained { dropped }
    }

    /// Runs the server as a task that returns the outcome of [`Server::run`].
    pub fn spawn<S, B>(
        self,
        service: S,
        shutdown: CancellationToken,
    ) -> tokio::task::JoinHandle<Drained>
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        tokio::spawn(self.run(service, shutdown))
    }
}

/// Logs and counts the panic of a connection's task, if it ended in one.
fn report_panic(closed: Result<(), JoinError>, metrics: Option<&ServerMetrics>) {
    if let Some(payload) = closed.err().and_then(|error| error.try_into_panic().ok()) {
        panics::report("connection", &*payload, metrics);
    }
}

/// How long clients may keep their connections open once none of their calls is in flight.
const QUIET_PERIOD: Duration = Duration::from_secs(1);

/// Waits until nothing was in flight for [`QUIET_PERIOD`]: the connections that are left then are
/// idle, and would only delay the end.
async fn wait_until_quiet(in_flight: &AtomicUsize) {
    const CHECKS: u32 = 20;
    let mut quiet = 0;
    while quiet < CHECKS {
        tokio::time::sleep(QUIET_PERIOD / CHECKS).await;
        quiet = match in_flight.load(Ordering::Relaxed) {
            0 => quiet + 1,
            _ => 0,
        };
    }
}

/// The part of [`ServeOptions::max_bytes_in_flight`] that windows may have besides.
const WINDOWS_PART: usize = 4;

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept(
    listener: &TcpListener,
    open: &Connections,
) -> io::Result<(
    tokio::net::TcpStream,
    SocketAddr,
    Option<tokio::sync::OwnedSemaphorePermit>,
)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?; // small answers must not wait for more to send
    // At the limit it waits here: with the client's connection in hand, so that nobody is closed
    // for a client that does not come.
    Ok((stream, peer, open.slot().await))
}

/// `true` for errors that mean that one client left before it was accepted, rather than that
/// accepting is broken.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

/// Runs a future until the token is cancelled; `None` if that came first.
async fn run_until<T>(token: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = token.cancelled() => None,
        value = future => Some(value),
    }
}

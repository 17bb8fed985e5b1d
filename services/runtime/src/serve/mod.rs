//! A listening port: accept loop, HTTP/2 (or HTTP/1 and 2), graceful shutdown.
//!
//! Our own loop rather than tonic's: tonic's server applies its own `grpc-timeout` (answering CANCELLED), reports
//! neither the bound port nor what a shutdown cut off, and waits for ever for calls that never end.

mod connection;
mod ending;
mod gather;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body as HttpBody;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;

use connection::{Connection, Ends};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with prior knowledge, as gRPC over plain text does.
    Grpc,
    /// HTTP/1.1 or HTTP/2, whichever the client begins with.
    Http,
}

/// How a port serves. Units are in the types; `Default` gives what motet ships with.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// What the port speaks.
    pub protocol: Protocol,
    /// Connections at once; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// HTTP/2 streams (calls) at once on one connection.
    pub max_concurrent_streams: u32,
    /// HTTP/2 flow control window of one stream, in bytes: how much of a request may arrive before it is read.
    pub stream_window_bytes: u32,
    /// HTTP/2 flow control window of one connection, in bytes.
    pub connection_window_bytes: u32,
    /// A connection that is silent this long is pinged.
    pub keep_alive_interval: Duration,
    /// A pinged connection that is silent this long is closed, and so is an HTTP/1 client that does not finish its
    /// request's headers in this time.
    pub keep_alive_timeout: Duration,
    /// How long calls in flight may go on once shutdown begins.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Grpc,
            max_connections: 10_000,
            max_concurrent_streams: 1024,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(20),
            grace: Duration::from_secs(30),
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {hint}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What is in the way, and what to do.
        hint: String,
        /// The system's own error.
        source: io::Error,
    },
}

/// How a server's shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Calls still in flight when the grace period ended; they were dropped.
    pub dropped: usize,
}

/// A port that is bound and not serving yet: connections made from here on wait until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    options: ServeOptions,
}

impl Server {
    /// Binds `addr`; port 0 takes any free port (see [`Server::local_addr`]).
    ///
    /// # Errors
    /// When the address is taken, not this machine's, or not permitted: one message that names it.
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
            options,
        })
    }

    /// The address that is really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` is cancelled. Then no connection is accepted, clients are told to go elsewhere (GOAWAY),
    /// calls in flight have the grace period to end, and what is left is dropped.
    pub async fn run<S, B>(self, service: S, shutdown: CancellationToken) -> Drained
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let ends = Ends {
            stop: shutdown,
            kill: CancellationToken::new(),
        };
        let in_flight = Arc::new(AtomicUsize::new(0));
        let slots = Arc::new(Semaphore::new(self.options.max_connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = ends.stop.cancelled() => break,
                Some(_) = connections.join_next() => continue, // frees what a finished connection held
                accepted = accept(&self.listener, &slots) => accepted,
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    let connection = Connection {
                        stream,
                        peer,
                        local: self.local_addr,
                        in_flight: in_flight.clone(),
                        ends: ends.clone(),
                    };
                    let (service, options) = (service.clone(), self.options.clone());
                    connections.spawn(async move {
                        connection.serve(service, &options).await;
                        drop(slot);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors or memory: accepting at once would only spin.
                    tracing::warn!(%error, addr = %self.local_addr, "cannot accept connections for now");
                    tokio::select! {
                        () = ends.stop.cancelled() => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
        drop(self.listener);
        let dropped = tokio::select! {
            () = async { while connections.join_next().await.is_some() {} } => 0,
            () = idle(&in_flight) => 0,
            () = tokio::time::sleep(self.options.grace) => in_flight.load(Ordering::Relaxed),
        };
        ends.kill.cancel();
        while connections.join_next().await.is_some() {}
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

    /// Runs the server as a task; its result is what [`Server::run`] gives.
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
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        tokio::spawn(self.run(service, shutdown))
    }
}

/// How long clients have to take their leave once nothing of theirs is in flight.
const LEAVE: Duration = Duration::from_secs(1);

/// Waits until nothing was in flight for [`LEAVE`]: what is connected then is silent, and would only hold up the stop.
async fn idle(in_flight: &AtomicUsize) {
    const CHECKS: u32 = 20;
    let mut quiet = 0;
    while quiet < CHECKS {
        tokio::time::sleep(LEAVE / CHECKS).await;
        quiet = match in_flight.load(Ordering::Relaxed) {
            0 => quiet + 1,
            _ => 0,
        };
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(
    tokio::net::TcpStream,
    SocketAddr,
    Option<tokio::sync::OwnedSemaphorePermit>,
)> {
    // The semaphore is never closed, so there is always a permit in the end.
    let slot = slots.clone().acquire_owned().await.ok();
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?; // small answers must not wait for more to send
    Ok((stream, peer, slot))
}

/// Errors that say that one client left before it was served, not that accepting is broken.
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

/// Runs a future until it ends or the token is cancelled; nothing in the second case.
async fn until<T>(token: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = token.cancelled() => None,
        value = future => Some(value),
    }
}

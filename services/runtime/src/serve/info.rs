//! Information about the connection of a request, for handlers.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// The connection that a request came over. [`Server`](super::Server) puts one into the extensions
/// of every request. Clones share it.
#[derive(Clone, Debug)]
pub struct ConnectionInfo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    peer: SocketAddr,
    local: SocketAddr,
    shutdown: CancellationToken,
}

impl ConnectionInfo {
    pub(super) fn new(peer: SocketAddr, local: SocketAddr, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            peer,
            local,
            shutdown,
        }))
    }

    /// The connection of a request with these extensions; `None` if it came over none, as calls
    /// within the process do.
    pub fn of(extensions: &http::Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The server's address.
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    /// Waits until the server shuts down. What serves a stream of requests takes no more of them
    /// then; see [`request_stream`](crate::request_stream).
    pub async fn shutdown(self) {
        self.0.shutdown.cancelled().await;
    }
}

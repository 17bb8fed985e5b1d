//! Information about the connection of a request, for handlers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::flow::Flow;
use crate::limits::ConnectionPlaces;
use crate::tls::PeerName;

/// Number of the next connection of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The connection that a request came over. [`Server`](super::Server) puts one into the extensions
/// of every request. Clones share it.
#[derive(Clone, Debug)]
pub struct ConnectionInfo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    peer: SocketAddr,
    local: SocketAddr,
    is_tls: bool,
    client_names: Vec<PeerName>,
    flow: Flow,
    places: ConnectionPlaces,
    shutdown: CancellationToken,
}

/// Facts about a connection that its handshake found.
#[derive(Debug, Default)]
pub(super) struct Security {
    pub(super) is_tls: bool,
    pub(super) client_names: Vec<PeerName>,
}

impl ConnectionInfo {
    pub(super) fn new(
        peer: SocketAddr,
        local: SocketAddr,
        security: Security,
        places: ConnectionPlaces,
        shutdown: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            peer,
            local,
            is_tls: security.is_tls,
            client_names: security.client_names,
            flow: Flow::of_connection(peer.ip(), NEXT.fetch_add(1, Ordering::Relaxed)),
            places,
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

    /// Returns whether the connection speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.0.is_tls
    }

    /// The names in the client's certificate, which one of the port's authorities vouches for:
    /// URIs, then DNS names, then the common name. None without a certificate.
    pub fn client_names(&self) -> &[PeerName] {
        &self.0.client_names
    }

    /// The flow of the connection's calls: the client's machine and the connection.
    pub fn flow(&self) -> Flow {
        self.0.flow
    }

    /// The places that its calls have taken.
    pub(crate) fn places(&self) -> &ConnectionPlaces {
        &self.0.places
    }

    /// Waits until the server shuts down. What serves a stream of requests takes no more of them
    /// then; see [`request_stream`](crate::request_stream).
    pub async fn shutdown(self) {
        self.0.shutdown.cancelled().await;
    }
}

//! TLS handshakes, each in the task of its connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::complaints::Complaints;
use super::info::Security;
use super::wrong_protocol;
use crate::metrics::ServerMetrics;
use crate::tls::{PortTls, names_of};

/// Facts of a connection that its handshake is told of with.
pub(super) struct Told<'c> {
    pub(super) peer: SocketAddr,
    pub(super) complaints: &'c Complaints,
    pub(super) metrics: Option<&'c ServerMetrics>,
}

/// Makes the handshake. `None` if there was none, which is counted and logged.
pub(super) async fn handshake(
    stream: TcpStream,
    tls: &PortTls,
    timeout: Duration,
    told: &Told<'_>,
) -> Option<Box<TlsStream<TcpStream>>> {
    let accepting = TlsAcceptor::from(tls.config()).accept(stream);
    let accepting = accepting.into_fallible();
    let (accepted, stream) = match tokio::time::timeout(timeout, accepting).await {
        Ok(Ok(accepted)) => (Ok(accepted), None),
        Ok(Err((error, stream))) => (Err(error), Some(stream)),
        Err(_) => (Err(std::io::ErrorKind::TimedOut.into()), None),
    };
    let result = accepted.as_ref().map_or_else(result, |_| "ok");
    if let Some(metrics) = told.metrics {
        metrics.handshake(result);
    }
    let error = match accepted {
        Ok(stream) => return Some(Box::new(stream)),
        Err(error) => error,
    };
    let peer = told.peer;
    // Clients that go away are normal.
    if result != "closed" && told.complaints.may_complain(peer.ip(), Instant::now()) {
        tracing::warn!(%peer, result, %error, "a TLS handshake failed");
    } else {
        tracing::debug!(%peer, result, %error, "a TLS handshake failed");
    }
    if let Some(stream) = stream {
        // There is an alert to read.
        wrong_protocol::hang_up(stream).await;
    }
    None
}

/// Returns what a finished handshake found.
pub(super) fn security(stream: &TlsStream<TcpStream>) -> Security {
    let certificates = stream.get_ref().1.peer_certificates();
    let client = certificates.and_then(|chain| chain.first());
    Security {
        is_tls: true,
        client_names: client.map(|found| names_of(found)).unwrap_or_default(),
    }
}

/// Returns the result of a handshake that failed, as metrics name it.
fn result(error: &std::io::Error) -> &'static str {
    use AlertDescription as A;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        None if error.kind() == std::io::ErrorKind::TimedOut => "timeout",
        None => "closed",
        Some(Error::NoCertificatesPresented) => "no_certificate",
        Some(Error::InvalidCertificate(_)) => "certificate",
        Some(Error::AlertReceived(
            A::UnknownCA
            | A::BadCertificate
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRevoked
            | A::UnsupportedCertificate
            | A::UnrecognisedName,
        )) => "refused",
        Some(
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol | Error::AlertReceived(_),
        ) => "protocol",
        Some(_) => "other",
    }
}

//! A connection to a server, whose first bytes are looked at.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::client::TlsStream;

use super::explained::Latest;
#[cfg(feature = "tls")]
use super::handshake::{handshake, refusal};
use super::problem::ConnectProblem;
use crate::config::Endpoint;
use crate::tls::ClientTls;

/// A connection to a server.
#[derive(Debug)]
pub struct Stream(Inner);

#[derive(Debug)]
enum Inner {
    Plain {
        stream: TcpStream,
        /// The server, until it has said something.
        unheard: Option<Box<Server>>,
    },
    #[cfg(feature = "tls")]
    Tls {
        stream: Box<TlsStream<TcpStream>>,
        server: Box<Server>,
    },
}

/// The server of a connection, and who learns what is wrong with it.
#[derive(Debug)]
struct Server {
    endpoint: Endpoint,
    latest: Latest,
}

impl Server {
    /// Returns a problem as an error of reading, once it is told.
    fn fails(&self, problem: ConnectProblem) -> io::Error {
        tracing::warn!("{problem}");
        self.latest.set(Some(problem.clone()));
        io::Error::other(problem)
    }
}

impl Stream {
    pub(super) fn plain(stream: TcpStream, endpoint: Endpoint, latest: Latest) -> Self {
        let unheard = Some(Box::new(Server { endpoint, latest }));
        Self(Inner::Plain { stream, unheard })
    }

    /// Makes the handshake.
    #[cfg(feature = "tls")]
    pub(super) async fn tls(
        stream: TcpStream,
        tls: &ClientTls,
        endpoint: Endpoint,
        latest: Latest,
    ) -> Result<Self, ConnectProblem> {
        let stream = handshake(stream, tls, &endpoint).await;
        let stream = stream.inspect_err(|problem| tracing::warn!("{problem}"))?;
        let server = Box::new(Server { endpoint, latest });
        Ok(Self(Inner::Tls { stream, server }))
    }

    /// Finds that this build has no TLS.
    #[cfg(not(feature = "tls"))]
    pub(super) async fn tls(
        _: TcpStream,
        tls: &ClientTls,
        _: Endpoint,
        _: Latest,
    ) -> Result<Self, ConnectProblem> {
        match *tls {}
    }
}

/// Returns whether a server that was spoken to in plain text begins with what one says that speaks
/// TLS: an alert, or, if it is motet, a GOAWAY with the code INADEQUATE_SECURITY.
fn speaks_tls(first: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const VERSION: u8 = 3;
    const INADEQUATE_SECURITY: u8 = 12;
    match first {
        [ALERT, VERSION, ..] => true,
        // Length, type; flags, stream and last stream; then the code.
        [0, 0, _, 7, rest @ ..] => rest.get(9..13) == Some(&[0, 0, 0, INADEQUATE_SECURITY]),
        _ => false,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Plain { stream, unheard } => {
                let before = into.filled().len();
                ready!(Pin::new(stream).poll_read(cx, into))?;
                if let Some(server) = unheard.take()
                    && speaks_tls(&into.filled()[before..])
                {
                    let (host, port) = (server.endpoint.host().to_owned(), server.endpoint.port());
                    let problem = ConnectProblem::NeedsTls { host, port };
                    return Poll::Ready(Err(server.fails(problem)));
                }
                Poll::Ready(Ok(()))
            }
            #[cfg(feature = "tls")]
            Inner::Tls { stream, server } => {
                let read = ready!(Pin::new(&mut **stream).poll_read(cx, into));
                // In TLS 1.3 a server refuses a client's certificate after its handshake.
                Poll::Ready(
                    read.map_err(|error| match refusal(&error, &server.endpoint) {
                        Some(problem) => server.fails(problem),
                        None => error,
                    }),
                )
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Plain { stream, .. } => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Inner::Tls { stream, .. } => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Plain { stream, .. } => Pin::new(stream).poll_write_vectored(cx, parts),
            #[cfg(feature = "tls")]
            Inner::Tls { stream, .. } => Pin::new(&mut **stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Plain { stream, .. } => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Inner::Tls { stream, .. } => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Plain { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Inner::Tls { stream, .. } => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_speaks_tls_is_told_by_what_it_says() {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let go_away = |code: u8| {
            let head = [0, 0, 8, 7, 0, 0, 0, 0, 0];
            [&head[..], &[0, 0, 0, 0], &[0, 0, 0, code]].concat()
        };
        for (first, expected) in [
            (vec![21, 3, 1, 0, 2, 2, 70], true),
            (go_away(12), true),
            (go_away(11), false),
            (settings.to_vec(), false),
            (b"HTTP/1.1 400 Bad Request".to_vec(), false),
            (Vec::new(), false),
        ] {
            assert_eq!(speaks_tls(&first), expected, "{first:?}");
        }
    }
}

//! The socket of a connection: plain, or inside TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(feature = "tls")]
use tokio::io::AsyncBufRead;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

/// Bytes that tell HTTP/2's preface from every HTTP/1 method.
const TELLING: usize = 4;

/// The socket of a connection.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
}

/// The first bytes of a connection, as far as they have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstBytes {
    /// None, and none are to be expected.
    None,
    /// Those of an HTTP/2 client with prior knowledge.
    Http2,
    /// Those of a TLS client.
    Tls,
    /// Others.
    Other,
}

impl FirstBytes {
    /// Waits for a client's first bytes, and leaves them to be read.
    pub(super) async fn peek(stream: &TcpStream) -> Self {
        let mut first = [0; TELLING];
        let peeked = stream.peek(&mut first).await.unwrap_or(0);
        Self::of(&first[..peeked])
    }

    /// Tells what a connection begins with. Where only some bytes have arrived, those decide.
    fn of(bytes: &[u8]) -> Self {
        /// The type of a TLS record with a handshake message.
        const HANDSHAKE: u8 = 22;
        match bytes {
            [] => Self::None,
            [HANDSHAKE, ..] => Self::Tls,
            bytes if b"PRI ".starts_with(bytes) => Self::Http2,
            _ => Self::Other,
        }
    }
}

#[cfg(feature = "tls")]
impl FirstBytes {
    /// Waits for a client's first bytes inside TLS, and leaves them to be read.
    pub(super) async fn peek_inside(stream: &mut TlsStream<TcpStream>) -> Self {
        std::future::poll_fn(|cx| {
            let read = Pin::new(&mut *stream).poll_fill_buf(cx);
            read.map(|read| {
                let read = read.unwrap_or_default();
                Self::of(&read[..read.len().min(TELLING)])
            })
        })
        .await
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_client_speaks() {
        for (bytes, expected) in [
            (&b""[..], FirstBytes::None),
            (b"P", FirstBytes::Http2),
            (b"PRI ", FirstBytes::Http2),
            (b"POST", FirstBytes::Other),
            (b"GET ", FirstBytes::Other),
            (&[22, 3, 1, 2], FirstBytes::Tls),
            (&[22], FirstBytes::Tls),
            (&[21, 3, 1, 0], FirstBytes::Other),
        ] {
            assert_eq!(FirstBytes::of(bytes), expected, "{bytes:?}");
        }
    }
}

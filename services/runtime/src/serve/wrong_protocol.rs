//! Last words to clients that speak TLS to a port without it, or plain text to one with it: in the
//! client's own protocol, so that its user reads them.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::complaints::Complaints;
use super::frames::{GoAway, go_away};
use super::socket::FirstBytes;

/// Time that the client has to take them.
const TIME: Duration = Duration::from_secs(1);

const NEEDS_TLS: &str = "this port speaks TLS: use grpcs:// or https://";
const HAS_NO_TLS: &str = "This port speaks plain text: use grpc:// or http://.";

/// Returns what a client hears that began with `first`.
fn last_words(first: FirstBytes) -> Vec<u8> {
    match first {
        // Without the settings that servers begin with: after these, gRPC clients take a connection
        // for made, and make the next at once instead of ever later.
        FirstBytes::Http2 => go_away(0, GoAway::InadequateSecurity, NEEDS_TLS),
        FirstBytes::Tls => answer(HAS_NO_TLS),
        FirstBytes::Other | FirstBytes::None => answer(NEEDS_TLS),
    }
}

/// Returns an answer in HTTP/1.1.
fn answer(text: &str) -> Vec<u8> {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{text}\n"
    )
    .into_bytes()
}

/// Answers a client whose first bytes are not of the protocol of the port, and closes.
pub(super) async fn refuse(
    stream: TcpStream,
    first: FirstBytes,
    peer: SocketAddr,
    complaints: &Complaints,
) {
    let (words, port) = match first {
        FirstBytes::Tls => ("a client speaks TLS to a port without it", "plain text"),
        _ => ("a client speaks plain text to a TLS port", "TLS"),
    };
    if complaints.may_complain(peer.ip(), Instant::now()) {
        tracing::warn!(%peer, port, "{words}: refused");
    }
    let _ = tokio::time::timeout(TIME, say(stream, &last_words(first))).await;
}

/// Closes a connection whose client has something to read, once it had time to.
#[cfg(feature = "tls")]
pub(super) async fn hang_up(stream: TcpStream) {
    let _ = tokio::time::timeout(TIME, say(stream, &[])).await;
}

/// Sends the words, and takes what the client sends meanwhile: closing a socket with unread bytes
/// would take back what was sent.
async fn say(mut stream: TcpStream, mut words: &[u8]) -> std::io::Result<()> {
    while !words.is_empty() {
        stream.writable().await?;
        match stream.try_write(words) {
            Ok(0) => return Ok(()),
            Ok(sent) => words = &words[sent..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
    let mut bytes = [0; 1024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

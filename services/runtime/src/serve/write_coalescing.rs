//! Write coalescing: what is written while a connection is polled is sent in one system call.
//!
//! h2 hands every frame of 256 bytes or more to the socket at once. An answer of that size would
//! take two system calls and two packets: headers and message first, then trailers; its caller
//! would be woken twice. Here small writes are buffered until the poll of the connection ends.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::guard::Guard;
use super::resets::Verdict;
use super::socket::Socket;

/// The largest write that is buffered, in bytes. Copying more would take longer than a system call.
const BUFFERED_WRITE_MAX: usize = 4096;
/// The capacity of the buffer, in bytes.
const BUFFER_MAX: usize = 16 * 1024;

/// Most bytes of one read from a client that resets calls: a few calls, so that those of others are
/// served between them.
const WARY_READ_MAX: usize = 1024;

/// A socket whose small writes are buffered. Flushing it does nothing: [`SharedBuffer::drive`]
/// sends the buffer after each poll of the connection. Shutting down waits until it is sent.
#[derive(Debug)]
pub(super) struct CoalescingStream {
    buffer: SharedBuffer,
    /// Runs while the client is read slowly.
    pause: Option<Pin<Box<Sleep>>>,
    is_ended: bool,
}

/// A socket and the buffer of its writes. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct SharedBuffer(Arc<Mutex<WriteBuffer>>);

#[derive(Debug)]
struct WriteBuffer {
    socket: Socket,
    bytes: BytesMut,
    guard: Option<Guard>,
}

impl CoalescingStream {
    /// A socket of an HTTP/2 client, whose frames `guard` watches, or of another client.
    pub(super) fn new(socket: Socket, guard: Option<Guard>) -> Self {
        let bytes = BytesMut::new();
        let buffer = SharedBuffer(Arc::new(Mutex::new(WriteBuffer {
            socket,
            bytes,
            guard,
        })));
        Self {
            buffer,
            pause: None,
            is_ended: false,
        }
    }

    /// The buffer, which the caller must drive.
    pub(super) fn buffer(&self) -> SharedBuffer {
        self.buffer.clone()
    }
}

impl SharedBuffer {
    /// Runs the connection that writes to this socket, and sends the buffer after each poll.
    pub(super) async fn drive<E: From<io::Error>>(
        &self,
        mut connection: Pin<&mut impl Future<Output = Result<(), E>>>,
    ) -> Result<(), E> {
        poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => {
                // After an error the connection may not have shut the socket down: send what the
                // socket takes.
                let _ = self.lock().poll_send(cx);
                Poll::Ready(ended)
            }
            Poll::Pending => match self.lock().poll_send(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            },
        })
        .await
    }

    /// Tells the client to go away and to stay calm, where it takes the bytes that are before that.
    pub(super) fn end(&self) {
        let mut buffer = self.lock();
        let Some(last_words) = buffer.guard.as_ref().and_then(Guard::last_words) else {
            return;
        };
        buffer.bytes.extend_from_slice(&last_words);
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        let _ = buffer.poll_send(&mut cx); // the rest goes with the next poll of the connection
    }

    /// Locks the buffer: uncontended, since only the connection's task does, and for one system
    /// call.
    fn lock(&self) -> MutexGuard<'_, WriteBuffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriteBuffer {
    /// Sends the buffer; ready when it is empty.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.bytes))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(sent);
        }
        // TLS keeps records that the socket did not take.
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.poll_write_unwatched(cx, parts))?;
        if let Some(guard) = &mut self.guard {
            guard.sent(parts, written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_unwatched(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes > BUFFERED_WRITE_MAX {
            ready!(self.poll_send(cx))?;
            return Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        }
        if self.bytes.len() + bytes > BUFFER_MAX {
            ready!(self.poll_send(cx))?;
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for CoalescingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_ended {
            return Poll::Pending; // for good: the connection is dropped soon
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let mut buffer = this.buffer.lock();
        let buffer = &mut *buffer;
        let is_wary = buffer.guard.as_ref().is_some_and(Guard::is_wary);
        let before = into.filled().len();
        let socket = Pin::new(&mut buffer.socket);
        if is_wary {
            let mut few = [0; WARY_READ_MAX];
            let most = few.len().min(into.remaining());
            let mut few = ReadBuf::new(&mut few[..most]);
            ready!(socket.poll_read(cx, &mut few))?;
            into.put_slice(few.filled());
        } else {
            ready!(socket.poll_read(cx, into))?;
        }
        if let Some(guard) = &mut buffer.guard {
            match guard.received(&into.filled()[before..]) {
                Verdict::Read => {}
                Verdict::Pause(pause) => this.pause = Some(Box::pin(tokio::time::sleep(pause))),
                Verdict::End => this.is_ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CoalescingStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.buffer.lock().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.buffer.lock().poll_write(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = self.buffer.lock();
        ready!(buffer.poll_send(cx))?;
        Pin::new(&mut buffer.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn connected() -> (CoalescingStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (
            CoalescingStream::new(Socket::Plain(accepted.unwrap().0), None),
            client.unwrap(),
        )
    }

    #[tokio::test]
    async fn small_writes_wait_until_the_poll_ends_and_leave_in_one() {
        let (mut socket, mut client) = connected().await;
        let buffer = socket.buffer();
        let mut bytes = [0; 64];
        let mut connection = Box::pin(async {
            for part in ["headers ", "message ", "trailers"] {
                socket.write_all(part.as_bytes()).await?;
                socket.flush().await?;
                assert_eq!(
                    client.try_read(&mut bytes).unwrap_err().kind(),
                    io::ErrorKind::WouldBlock
                );
            }
            tokio::task::yield_now().await;
            client.readable().await?;
            let read = client.read(&mut bytes).await?;
            assert_eq!(&bytes[..read], b"headers message trailers");
            io::Result::Ok(())
        });
        buffer.drive(connection.as_mut()).await.unwrap();
    }

    #[tokio::test]
    async fn bytes_keep_their_order_also_when_the_client_is_slow() {
        let (mut socket, mut client) = connected().await;
        let buffer = socket.buffer();
        let sizes = [1, 300, 4000, 4096, 4097, 9000, 100_000, 7];
        let parts: Vec<Vec<u8>> = (0..400_usize)
            .map(|at| {
                (0..sizes[at % sizes.len()])
                    .map(|byte| (at * 31 + byte) as u8)
                    .collect()
            })
            .collect();
        let expected = parts.concat();
        let mut connection = Box::pin(async {
            for part in &parts {
                socket.write_all(part).await?;
                socket.flush().await?;
            }
            socket.shutdown().await
        });
        let read = async {
            let mut all = Vec::new();
            while client.read_buf(&mut all).await.unwrap() > 0 {
                tokio::task::yield_now().await;
            }
            all
        };
        let (sent, read) = tokio::join!(buffer.drive(connection.as_mut()), read);
        sent.unwrap();
        assert!(read == expected);
    }

    #[tokio::test]
    async fn last_words_are_sent_also_when_the_connection_ends_by_an_error() {
        let (mut socket, mut client) = connected().await;
        let buffer = socket.buffer();
        let mut connection = Box::pin(async {
            socket.write_all(b"go away").await?;
            Err(io::Error::other("no HTTP"))
        });
        let ended: io::Result<()> = buffer.drive(connection.as_mut()).await;
        assert_eq!(ended.unwrap_err().to_string(), "no HTTP");
        let mut bytes = [0; 7];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"go away");
    }

    #[tokio::test]
    async fn a_client_that_has_gone_ends_the_connection() {
        let (mut socket, client) = connected().await;
        let buffer = socket.buffer();
        drop(client);
        let mut connection = Box::pin(async {
            loop {
                socket.write_all(b"is anybody there?").await?;
                tokio::task::yield_now().await;
            }
        });
        let ended: io::Result<()> = buffer.drive(connection.as_mut()).await;
        assert!(ended.is_err());
    }
}

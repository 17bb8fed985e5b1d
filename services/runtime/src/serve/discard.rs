//! The rest of a request whose answer is over.
//!
//! A call that is refused ends before its message has arrived. Closing the request's side then
//! means to reset its stream, and HTTP/2 counts what still arrives for such a stream as an error of
//! the client, whose connection it ends after a thousand of them. So the rest is read and thrown
//! away; a client that has its answer soon stops sending.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Incoming};

use super::ConnectionInfo;

/// Most bytes that are read. After them the stream is reset.
const BYTES_MAX: usize = 16 << 20;
/// Longest time.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Reads the rest of a body, in a task of its own where it is not here yet. Ends when the server
/// shuts down.
pub(super) fn discard(mut body: Incoming, connection: ConnectionInfo) {
    let mut left = BYTES_MAX;
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    if poll_end(&mut body, &mut left, &mut cx).is_ready() {
        return;
    }
    // Without a runtime the process ends.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            tokio::select! {
                () = std::future::poll_fn(|cx| poll_end(&mut body, &mut left, cx)) => {}
                () = tokio::time::sleep(TIME_MAX) => {}
                () = connection.shutdown() => {}
            }
        });
    }
}

/// Ready at the end of the body, or when too much of it has come.
fn poll_end(body: &mut Incoming, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    while *left > 0 && !body.is_end_stream() {
        match std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let size = frame.data_ref().map_or(0, |data| data.len());
                *left = left.saturating_sub(size);
            }
            Some(Err(_)) | None => break,
        }
    }
    Poll::Ready(())
}

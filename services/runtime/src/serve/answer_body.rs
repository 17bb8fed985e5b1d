//! The body of an answer: its bytes count until the socket has them, and it is handed to HTTP/2 in
//! pieces, so that what a client does not take stays here, where it can be ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::reader;
use super::unread::{Unread, UnreadAnswer};
use crate::limits::HeldBytes;
use crate::status::trailers;
use crate::usage::Usage;

/// Size of a piece, which is that of HTTP/2's frames.
const PIECE: usize = 16 << 10;
/// Largest message that is sent also when the budget has no room for it: there are no more of them
/// than requests in progress.
const SMALL: usize = 64 << 10;

/// The body of an answer.
pub(super) struct AnswerBody<B> {
    inner: Option<B>,
    /// Rest of the data that came last from inside.
    rest: Bytes,
    /// Frame from inside that is not data.
    next: Option<Frame<Bytes>>,
    answer: Arc<Answer>,
    usage: Usage,
}

/// State that the pieces of one answer share.
struct Answer {
    held: HeldBytes,
    unread: UnreadAnswer,
}

/// A part of an answer's data. Dropping it, which HTTP/2 does once it is in the socket or nobody
/// wants it, gives its bytes back.
pub(super) struct Piece {
    bytes: Bytes,
    size: usize,
    answer: Arc<Answer>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> AnswerBody<B> {
    pub(super) fn new(inner: B, held: HeldBytes, unread: Arc<Unread>, usage: Usage) -> Self {
        let unread = UnreadAnswer::new(unread);
        Self {
            inner: Some(inner),
            rest: Bytes::new(),
            next: None,
            answer: Arc::new(Answer { held, unread }),
            usage,
        }
    }

    /// Takes the first frame from inside if it is ready: an answer that exists counts also if its
    /// client never lets it be sent.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>) {
        if !self.is_end_stream()
            && let Poll::Ready(Some(Ok(frame))) = self.poll_inside(cx)
        {
            self.take(frame);
        }
    }

    fn poll_inside(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    /// Takes a frame from inside. Data for which there is no room ends the answer.
    fn take(&mut self, frame: Frame<Bytes>) {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(other) => {
                self.next = Some(other);
                return;
            }
        };
        let held = &self.answer.held;
        if data.len() <= SMALL {
            held.add(data.len());
        } else if let Err(refusal) = held.grow(data.len()) {
            self.inner = None;
            self.next = Some(Frame::trailers(trailers(&refusal)));
            return;
        }
        self.usage.add_sent(data.len());
        self.rest = data;
    }

    fn piece(&mut self) -> Frame<Piece> {
        let size = self.rest.len().min(PIECE);
        self.answer.unread.handed();
        reader::handed();
        Frame::data(Piece {
            bytes: self.rest.split_to(size),
            size,
            answer: self.answer.clone(),
        })
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for AnswerBody<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = &mut *self;
        loop {
            if !this.rest.is_empty() {
                return Poll::Ready(Some(Ok(this.piece())));
            }
            if let Some(frame) = this.next.take() {
                reader::waits();
                let frame = frame.into_trailers().ok();
                return Poll::Ready(frame.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            match this.poll_inside(cx) {
                Poll::Ready(Some(Ok(frame))) => this.take(frame),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    reader::waits();
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let inner = self.inner.as_ref();
        self.rest.is_empty() && self.next.is_none() && inner.is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inside = self.inner.as_ref().map(HttpBody::size_hint);
        let inside = inside.unwrap_or_else(|| SizeHint::with_exact(0));
        let rest = self.rest.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inside.lower().saturating_add(rest));
        if let Some(upper) = inside.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl<B> Drop for AnswerBody<B> {
    fn drop(&mut self) {
        self.answer.held.shrink(self.rest.len());
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.answer.held.shrink(self.size);
        self.answer.unread.taken();
    }
}

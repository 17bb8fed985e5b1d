//! The messages of a body, expanded or compressed one by one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;

use super::codec::{Encoding, ExpandError};
use crate::limits::HeldBytes;
use crate::request_stream::MessageSizes;
use crate::status::{Reason, StatusBuilder, internal, message_too_large};

/// The flag and the length before a message.
const PREFIX: usize = 5;
/// A smaller message gains nothing from compression.
const COMPRESSED_MIN: usize = 512;
/// Largest message that is compressed on the async runtime: a larger one takes over a millisecond.
const INLINE_COMPRESS: usize = 16 << 10;
/// Largest message, before and after, that is expanded on the async runtime.
const INLINE_EXPAND: usize = 64 << 10;

/// Conversion of each message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recoding {
    /// Those that are compressed are expanded, at most to this limit.
    Expand(Encoding, usize),
    /// Those that are worth it are compressed.
    Compress(Encoding),
}

/// Counts what messages become.
pub(super) struct Expanded {
    held: HeldBytes,
    /// Where the request is one of a stream.
    messages: Option<MessageSizes>,
}

impl Expanded {
    /// Returns the counts of a request with these extensions; `None` if it did not come through a
    /// server.
    pub(super) fn of(extensions: &http::Extensions) -> Option<Self> {
        Some(Self {
            held: HeldBytes::of(extensions)?.clone(),
            messages: extensions.get().cloned(),
        })
    }

    /// Counts the next message, which has so many bytes.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED where the budget has no room for it.
    fn count(&self, bytes: usize) -> Result<(), Status> {
        self.held.grow(bytes)?;
        if let Some(messages) = &self.messages {
            messages.grow_next(bytes);
        }
        Ok(())
    }
}

/// A body whose messages are expanded or compressed.
pub(super) struct Recoded {
    inner: Body,
    recoding: Recoding,
    expanded: Option<Expanded>,
    /// Bytes that have arrived and are not a whole message yet.
    buffer: BytesMut,
    /// A message that another thread works on.
    running: Option<JoinHandle<Result<Bytes, Status>>>,
    trailers: Option<HeaderMap>,
    is_over: bool,
}

impl Recoded {
    pub(super) fn new(inner: Body, recoding: Recoding, expanded: Option<Expanded>) -> Self {
        Self {
            inner,
            recoding,
            expanded,
            buffer: BytesMut::new(),
            running: None,
            trailers: None,
            is_over: false,
        }
    }

    /// Counts a message that was expanded.
    fn counted(&self, message: Result<Bytes, Status>) -> Result<Bytes, Status> {
        let message = message?;
        if let Some(expanded) = &self.expanded {
            expanded.count(message.len())?;
        }
        Ok(message)
    }

    /// Takes the next whole message of the buffer: recoded already, or by another thread. `None`
    /// until there is one.
    fn next(&mut self) -> Result<Option<Step>, Status> {
        let Some((flag, length)) = prefix(&self.buffer) else {
            return Ok(None);
        };
        if let Recoding::Expand(_, limit) = self.recoding
            && length > limit
        {
            let what = format!("the message has {length} bytes, the limit is {limit} bytes");
            return Err(message_too_large(what, limit.to_string()).into());
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        let framed = self.buffer.split_to(PREFIX + length).freeze();
        let message = framed.slice(PREFIX..);
        match (self.recoding, flag) {
            (Recoding::Expand(encoding, limit), 1) => {
                Ok(Some(match expand(encoding, message, limit)? {
                    Step::Done(message) => Step::Done(self.counted(Ok(message))?),
                    running @ Step::Running(_) => running,
                }))
            }
            (Recoding::Compress(encoding), 0) if length >= COMPRESSED_MIN => {
                Ok(Some(compress(encoding, framed, message)))
            }
            _ => Ok(Some(Step::Done(framed))),
        }
    }
}

/// A message that is recoded, or that another thread recodes.
enum Step {
    Done(Bytes),
    Running(JoinHandle<Result<Bytes, Status>>),
}

fn expand(encoding: Encoding, message: Bytes, limit: usize) -> Result<Step, Status> {
    let inline = limit.min(INLINE_EXPAND);
    if message.len() <= inline {
        match encoding.expand(&message, inline) {
            Err(ExpandError::TooLarge) if inline < limit => {}
            answer => return expanded(encoding, answer, limit).map(Step::Done),
        }
    }
    Ok(Step::Running(tokio::task::spawn_blocking(move || {
        expanded(encoding, encoding.expand(&message, limit), limit)
    })))
}

fn expanded(
    encoding: Encoding,
    answer: Result<Bytes, ExpandError>,
    limit: usize,
) -> Result<Bytes, Status> {
    match answer {
        Ok(message) => Ok(framed(0, &message)),
        Err(ExpandError::TooLarge) => {
            let what = format!(
                "the message has more than {limit} bytes once decompressed, which is the limit"
            );
            Err(message_too_large(what, limit.to_string()).into())
        }
        Err(ExpandError::Malformed(why)) => {
            let name = encoding.name();
            let what = format!("the message is not valid {name}: {why}");
            Err(StatusBuilder::new(Reason::MalformedMessage, what).into())
        }
    }
}

fn compress(encoding: Encoding, plain: Bytes, message: Bytes) -> Step {
    let is_small = message.len() <= INLINE_COMPRESS;
    let work = move || match encoding.compress(&message) {
        Some(compressed) => framed(1, &compressed),
        None => plain,
    };
    match is_small {
        true => Step::Done(work()),
        false => Step::Running(tokio::task::spawn_blocking(move || Ok(work()))),
    }
}

/// Returns the flag and the length of the message that begins here.
fn prefix(buffer: &BytesMut) -> Option<(u8, usize)> {
    let (flag, rest) = buffer.split_first()?;
    let length = u32::from_be_bytes(*rest.first_chunk()?);
    Some((*flag, length as usize))
}

fn framed(flag: u8, message: &Bytes) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(flag);
    // A message of more than 4 GiB is over every limit.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(message);
    framed.freeze()
}

impl HttpBody for Recoded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(running) = &mut this.running {
                let ended = std::task::ready!(Pin::new(running).poll(cx));
                this.running = None;
                let message = ended.unwrap_or_else(|_| Err(internal("recoding failed").into()));
                let message = this.counted(message);
                if message.is_err() {
                    // Nothing after a message that cannot be read is a message.
                    this.is_over = true;
                    this.buffer.clear();
                }
                return Poll::Ready(Some(message.map(Frame::data)));
            }
            if this.is_over && this.buffer.is_empty() {
                return Poll::Ready(this.trailers.take().map(|t| Ok(Frame::trailers(t))));
            }
            match this.next() {
                Ok(Some(Step::Done(message))) => {
                    return Poll::Ready(Some(Ok(Frame::data(message))));
                }
                Ok(Some(Step::Running(running))) => {
                    this.running = Some(running);
                    continue;
                }
                Ok(None) if this.is_over => {
                    // A message that is cut off: whoever reads it says so.
                    return Poll::Ready(Some(Ok(Frame::data(this.buffer.split().freeze()))));
                }
                Ok(None) => {}
                Err(status) => {
                    this.buffer.clear();
                    this.is_over = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
            match std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) => this
                        .buffer
                        .extend_from_slice(&data.copy_to_bytes(data.len())),
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        this.is_over = true;
                    }
                },
                Some(Err(status)) => {
                    this.is_over = true;
                    this.buffer.clear();
                    return Poll::Ready(Some(Err(status)));
                }
                None => this.is_over = true,
            }
        }
    }
}

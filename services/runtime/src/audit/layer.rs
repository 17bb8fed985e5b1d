//! The server layer that writes the audit.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::file::Audit;
use super::record::{CallRecord, Event};
use crate::layers::call::{CallHooks, HookedBody, code_of};
use crate::limits::is_request_stream;
use crate::listener::{is_admin, is_health};
use crate::serve::ConnectionInfo;
use crate::status::{Reason, StatusBuilder};
use crate::telemetry::propagate::current_trace_id;

/// Writes a line for each call but those of health. Where the audit is required, an answer is sent
/// once its line is in the file, and UNAVAILABLE in its place if it cannot be.
#[derive(Clone, Debug)]
pub struct AuditLayer(Option<Audit>);

impl AuditLayer {
    /// Writes to `audit`; without one, nothing is written.
    pub fn new(audit: Option<Audit>) -> Self {
        Self(audit)
    }

    /// Puts the layer around `service`.
    pub fn wrap<S>(&self, service: S) -> AuditService<S> {
        AuditService {
            audit: self.0.clone(),
            inner: service,
        }
    }
}

/// A service with an [`AuditLayer`] around it.
#[derive(Clone, Debug)]
pub struct AuditService<S> {
    audit: Option<Audit>,
    inner: S,
}

impl<S> Service<Request<Body>> for AuditService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send,
    S: Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AuditFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let audit = match &self.audit {
            Some(audit) if !is_health(request.uri().path()) => audit.clone(),
            _ => {
                return AuditFuture::Passed {
                    inner: self.inner.call(request),
                };
            }
        };
        let connection = ConnectionInfo::of(request.extensions());
        let peer = connection.map(ConnectionInfo::peer);
        let listener = connection.map(ConnectionInfo::local);
        let path = request.uri().path().to_owned();
        let record = CallRecord::new(&path, peer, listener);
        request.extensions_mut().insert(record.clone());
        let call = AuditedCall {
            audit,
            record,
            began: Instant::now(),
            trace_id: current_trace_id(),
            ended: false,
        };
        // The one that was ready; all services here always are.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        AuditFuture::Audited {
            inner: Box::pin(call.run(inner, request, path)),
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`AuditService`].
    #[project = AuditFutureProjection]
    pub enum AuditFuture<F> {
        /// The call is not audited.
        Passed {
            #[pin]
            inner: F,
        },
        /// It is.
        Audited {
            inner: BoxFuture<'static, Result<Response<Body>, Infallible>>,
        },
    }
}

impl<F> Future for AuditFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AuditFutureProjection::Passed { inner } => inner.poll(cx),
            AuditFutureProjection::Audited { inner } => inner.as_mut().poll(cx),
        }
    }
}

/// A call that is audited.
struct AuditedCall {
    audit: Audit,
    record: CallRecord,
    began: Instant,
    trace_id: Option<String>,
    /// `true` once its last line is on its way.
    ended: bool,
}

impl AuditedCall {
    async fn run<S>(
        mut self,
        mut inner: S,
        request: Request<Body>,
        path: String,
    ) -> Result<Response<Body>, Infallible>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let is_stream = is_request_stream(&path) || path.starts_with("/grpc.reflection.");
        // A change must not happen that nobody can read of, nor the answers of a stream.
        if (is_admin(&path) || is_stream) && !self.write(Event::Begin).await {
            self.ended = true;
            return Ok(unavailable().into_http());
        }
        let response = inner.call(request).await?;
        if is_stream {
            if let Some(code) = code_of(response.headers()) {
                self.end(code);
                return Ok(response);
            }
            return Ok(response.map(|body| Body::new(HookedBody::new(body, Some(self)))));
        }
        let (parts, body) = response.into_parts();
        let (code, frames) = match code_of(&parts.headers) {
            Some(code) => (code, VecDeque::new()),
            None => collected(body).await,
        };
        self.ended = true;
        let event = self.event(code);
        if !self.write(event).await {
            return Ok(unavailable().into_http());
        }
        let body = Body::new(Collected(frames));
        Ok(Response::from_parts(parts, body))
    }

    /// Writes a line. Returns `false` if it had to be in the file, and is not.
    async fn write(&self, event: Event) -> bool {
        let line = self.record.line(event, self.trace_id.as_deref());
        if self.audit.is_required() {
            return self.audit.write(line).await;
        }
        self.audit.send(line);
        true
    }

    fn event(&self, code: Code) -> Event {
        Event::Call {
            code,
            took: self.began.elapsed(),
        }
    }
}

impl CallHooks for AuditedCall {
    fn end(&mut self, code: Code) {
        self.ended = true;
        let line = self.record.line(self.event(code), self.trace_id.as_deref());
        self.audit.send(line);
    }
}

impl Drop for AuditedCall {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Code::Cancelled);
        }
    }
}

/// Returns the status of a call whose line cannot be written.
fn unavailable() -> Status {
    let text = "the audit cannot be written, and this server answers nothing without it";
    StatusBuilder::new(Reason::AuditUnavailable, text).into()
}

/// Takes the frames of an answer, whose message is whole already, and the code in its trailers.
async fn collected(mut body: Body) -> (Code, VecDeque<Frame<Bytes>>) {
    let mut frames = VecDeque::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return (Code::Unknown, frames);
        };
        frames.push_back(frame);
    }
    let trailers = frames.back().and_then(Frame::trailers_ref);
    let code = trailers.map_or(Code::Ok, |trailers| {
        code_of(trailers).unwrap_or(Code::Unknown)
    });
    (code, frames)
}

/// An answer that was collected.
struct Collected(VecDeque<Frame<Bytes>>);

impl HttpBody for Collected {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

//! A gRPC service that does what the request's text says, to be served by what is under test.
//!
//! Its messages are `google.protobuf.StringValue`, which prost knows as `String`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use motet_runtime::deadline::Deadline;
use motet_runtime::flow::Flow;
use motet_runtime::request_stream::answer_each;
use motet_runtime::serve::ConnectionInfo;
use motet_runtime::telemetry::propagate;
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tower::Service;

pub(crate) const UNARY: &str = "/test.TestService/Unary";
pub(crate) const STREAM: &str = "/test.TestService/Stream";
/// The unary method for large messages.
pub(crate) const LARGE: &str = "/test.TestService/Large";
pub(crate) const EACH: &str = "/test.TestService/EachStream";
/// Longest request in bytes.
pub(crate) const MESSAGE_MAX: usize = 1000;

/// Events inside a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Began,
    Dropped,
}

#[derive(Clone)]
pub(crate) struct TestService {
    pub(crate) greeting: &'static str,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// `wait` answers once this is true.
    pub(crate) release: watch::Receiver<bool>,
}

struct TellDrop(mpsc::UnboundedSender<Event>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Event::Dropped);
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Answers = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

impl UnaryService<String> for TestService {
    type Response = String;
    type Future = BoxFuture<Result<tonic::Response<String>, Status>>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        let mut this = self.clone();
        Box::pin(async move {
            let _ = this.events.send(Event::Began);
            let _tell = TellDrop(this.events.clone());
            let answer = match request.get_ref().as_str() {
                "hang" => std::future::pending().await,
                "panic" => panic!("as the request asked"),
                "wait" => {
                    let _ = this.release.wait_for(|released| *released).await;
                    "released".to_owned()
                }
                "deadline" => match Deadline::of(request.extensions()) {
                    Some(deadline) => deadline
                        .remaining(tokio::time::Instant::now())
                        .as_nanos()
                        .to_string(),
                    None => "none".to_owned(),
                },
                "flow" => Flow::current().to_string(),
                "peer" => {
                    let connection = ConnectionInfo::of(request.extensions());
                    format!(
                        "{:?}",
                        connection.is_some_and(|c| c.peer().ip().is_loopback())
                    )
                }
                header @ ("traceparent" | "baggage") => {
                    tracing::info!("in the handler");
                    let mut outgoing = tonic::metadata::MetadataMap::new();
                    propagate::inject(&mut outgoing);
                    let header = outgoing.get(header).and_then(|v| v.to_str().ok());
                    header.unwrap_or("none").to_owned()
                }
                text => match text.strip_prefix("size ").map(str::parse) {
                    Some(Ok(bytes)) => "x".repeat(bytes),
                    _ => format!("{} {text}", this.greeting),
                },
            };
            Ok(tonic::Response::new(answer))
        })
    }
}

impl StreamingService<String> for TestService {
    type Response = String;
    type ResponseStream = Answers;
    type Future = BoxFuture<Result<tonic::Response<Answers>, Status>>;

    /// Echoes each message; `hang` never ends, `panic` panics.
    fn call(&mut self, request: tonic::Request<Streaming<String>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let _ = this.events.send(Event::Began);
            let tell = TellDrop(this.events.clone());
            let answers = request.into_inner().then(move |message| {
                let _ = &tell;
                async move {
                    match message?.as_str() {
                        "hang" => std::future::pending().await,
                        "panic" => panic!("as the request asked"),
                        text => Ok(text.to_owned()),
                    }
                }
            });
            Ok(tonic::Response::new(Box::pin(answers) as Answers))
        })
    }
}

/// [`TestService`] with the requests of a stream run side by side.
struct Each(TestService);

impl StreamingService<String> for Each {
    type Response = String;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<tonic::Response<Answers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<String>>) -> Self::Future {
        let this = self.0.clone();
        let answers = answer_each(request, move |text: String, admitted| {
            let mut this = this.clone();
            async move {
                if let Err(refusal) = admitted {
                    return refusal.to_string();
                }
                let answer = UnaryService::call(&mut this, tonic::Request::new(text)).await;
                answer.map_or_else(|status| status.to_string(), tonic::Response::into_inner)
            }
        });
        std::future::ready(Ok(tonic::Response::new(answers)))
    }
}

impl NamedService for TestService {
    const NAME: &'static str = "test.TestService";
}

impl Service<Request<Body>> for TestService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<String, String>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_MAX);
            Ok(match request.uri().path() {
                UNARY => grpc.unary(this, request).await,
                STREAM => grpc.streaming(this, request).await,
                LARGE => {
                    let codec = ProstCodec::<String, String>::default();
                    let mut grpc = Grpc::new(codec).max_decoding_message_size(usize::MAX);
                    grpc.unary(this, request).await
                }
                EACH => grpc.streaming(Each(this), request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

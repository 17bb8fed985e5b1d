//! A gRPC server that is not motet: the services of a .proto file, with answers made by a test.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::HeaderMap;
use motet_gateway::protobuf::DynamicCodec;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tower::Service;

use crate::reflected::json;
use crate::wait::soon;

/// The version of reflection that the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflection {
    /// `grpc.reflection.v1`.
    V1,
    /// Only `grpc.reflection.v1alpha`.
    V1Alpha,
    /// None.
    No,
}

/// A call that the server received.
#[derive(Clone, Debug)]
pub struct Call {
    /// The name of the method, without its service.
    pub method: String,
    /// The request.
    pub message: Value,
    /// The metadata.
    pub headers: HeaderMap,
}

/// The reply to a call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// These messages: exactly one for a unary method.
    Messages(Vec<Value>),
    /// An error, after these messages.
    Error(Vec<Value>, Status),
    /// No reply until the caller goes away.
    Hold,
}

/// The server. It ends with the test's runtime.
#[derive(Debug)]
pub struct OtherServer {
    /// Where it listens.
    pub address: SocketAddr,
    calls: watch::Receiver<Vec<Call>>,
    held: watch::Receiver<usize>,
}

type Answer = dyn Fn(&Call) -> Reply + Send + Sync;

impl OtherServer {
    /// Serves the services of `files` on `address`.
    ///
    /// # Panics
    /// If the address is taken, or an imported file is missing.
    pub async fn start(
        address: SocketAddr,
        files: &FileDescriptorSet,
        reflection: Reflection,
        answer: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (record, calls) = watch::channel(Vec::new());
        let (hold, held) = watch::channel(0);
        let methods = Methods {
            pool: DescriptorPool::from_file_descriptor_set(files.clone()).expect("whole files"),
            answer: Arc::new(answer),
            record,
            hold,
        };
        let bytes = files.encode_to_vec();
        let reflect = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(&bytes)
        };
        let routes = match reflection {
            Reflection::V1 => Routes::new(reflect().build_v1().expect("descriptors")),
            Reflection::V1Alpha => Routes::new(reflect().build_v1alpha().expect("descriptors")),
            Reflection::No => Routes::default(),
        };
        let routes = Routes::from(routes.into_axum_router().fallback_service(methods));
        let connections = TcpListenerStream::new(listener);
        tokio::spawn(
            Server::builder()
                .add_routes(routes)
                .serve_with_incoming(connections),
        );
        Self {
            address,
            calls,
            held,
        }
    }

    /// Returns all calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// Waits until `count` calls are held.
    pub async fn holds(&self, count: usize) {
        let mut held = self.held.clone();
        let what = format!("{count} calls held");
        let waiting = soon(&what, held.wait_for(|held| *held == count)).await;
        waiting.expect("the server lives");
    }
}

/// Compiles a .proto file and the files that it imports.
///
/// # Panics
/// If a file has errors.
pub fn compile(file: &Path) -> FileDescriptorSet {
    let folder = file.parent().expect("a file is in a folder");
    protox::compile([file], [folder]).expect("a .proto file")
}

/// A tower service of every method, routed by path.
#[derive(Clone)]
struct Methods {
    pool: DescriptorPool,
    answer: Arc<Answer>,
    record: watch::Sender<Vec<Call>>,
    hold: watch::Sender<usize>,
}

impl Service<http::Request<axum::body::Body>> for Methods {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let path = request.uri().path().trim_start_matches('/');
        let found = path.split_once('/').and_then(|(service, method)| {
            let service = self.pool.get_service_by_name(service)?;
            service.methods().find(|m| m.name() == method)
        });
        let Some(method) = found else {
            let refused = Status::unimplemented("").into_http();
            return Box::pin(std::future::ready(Ok(refused)));
        };
        let codec = DynamicCodec::new(method.input());
        let one = OneMethod {
            method,
            methods: self.clone(),
        };
        // On the wire a unary response is a stream of one message.
        Box::pin(async move { Ok(Grpc::new(codec).server_streaming(one, request).await) })
    }
}

struct OneMethod {
    method: MethodDescriptor,
    methods: Methods,
}

type Messages = Pin<Box<dyn Stream<Item = Result<DynamicMessage, Status>> + Send>>;

impl ServerStreamingService<DynamicMessage> for OneMethod {
    type Response = DynamicMessage;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let (metadata, _, message) = request.into_parts();
        let call = Call {
            method: self.method.name().to_owned(),
            message: json(&message),
            headers: metadata.into_headers(),
        };
        let reply = (self.methods.answer)(&call);
        self.methods.record.send_modify(|all| all.push(call));
        let output = self.method.output();
        let message = move |value: Value| {
            DynamicMessage::deserialize(output.clone(), &value)
                .map_err(|e| Status::internal(format!("the test's answer {value}: {e}")))
        };
        let held = Held::new(&self.methods.hold);
        Box::pin(async move {
            let (messages, error) = match reply {
                Reply::Hold => {
                    let _held = held;
                    return std::future::pending().await;
                }
                Reply::Messages(messages) => (messages, None),
                Reply::Error(messages, error) if messages.is_empty() => return Err(error),
                Reply::Error(messages, error) => (messages, Some(Err(error))),
            };
            let stream = tokio_stream::iter(messages.into_iter().map(message).chain(error));
            let stream: Messages = Box::pin(stream);
            Ok(Response::new(stream))
        })
    }
}

/// Counts a held call until its caller goes away.
struct Held(watch::Sender<usize>);

impl Held {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

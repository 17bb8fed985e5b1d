//! A client's connection on plain HTTP/2. tonic's channel enforces `grpc-timeout` by itself,
//! reconnects silently and rewords errors: a test would see the client's behaviour instead of the
//! server's.
//!
//! One thing is added: a call without a deadline gets a long one, since the default of a pipeline
//! is short for tests that share two cores.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::v1::pipelines_client::PipelinesClient;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_health::pb::health_client::HealthClient;
use tower::Service;

/// The largest response, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// The deadline of a call without one.
const PATIENCE: HeaderValue = HeaderValue::from_static("60S");

/// A connection. Clones share it; it closes when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Connection {
    sender: SendRequest<Body>,
    origin: Uri,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// If nothing answers at the address.
    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address)
            .await
            .unwrap_or_else(|| panic!("nothing answers at {address}"))
    }

    /// Connects; `None` if nothing answers at the address.
    pub async fn try_open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Self::over(stream, &format!("http://{address}")).await.ok()
    }

    /// Speaks HTTP/2 over a stream, to a server of this origin.
    ///
    /// # Errors
    /// If the server does not.
    ///
    /// # Panics
    /// If the origin is no URI.
    pub async fn over<S>(stream: S, origin: &str) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        let origin = origin.parse().expect("a URI");
        Ok(Self { sender, origin })
    }

    /// Returns a client for any method and codec.
    pub fn grpc(&self) -> Grpc<Self> {
        Grpc::with_origin(self.clone(), self.origin.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Returns a client of the Open Inference Protocol.
    pub fn inference(&self) -> GrpcInferenceServiceClient<Self> {
        GrpcInferenceServiceClient::with_origin(self.clone(), self.origin.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Returns a client of `motet.v1.Pipelines`.
    pub fn pipelines(&self) -> PipelinesClient<Self> {
        PipelinesClient::with_origin(self.clone(), self.origin.clone())
    }

    /// Returns a client of `grpc.health.v1.Health`.
    pub fn health(&self) -> HealthClient<Self> {
        HealthClient::with_origin(self.clone(), self.origin.clone())
    }

    /// Makes a unary call with the bytes of a message, and returns those of the response.
    ///
    /// # Errors
    /// The error of the server.
    pub async fn raw(&self, method: &str, message: impl Into<Bytes>) -> Result<Bytes, Status> {
        let path = PathAndQuery::try_from(format!("/{method}")).expect("a method's name");
        let mut grpc = self.grpc();
        let Ok(()) = grpc.ready().await.map_err(|e| panic!("{e}"));
        let request = tonic::Request::new(message.into());
        let answer = grpc.unary(request, path, Raw).await?;
        Ok(answer.into_inner())
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let timeout = request.headers_mut().entry("grpc-timeout");
        timeout.or_insert(PATIENCE);
        Box::pin(self.sender.send_request(request))
    }
}

/// A codec of undecoded messages.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

//! An HTTP/2 client with its windows and frames in hand.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use motet_runtime::status;
use prost::Message;
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// Window of a client that reads as it should.
pub(super) const WINDOW: u32 = 1 << 20;

/// A connection, which answers PING and SETTINGS as long as it is open.
#[derive(Clone)]
pub(super) struct Peer {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
}

/// A call whose message may be incomplete.
pub(super) struct Open {
    pub(super) answer: ResponseFuture,
    pub(super) message: SendStream<Bytes>,
}

impl Peer {
    /// Connects. The server may send `window` bytes on each stream before the client has taken
    /// any.
    pub(super) async fn open(address: SocketAddr, window: u32) -> Option<Self> {
        let socket = TcpStream::connect(address).await.ok()?;
        socket.set_nodelay(true).ok()?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(WINDOW)
            .initial_max_send_streams(1024)
            .handshake(socket)
            .await
            .ok()?;
        tokio::spawn(connection);
        Some(Self { requests, address })
    }

    /// Begins a call without its message; waits until the server allows one more stream.
    pub(super) async fn begin(&self, path: &str, headers: &[(&str, &str)]) -> Option<Open> {
        let mut requests = self.requests.clone().ready().await.ok()?;
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (answer, message) = requests.send_request(request, false).ok()?;
        Some(Open { answer, message })
    }

    /// Makes a unary call.
    pub(super) async fn call(&self, path: &str, message: Bytes) -> Result<(), Status> {
        let broken = || Status::unknown("the connection broke");
        let mut open = self.begin(path, &[]).await.ok_or_else(broken)?;
        open.send(message, true).await;
        open.end().await
    }
}

impl Open {
    /// Sends bytes as the server's windows allow; `false` if the stream has ended.
    pub(super) async fn send(&mut self, mut bytes: Bytes, is_last: bool) -> bool {
        while !bytes.is_empty() {
            self.message.reserve_capacity(bytes.len());
            let Some(Ok(room)) = poll_fn(|cx| self.message.poll_capacity(cx)).await else {
                return false;
            };
            let part = bytes.split_to(room.min(bytes.len()));
            let is_last = is_last && bytes.is_empty();
            if self.message.send_data(part, is_last).is_err() {
                return false;
            }
        }
        true
    }

    /// Takes the answer, and returns its status.
    pub(super) async fn end(self) -> Result<(), Status> {
        let broken = |error: h2::Error| Status::unknown(error.to_string());
        let response: Response<RecvStream> = self.answer.await.map_err(broken)?;
        if let Some(status) = ended(response.headers()) {
            return status;
        }
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            let taken = data.map_err(broken)?.len();
            body.flow_control()
                .release_capacity(taken)
                .map_err(broken)?;
        }
        let trailers = body.trailers().await.map_err(broken)?.unwrap_or_default();
        ended(&trailers).unwrap_or_else(|| Err(Status::unknown("no status")))
    }
}

fn ended(headers: &HeaderMap) -> Option<Result<(), Status>> {
    let status = Status::from_header_map(headers)?;
    Some(match status.code() {
        Code::Ok => Ok(()),
        _ => Err(status),
    })
}

/// Returns a message with its length in front, as gRPC frames it.
pub(super) fn framed(message: &impl Message) -> Bytes {
    framed_bytes(&message.encode_to_vec())
}

/// Returns the bytes of a message with their length in front.
pub(super) fn framed_bytes(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a message"));
    framed.put_slice(message);
    framed.freeze()
}

/// Counts of the outcomes of an attack's calls, for people.
#[derive(Debug, Default)]
pub(super) struct Fates(std::collections::BTreeMap<String, usize>);

impl Fates {
    pub(super) fn count(&mut self, outcome: &Result<(), Status>) {
        let fate = match outcome {
            Ok(()) => "OK".to_owned(),
            Err(status) if status.details().is_empty() => format!("{:?}", status.code()),
            Err(status) => format!("{:?} {}", status.code(), status::read(status).reason),
        };
        *self.0.entry(fate).or_default() += 1;
    }

    pub(super) fn of(&self, fate: &str) -> usize {
        self.0.get(fate).copied().unwrap_or(0)
    }
}

impl std::fmt::Display for Fates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (fate, count)) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{count} {fate}")?;
        }
        Ok(())
    }
}

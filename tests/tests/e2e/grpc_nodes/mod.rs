//! Methods of other gRPC servers as nodes of a pipeline.

mod calls;
mod failures;
mod program;

use std::net::SocketAddr;

use motet::process::{Role, Running};
use motet_tests::connection::Connection;
use motet_tests::in_process::{self, ANY_PORT};
use motet_tests::other_server::{Call, OtherServer, Reflection, Reply, compile};
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::json;
use tokio::net::TcpSocket;

fn ocr() -> FileDescriptorSet {
    compile(&repository().join("gateway/tests/protos/ocr.proto"))
}

/// Answers with the letters of an image, which is a text, and one box for each.
fn letters(call: &Call) -> Reply {
    let image = call.message["image"].as_str().unwrap_or_default();
    let text = decode(image);
    if call.method == "Watch" {
        let pages = text.split(' ').zip(1..);
        return Reply::Messages(
            pages
                .map(|(word, number)| {
                    json!({
                        "number": number,
                        "text": word,
                        "words": [word, "."],
                        "boxes": [{"x": number}],
                    })
                })
                .collect(),
        );
    }
    let boxes = text.chars().zip(0..);
    let mut answer = json!({
        "text": text,
        "boxes": boxes.map(|(_, x)| json!({"x": x, "score": 0.5})).collect::<Vec<_>>(),
        "words": text.split(' ').collect::<Vec<_>>(),
        "used": {"mode": call.message["options"]["mode"]},
    });
    if let Some(lang) = call.message["options"]["lang"].as_str() {
        answer["lang"] = json!(lang);
    }
    Reply::Messages(vec![answer])
}

/// base64 of plain ASCII, as JSON writes bytes.
fn encode(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let chunk = |bytes: &[u8]| {
        let mut block = [0; 3];
        block[..bytes.len()].copy_from_slice(bytes);
        let bits = u32::from_be_bytes([0, block[0], block[1], block[2]]);
        (0..4)
            .map(|i| match i <= bytes.len() {
                true => LETTERS[(bits >> (18 - 6 * i)) as usize & 63] as char,
                false => '=',
            })
            .collect::<String>()
    };
    text.as_bytes().chunks(3).map(chunk).collect()
}

fn decode(text: &str) -> String {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(value).collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits = (0..4).fold(0, |bits, i| {
            bits << 6 | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    String::from_utf8(bytes.collect()).expect("text")
}

/// Returns a configuration with one pipeline, `read`, of one node, `seen`.
fn one_node(endpoint: &str, node: &str, outputs: &str) -> String {
    format!(
        "endpoints: {{ ocr: {endpoint} }}\n\
         pipelines:\n  - pipeline: read\n    inputs: {{ image: bytes, lang: {{ type: string, \
         optional: true }} }}\n    \
         nodes:\n      seen: {node}\n    outputs: {outputs}\n"
    )
}

struct Gateway {
    running: Running,
    connection: Connection,
    _folder: TempDir,
}

impl Gateway {
    async fn start(configuration: &str) -> Self {
        let folder = TempDir::new();
        folder.file("ocr.binpb", ocr().encode_to_vec());
        let file = folder.file("motet.yaml", configuration);
        let running = in_process::start(Role::Gateway, Some(file)).await;
        let connection = Connection::open(running.grpc).await;
        Self {
            running,
            connection,
            _folder: folder,
        }
    }

    /// Returns the pipeline `read` with a node that calls `server`.
    async fn over(server: &OtherServer, node: &str, outputs: &str) -> (Self, Service) {
        let endpoint = format!("grpc://{}", server.address);
        let gateway = Self::start(&one_node(&endpoint, node, outputs)).await;
        let read = gateway.pipeline("Read").await;
        (gateway, read)
    }

    async fn pipeline(&self, name: &str) -> Service {
        let service = Service::learn(&self.connection, &format!("motet.pipeline.{name}")).await;
        service.expect("the pipeline is served")
    }
}

async fn server(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> OtherServer {
    OtherServer::start(ANY_PORT, &ocr(), Reflection::V1, answer).await
}

const READ: &str =
    "{ grpc: ocr.v1.Ocr/Read, endpoint: ocr, in: { image: $image, options.lang: $lang } }";

/// Returns an address that nothing listens on, for as long as the socket lives: no other test's
/// server gets its port.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(ANY_PORT).expect("a free port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

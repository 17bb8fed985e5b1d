//! Compressed messages on every surface.

use std::io::Read;

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http::Request;
use http_body_util::{BodyExt, Full};
use motet::process::Role;
use motet_proto::inference::{ModelMetadataRequest, ModelMetadataResponse};
use motet_proto::v1::{LoadRequest, LoadResponse};
use motet_tests::connection::Connection;
use motet_tests::in_process;
use motet_tests::reflected::Service;
use motet_tests::temp_dir::TempDir;
use prost::Message;
use prost_reflect::DynamicMessage;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::json;
use tonic::body::Body;
use tower::Service as _;

const ECHO: &str = "pipelines:
  - pipeline: echo
    inputs: { text: \"string[N]\" }
    nodes: { same: { op: select, in: { text: $text } } }
    outputs: { text: $same.text }
";

fn compress(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut compressed = Vec::new();
            let mut encoder = GzEncoder::new(bytes, Compression::best());
            encoder.read_to_end(&mut compressed).expect("in memory");
            compressed
        }
        _ => compress_to_vec(bytes, CompressionLevel::Fastest),
    }
}

fn expand(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut expanded = Vec::new();
    let read = match encoding {
        "gzip" => GzDecoder::new(bytes).read_to_end(&mut expanded),
        _ => {
            let mut decoder = StreamingDecoder::new(bytes).expect("a frame");
            decoder.read_to_end(&mut expanded)
        }
    };
    read.expect("valid bytes");
    expanded
}

/// Calls a method with compressed messages; gives those of the answer with their flags.
async fn call(
    connection: &Connection,
    path: &str,
    encoding: &str,
    messages: &[Vec<u8>],
) -> Vec<(u8, Bytes)> {
    let mut body = Vec::new();
    for message in messages {
        let message = compress(encoding, message);
        body.push(1);
        body.extend(u32::try_from(message.len()).expect("small").to_be_bytes());
        body.extend(message);
    }
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(Body::new(Full::new(Bytes::from(body))))
        .expect("a request");
    let response = connection.clone().call(request).await.expect("an answer");
    assert_eq!(
        response.headers()["grpc-encoding"],
        encoding,
        "{response:?}"
    );
    let collected = response
        .into_body()
        .collect()
        .await
        .expect("a whole answer");
    let trailers = collected.trailers().cloned().unwrap_or_default();
    assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
    let mut bytes = collected.to_bytes();
    let mut answers = Vec::new();
    while bytes.has_remaining() {
        let flag = bytes.get_u8();
        let length = bytes.get_u32() as usize;
        let message = bytes.split_to(length);
        answers.push(match flag {
            0 => (0, message),
            _ => (flag, expand(encoding, &message).into()),
        });
    }
    answers
}

#[tokio::test]
async fn every_surface_takes_and_gives_compressed_messages() {
    let folder = TempDir::new();
    let file = folder.file("motet.yaml", ECHO);
    let running = in_process::start(Role::Up, Some(file)).await;
    let connection = Connection::open(running.grpc).await;
    let echo = Service::learn(&connection, "motet.pipeline.Echo").await;
    let echo = echo.expect("it is served");
    // Larger than what is done on the thread of the runtime.
    let text: Vec<String> = (0..20_000).map(|n| format!("text number {n}")).collect();
    for encoding in ["gzip", "zstd"] {
        let question = echo.message("Run", &json!({"text": text})).encode_to_vec();
        let output = echo.method("Run").output();
        let answers = call(
            &connection,
            "/motet.pipeline.Echo/Run",
            encoding,
            &[question],
        )
        .await;
        let [(1, answer)] = answers.as_slice() else {
            panic!("one compressed answer");
        };
        let answer = DynamicMessage::decode(output, answer.clone()).expect("a message");
        assert_eq!(motet_tests::reflected::json(&answer), json!({"text": text}));

        let questions = ["a", "b", "c"].map(|id| {
            let question = json!({"text": ["x"], "request_id": id});
            echo.message("RunStream", &question).encode_to_vec()
        });
        let path = "/motet.pipeline.Echo/RunStream";
        assert_eq!(call(&connection, path, encoding, &questions).await.len(), 3);

        let yaml = format!("{}\n# {}\n", ECHO_LOADED, "padding ".repeat(1000));
        let load = LoadRequest { yaml }.encode_to_vec();
        let answers = call(&connection, "/motet.v1.Pipelines/Load", encoding, &[load]).await;
        let loaded = LoadResponse::decode(answers[0].1.clone()).expect("a message");
        assert_eq!(loaded.pipeline.expect("one").name, "loaded");

        let metadata = ModelMetadataRequest {
            name: "echo".to_owned(),
            version: String::new(),
        };
        let path = "/inference.GRPCInferenceService/ModelMetadata";
        let answers = call(&connection, path, encoding, &[metadata.encode_to_vec()]).await;
        let metadata = ModelMetadataResponse::decode(answers[0].1.clone()).expect("a message");
        assert_eq!(metadata.name, "echo");
    }
}

const ECHO_LOADED: &str = "pipeline: loaded
inputs: { text: string }
nodes: { same: { op: select, in: { text: $text } } }
outputs: { text: $same.text }";

//! Compressed messages over a real connection.

use std::io::Read;

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use motet_runtime::serve::ServeOptions;
use motet_runtime::status;
use prost::Message;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tonic::{Code, Status};

use crate::harness::{Client, TestServer, start, start_with};
use crate::test_service::{EACH, MESSAGE_MAX, STREAM, UNARY};

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

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("small");
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// One request message with this text, compressed.
fn request(encoding: &str, text: &str) -> Vec<u8> {
    let message = text.to_owned().encode_to_vec();
    framed(1, &compress(encoding, &message))
}

/// An answer: its headers, its messages with the flag of each, and its status.
struct Answer {
    headers: http::HeaderMap,
    messages: Vec<(u8, Bytes)>,
    status: Status,
}

async fn call(
    client: &Client,
    path: &'static str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let body = tonic::body::Body::new(http_body_util::Full::new(Bytes::from(body)));
    read(client.bytes_with(path, headers, body).await).await
}

async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.expect("a whole answer");
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let mut bytes = collected.to_bytes();
    let mut messages = Vec::new();
    while bytes.has_remaining() {
        let flag = bytes.get_u8();
        let length = bytes.get_u32() as usize;
        messages.push((flag, bytes.split_to(length)));
    }
    let found = [&trailers, &parts.headers];
    let status = found.into_iter().find_map(Status::from_header_map);
    Answer {
        headers: parts.headers,
        messages,
        status: status.expect("a status"),
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("ASCII"))
    }

    /// Returns the texts of the messages, expanded where their flags say so.
    fn texts(&self) -> Vec<String> {
        let encoding = self.header("grpc-encoding").unwrap_or("none");
        let texts = self.messages.iter().map(|(flag, message)| match flag {
            0 => String::decode(message.clone()),
            _ => String::decode(&expand(encoding, message)[..]),
        });
        texts.map(|text| text.expect("a message")).collect()
    }
}

async fn server() -> (TestServer, Client) {
    let server = start().await;
    let client = server.client().await;
    (server, client)
}

#[tokio::test]
async fn compressed_calls_are_answered_compressed() {
    let (_server, client) = server().await;
    let long = "text ".repeat(150);
    for (sent, accepted, answered) in [
        ("gzip", None, Some("gzip")),
        ("zstd", None, Some("zstd")),
        ("zstd", Some("identity, gzip"), Some("gzip")),
        ("gzip", Some("identity,deflate,gzip"), Some("gzip")),
        ("gzip", Some("identity"), None),
    ] {
        let headers = [
            ("grpc-encoding", sent),
            ("grpc-accept-encoding", accepted.unwrap_or("")),
        ];
        let headers = &headers[..1 + usize::from(accepted.is_some())];
        let answer = call(&client, UNARY, headers, request(sent, &long)).await;
        assert_eq!(answer.status.code(), Code::Ok, "{sent}: {}", answer.status);
        assert_eq!(
            answer.header("grpc-encoding"),
            answered,
            "{sent} {accepted:?}"
        );
        assert_eq!(
            answer.header("grpc-accept-encoding"),
            Some("gzip,zstd,identity")
        );
        assert_eq!(answer.texts(), [format!("hello {long}")]);
        assert_eq!(answer.messages[0].0, u8::from(answered.is_some()));
        // A short answer gains nothing.
        let answer = call(&client, UNARY, headers, request(sent, "you")).await;
        assert_eq!(answer.texts(), ["hello you"]);
        assert_eq!(answer.messages[0].0, 0);
    }
}

#[tokio::test]
async fn streams_may_mix_compressed_messages_with_others() {
    let (_server, client) = server().await;
    let long = "text ".repeat(150);
    for encoding in ["gzip", "zstd"] {
        for path in [STREAM, EACH] {
            let plain = "plain".to_owned().encode_to_vec();
            let body = [
                request(encoding, &long),
                framed(0, &plain),
                request(encoding, "short"),
            ];
            let headers = [("grpc-encoding", encoding)];
            let answer = call(&client, path, &headers, body.concat()).await;
            assert_eq!(answer.status.code(), Code::Ok, "{}", answer.status);
            // Requests that run side by side may be answered in any order.
            let mut texts = answer.texts();
            texts.sort_by_key(String::len);
            let greeting = if path == EACH { "hello " } else { "" };
            let expected = ["plain", "short", &long].map(|text| format!("{greeting}{text}"));
            assert_eq!(texts, expected);
            let compressed = answer.messages.iter().filter(|message| message.0 == 1);
            assert_eq!(compressed.count(), 1);
        }
    }
}

#[tokio::test]
async fn a_caller_that_does_not_compress_gets_plain_bytes() {
    let (_server, client) = server().await;
    let long = "text ".repeat(150);
    let body = framed(0, &long.clone().encode_to_vec());
    for headers in [
        &[][..],
        &[("grpc-accept-encoding", "identity,deflate,gzip")],
        &[("grpc-encoding", "identity")],
    ] {
        let answer = call(&client, UNARY, headers, body.clone()).await;
        assert_eq!(answer.texts(), [format!("hello {long}")]);
        assert_eq!(
            (answer.messages[0].0, answer.header("grpc-encoding")),
            (0, None)
        );
        let is_offered = answer.header("grpc-accept-encoding").is_some();
        assert_eq!(
            is_offered,
            headers.iter().any(|h| h.0 == "grpc-accept-encoding")
        );
    }
}

#[tokio::test]
async fn a_message_is_not_expanded_past_the_limit() {
    let (_server, client) = server().await;
    for encoding in ["gzip", "zstd"] {
        let headers = [("grpc-encoding", encoding)];
        // A message that expands to 50 MB, and one just over the limit.
        for size in [50_000_000, MESSAGE_MAX + 1] {
            let bomb = framed(1, &compress(encoding, &vec![0; size]));
            for path in [UNARY, STREAM] {
                let started = std::time::Instant::now();
                let answer = call(&client, path, &headers, bomb.clone()).await;
                let error = answer.status;
                assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
                let details = status::read(&error);
                assert_eq!(details.reason, "MESSAGE_TOO_LARGE");
                assert_eq!(
                    details.metadata["max_message_bytes"],
                    MESSAGE_MAX.to_string()
                );
                assert!(
                    started.elapsed().as_millis() < 500,
                    "{:?}",
                    started.elapsed()
                );
            }
        }
        for bad in [&b"no such bytes"[..], &compress(encoding, b"text")[..9]] {
            let error = call(&client, UNARY, &headers, framed(1, bad)).await.status;
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
            assert_eq!(status::read(&error).reason, "MALFORMED_MESSAGE");
        }
    }
}

#[tokio::test]
async fn an_unknown_encoding_is_refused_with_those_that_are_known() {
    let (_server, client) = server().await;
    for encoding in ["deflate", "br"] {
        let headers = [("grpc-encoding", encoding)];
        let answer = call(&client, UNARY, &headers, framed(1, b"x")).await;
        assert_eq!(answer.status.code(), Code::Unimplemented);
        assert_eq!(
            status::read(&answer.status).reason,
            "ENCODING_NOT_SUPPORTED"
        );
        assert_eq!(
            answer.header("grpc-accept-encoding"),
            Some("gzip,zstd,identity")
        );
    }
    // The connection goes on.
    assert_eq!(client.say("you").await.expect("an answer"), "hello you");
}

#[tokio::test]
async fn what_a_message_becomes_counts_in_the_budget_of_bytes() {
    let options = ServeOptions {
        max_bytes_in_flight: 600,
        ..ServeOptions::default()
    };
    let server = start_with(100, options).await;
    let client = server.client().await;
    let call = async |text: &str| {
        let body = tonic::body::Body::new(http_body_util::Full::new(request("gzip", text).into()));
        let headers = [("grpc-encoding", "gzip")];
        client.bytes_with(UNARY, &headers, body).await
    };
    let answer = call(&"x".repeat(900)).await;
    let error = Status::from_header_map(answer.headers()).expect("an error");
    assert_eq!(status::read(&error).reason, "TOO_MANY_BYTES");
    let answer = call(&"x".repeat(100)).await;
    assert!(Status::from_header_map(answer.headers()).is_none());
}

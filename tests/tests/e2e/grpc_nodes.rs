//! Methods of other gRPC servers as nodes of a pipeline.

use std::net::SocketAddr;

use motet::process::{Role, Running};
use motet_proto::v1::LoadRequest;
use motet_runtime::deadline::parse_timeout;
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::foreign::{Call, Foreign, Reflection, Reply, compile};
use motet_tests::local::{self, ANY_PORT};
use motet_tests::reflected::Service;
use motet_tests::repository;
use motet_tests::scratch::Scratch;
use motet_tests::wait::until;
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::json;
use tonic::{Code, Request, Status};

use crate::motet;

fn ocr() -> FileDescriptorSet {
    compile(&repository().join("gateway/tests/protos/ocr.proto"))
}

/// Reads the letters of an image that is text itself, one box for each.
fn letters(call: &Call) -> Reply {
    let image = call.message["image"].as_str().unwrap_or_default();
    let text = decode(image);
    if call.method == "Watch" {
        let pages = text.split(' ').zip(1..);
        return Reply::Messages(
            pages
                .map(|(word, number)| {
                    json!({"number": number, "text": word, "words": [word, "."], "boxes": [{"x": number}]})
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

/// A configuration with one pipeline `read` of a node `seen`.
fn one_node(endpoint: &str, node: &str, outputs: &str) -> String {
    format!(
        "endpoints: {{ ocr: {endpoint} }}\n\
         pipelines:\n  - pipeline: read\n    inputs: {{ image: bytes, lang: {{ type: string, optional: true }} }}\n    \
         nodes:\n      seen: {node}\n    outputs: {outputs}\n"
    )
}

struct Gateway {
    running: Running,
    connection: Connection,
    _folder: Scratch,
}

impl Gateway {
    async fn start(configuration: &str) -> Self {
        let folder = Scratch::new();
        folder.file("ocr.binpb", ocr().encode_to_vec());
        let file = folder.file("motet.yaml", configuration);
        let running = local::start(Role::Gateway, Some(file)).await;
        let connection = Connection::open(running.grpc).await;
        Self {
            running,
            connection,
            _folder: folder,
        }
    }

    /// The pipeline `read` over a node at `server`.
    async fn over(server: &Foreign, node: &str, outputs: &str) -> (Self, Service) {
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

async fn server(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Foreign {
    Foreign::start(ANY_PORT, &ocr(), Reflection::V1, answer).await
}

const READ: &str =
    "{ grpc: ocr.v1.Ocr/Read, endpoint: ocr, in: { image: $image, options.lang: $lang } }";

#[tokio::test]
async fn a_method_is_called_with_fields_and_answers_in_outputs() {
    let node = "{ grpc: ocr.v1.Ocr/Read, endpoint: ocr, \
                in: { image: $image, options.lang: $lang, options.mode: MODE_BEST, options.size: 3, \
                items.text: [a, b], items.id: [1, 2], number: 7 }, \
                out: { text: text, x: boxes.x, score: boxes.score, lang: \"lang?\", mode: used.mode } }";
    let outputs = "{ text: $seen.text, boxes: { x: $seen.x, score: $seen.score }, lang: $seen.lang, mode: $seen.mode }";
    for reflection in [Reflection::V1, Reflection::V1Alpha, Reflection::No] {
        let server = Foreign::start(ANY_PORT, &ocr(), reflection, letters).await;
        let endpoint = match reflection {
            Reflection::No => format!(
                "{{ url: \"grpc://{}\", descriptor: ./ocr.binpb }}",
                server.address
            ),
            _ => format!("grpc://{}", server.address),
        };
        let gateway = Gateway::start(&one_node(&endpoint, node, outputs)).await;
        let read = gateway.pipeline("Read").await;
        let request = json!({"image": encode("hi"), "lang": "de"});
        let answer = read.answer("Run", request).await;
        assert_eq!(
            answer,
            json!({
                "text": "hi",
                "boxes": [{"x": 0, "score": 0.5}, {"x": 1, "score": 0.5}],
                "lang": "de",
                "mode": "MODE_BEST",
            })
        );
        // What is absent here is not set there, and the other way round.
        let answer = read.answer("Run", json!({"image": encode("")})).await;
        assert_eq!(answer, json!({"text": "", "mode": "MODE_BEST"}));
        let calls = server.calls();
        assert_eq!(
            calls[0].message,
            json!({
                "image": encode("hi"),
                "options": {"lang": "de", "size": 3, "mode": "MODE_BEST"},
                "items": [{"text": "a", "id": 1}, {"text": "b", "id": 2}],
                "number": 7,
            })
        );
        let without = json!({"size": 3, "mode": "MODE_BEST"});
        assert_eq!(calls[1].message["options"], without);
    }
}

#[tokio::test]
async fn the_deadline_goes_along_and_the_receipt_has_the_node() {
    let server = server(letters).await;
    let node = "{ grpc: ocr.v1.Ocr/Read, endpoint: ocr, in: { image: $image }, deadline: 20s }";
    let (_gateway, read) = Gateway::over(&server, node, "{ text: $seen.text }").await;
    let mut request = Request::new(read.message("Run", &json!({"image": encode("x")})));
    let metadata = request.metadata_mut();
    metadata.insert("motet-receipt", "1".parse().expect("ascii"));
    let answer = read.request("Run", request).await.expect("an answer");
    let node = &answer.into_inner()["receipt"]["nodes"][0];
    assert_eq!(node["node"], "seen", "{node}");
    let headers = &server.calls()[0].headers;
    let left = parse_timeout(headers["grpc-timeout"].as_bytes()).expect("a timeout");
    assert!(left.as_secs() < 20 && left.as_secs() > 0, "{left:?}");
}

#[tokio::test]
async fn the_messages_of_a_stream_make_lists_up_to_a_limit() {
    let server = server(letters).await;
    let node = "{ grpc: ocr.v1.Ocr/Watch, endpoint: ocr, in: { image: $image }, max_items: 3, \
                out: { number: number, text: text, words: words, x: boxes.x } }";
    let outputs =
        "{ pages: { number: $seen.number, text: $seen.text }, words: $seen.words, x: $seen.x }";
    let (_gateway, read) = Gateway::over(&server, node, outputs).await;
    let answer = read
        .answer("Run", json!({"image": encode("one two")}))
        .await;
    assert_eq!(
        answer,
        json!({
            "pages": [{"number": 1, "text": "one"}, {"number": 2, "text": "two"}],
            "words": ["one", ".", "two", "."],
            "x": [1, 2],
        })
    );
    // No message is too large, all together are.
    let bytes = "max_message_bytes: 64KiB";
    let endpoint = format!("grpc://{}", server.address);
    let node = "{ grpc: ocr.v1.Ocr/Watch, endpoint: ocr, in: { image: $image } }";
    let configuration = one_node(&endpoint, node, "{ text: $seen.text }");
    let small = Gateway::start(&format!("server: {{ {bytes} }}\n{configuration}")).await;
    let words = vec!["w".repeat(300); 200].join(" ");
    let error = small.pipeline("Read").await;
    let error = error.call("Run", json!({"image": encode(&words)})).await;
    let error = error.expect_err("too much");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert!(
        error
            .message()
            .contains("a stream of more than 65536 bytes"),
        "{error}"
    );
    let error = read.call("Run", json!({"image": encode("a b c d")})).await;
    let error = error.expect_err("too many");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert_eq!(status::read(&error).reason, "OVER_LIMIT");
    assert!(error.message().contains("more than 3 messages"), "{error}");
}

#[tokio::test]
async fn an_error_keeps_its_code_and_names_the_node() {
    let failing = |call: &Call| {
        let error = Status::permission_denied("not this picture");
        match call.method.as_str() {
            "Watch" => Reply::Error(vec![json!({"number": 1})], error),
            _ => Reply::Error(Vec::new(), error),
        }
    };
    let server = server(failing).await;
    let watch = "{ grpc: ocr.v1.Ocr/Watch, endpoint: ocr, in: { image: $image } }";
    for node in [READ, watch] {
        let (_gateway, read) = Gateway::over(&server, node, "{ text: $seen.text }").await;
        let error = read.call("Run", json!({"image": ""})).await;
        let error = error.expect_err("it is refused");
        assert_eq!(error.code(), Code::PermissionDenied, "{error}");
        assert_eq!(error.message(), "node seen: not this picture");
        let details = status::read(&error).metadata;
        let of = |key: &str| details.get(key).map(String::as_str);
        assert_eq!(
            (of("pipeline"), of("node"), of("endpoint")),
            (Some("read"), Some("seen"), Some("ocr"))
        );
    }
}

#[tokio::test]
async fn a_call_ends_when_its_client_goes_away() {
    let server = server(|_| Reply::Hold).await;
    let (_gateway, read) = Gateway::over(&server, READ, "{ text: $seen.text }").await;
    let call = tokio::spawn({
        let read = read.clone();
        async move { read.call("Run", json!({"image": encode("x")})).await }
    });
    server.holds(1).await;
    call.abort();
    server.holds(0).await;
}

#[tokio::test]
async fn the_next_arm_stands_in_for_a_server_that_is_late_or_away() {
    let slow = |call: &Call| match call.message["image"].as_str() {
        None => Reply::Hold,
        Some(_) => letters(call),
    };
    let server = server(slow).await;
    let node = "{ fallback: [ { grpc: ocr.v1.Ocr/Read, endpoint: ocr, in: { image: $image }, \
                out: { text: text }, deadline: 500ms }, { value: { text: nothing } } ] }";
    let (_gateway, read) = Gateway::over(&server, node, "{ text: $seen.text }").await;
    for (image, expected) in [("here", "here"), ("", "nothing")] {
        let answer = read.answer("Run", json!({"image": encode(image)})).await;
        assert_eq!(answer, json!({"text": expected}));
    }
    server.holds(0).await;

    // A descriptor is all that the gateway needs of a server that is not there.
    let address = nobody();
    let endpoint = format!("{{ url: \"grpc://{address}\", descriptor: ocr.binpb }}");
    let gateway = Gateway::start(&one_node(&endpoint, node, "{ text: $seen.text }")).await;
    let read = gateway.pipeline("Read").await;
    let answer = read.answer("Run", json!({"image": encode("here")})).await;
    assert_eq!(answer, json!({"text": "nothing"}));
    let gateway = Gateway::start(&one_node(&endpoint, READ, "{ text: $seen.text }")).await;
    let read = gateway.pipeline("Read").await;
    let ask = || read.call("Run", json!({"image": ""}));
    let error = ask().await.expect_err("nobody there");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let expected = format!("node seen: endpoint ocr at grpc://{address} cannot be reached");
    assert_eq!(error.message(), expected);
    // After some of these, calls are held back.
    until("an open circuit", async || {
        let error = ask().await.expect_err("nobody there");
        (status::read(&error).reason == "CIRCUIT_OPEN").then_some(())
    })
    .await;
    drop(gateway.running);
}

#[tokio::test]
async fn a_failed_call_is_made_again() {
    let failed = std::sync::atomic::AtomicUsize::new(0);
    let server =
        server(
            move |call| match failed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Reply::Error(Vec::new(), Status::unavailable("just now")),
                _ => letters(call),
            },
        )
        .await;
    let node =
        "{ grpc: ocr.v1.Ocr/Read, endpoint: ocr, in: { image: $image }, retry: { backoff: 1ms } }";
    let (_gateway, read) = Gateway::over(&server, node, "{ text: $seen.text }").await;
    let mut request = Request::new(read.message("Run", &json!({"image": encode("x")})));
    let metadata = request.metadata_mut();
    metadata.insert("motet-receipt", "1".parse().expect("ascii"));
    let answer = read.request("Run", request).await.expect("an answer");
    let answer = answer.into_inner();
    assert_eq!(answer["text"], "x");
    assert_eq!(answer["receipt"]["nodes"][0]["retries"], 1, "{answer}");
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_pipeline_that_is_loaded_later_calls_endpoints_that_have_a_name() {
    let server = server(letters).await;
    let (gateway, _) = Gateway::over(&server, READ, "{ text: $seen.text }").await;
    let load = async |endpoint: &str, method: &str| {
        let yaml = format!(
            "pipeline: later\ninputs: {{ image: bytes }}\nnodes:\n  \
             seen: {{ grpc: {method}, endpoint: \"{endpoint}\", in: {{ image: $image }} }}\n\
             outputs: {{ word: $seen.text }}\n"
        );
        let mut pipelines = gateway.connection.pipelines();
        pipelines.load(LoadRequest { yaml }).await
    };
    load("ocr", "ocr.v1.Ocr/Watch").await.expect("it is loaded");
    let later = gateway.pipeline("Later").await;
    let answer = later.answer("Run", json!({"image": encode("a b")})).await;
    assert_eq!(answer, json!({"word": ["a", "b"]}));
    for (endpoint, method, expected) in [
        ("orc", "ocr.v1.Ocr/Read", "did you mean `ocr`?"),
        ("ocr", "ocr.v1.Orc/Read", "did you mean `ocr.v1.Ocr`?"),
        (
            &format!("grpc://{}", server.address),
            "ocr.v1.Ocr/Read",
            "calls only endpoints that its configuration names",
        ),
    ] {
        let error = load(endpoint, method).await.expect_err("it is refused");
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind(ANY_PORT).expect("a free port");
    listener.local_addr().expect("bound")
}

/// The program itself: what it says, what it locks, and that it waits.
#[tokio::test]
async fn the_program_checks_locks_and_waits() {
    let folder = Scratch::new();
    let write = |address: SocketAddr, output: &str| {
        let outputs = format!("{{ text: $seen.{output} }}");
        let endpoint = format!("grpc://{address}");
        folder.file("motet.yaml", one_node(&endpoint, READ, &outputs))
    };
    let running = server(letters).await;
    let file = write(running.address, "text");
    let check = async |more: &[&str]| {
        let path = file.to_str().expect("UTF-8");
        let ended = motet(["check", path]).args(more).run().await;
        (ended.code, ended.stderr)
    };
    assert_eq!(check(&[]).await, (Some(0), String::new()));
    write(running.address, "txt");
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("did you mean `text`?"), "{said}");

    // A pipeline alone says where the server is.
    let node = READ.replace(
        "endpoint: ocr",
        &format!("endpoint: \"grpc://{}\"", running.address),
    );
    let alone = folder.file(
        "alone.yaml",
        format!(
            "pipeline: alone\ninputs: {{ image: bytes, lang: string }}\nnodes: {{ seen: {node} }}\noutputs: {{ x: $seen.text }}\n"
        ),
    );
    let ended = motet(["check"]).args([&alone]).run().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));

    // Where nobody answers, it is not known; with a lock file it is.
    let away = nobody();
    write(away, "text");
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(0));
    let expected = format!("endpoint ocr at grpc://{away} cannot be reached");
    assert!(
        said.starts_with("warning: ") && said.contains(&expected),
        "{said}"
    );
    let (code, said) = check(&["--lock"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot be locked"), "{said}");
    write(running.address, "text");
    assert_eq!(check(&["--lock"]).await.0, Some(0));
    write(away, "text");
    assert_eq!(check(&[]).await, (Some(0), String::new()));
    write(away, "txt");
    let (code, said) = check(&[]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("did you mean `text`?"), "{said}");

    // A gateway waits for a server that it must ask.
    write(away, "text");
    let mut process = motet(["gateway", "-f"])
        .args([&file])
        .on_free_ports()
        .start();
    process.says("waiting: endpoint ocr at").await;
    let late = Foreign::start(away, &ocr(), Reflection::V1, letters).await;
    let connection = process.connect().await;
    let read = Service::learn(&connection, "motet.pipeline.Read").await;
    let read = read.expect("the pipeline");
    let mut request = Request::new(read.message("Run", &json!({"image": encode("x")})));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let parent = parent.parse().expect("ascii");
    request.metadata_mut().insert("traceparent", parent);
    let answer = read.request("Run", request).await.expect("an answer");
    assert_eq!(answer.into_inner(), json!({"text": "x"}));
    let parent = late.calls()[0].headers["traceparent"].clone();
    assert!(
        parent.to_str().expect("ascii").contains(trace),
        "{parent:?}"
    );
    process.signal("TERM");
    assert_eq!(process.end().await.code, Some(0));
}

/// Another gateway's pipeline is a method like any other.
#[tokio::test]
async fn a_gateway_calls_the_pipeline_of_another() {
    let behind: SocketAddr = local::shared().grpc;
    let mut process = motet(["gateway", "-f"])
        .args([repository().join("deploy/examples/front/motet.yaml")])
        .args(["--endpoint", &format!("rag=grpc://{behind}")])
        .on_free_ports()
        .start();
    let connection = process.connect().await;
    let ask = Service::learn(&connection, "motet.pipeline.Ask").await;
    let ask = ask.expect("the pipeline");
    let (question, expected) = crate::rag::QUESTIONS[0];
    let request = json!({"query": question, "documents": crate::rag::PASSAGES});
    let answer = ask.answer("Run", request).await;
    let best = answer["results"][0]["index"].as_u64();
    assert_eq!(best, Some(expected as u64), "{answer}");
    process.signal("TERM");
    assert_eq!(process.end().await.code, Some(0));
}

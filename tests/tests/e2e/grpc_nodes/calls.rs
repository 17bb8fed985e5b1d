//! Requests, responses, and the places in a pipeline where a method can be called.

use motet_runtime::deadline::parse_timeout;
use motet_runtime::status;
use motet_tests::in_process::ANY_PORT;
use motet_tests::other_server::{OtherServer, Reflection};
use serde_json::json;
use tonic::{Code, Request};

use super::{Gateway, encode, letters, ocr, one_node, server};

#[tokio::test]
async fn a_method_is_called_with_fields_and_answers_in_outputs() {
    let node = "{ grpc: ocr.v1.Ocr/Read, endpoint: ocr, \
                in: { image: $image, options.lang: $lang, options.mode: MODE_BEST, \
                options.size: 3, \
                items.text: [a, b], items.id: [1, 2], number: 7 }, \
                out: { text: text, x: boxes.x, score: boxes.score, lang: \"lang?\", \
                mode: used.mode } }";
    let outputs = "{ text: $seen.text, boxes: { x: $seen.x, score: $seen.score }, \
    lang: $seen.lang, mode: $seen.mode }";
    for reflection in [Reflection::V1, Reflection::V1Alpha, Reflection::No] {
        let server = OtherServer::start(ANY_PORT, &ocr(), reflection, letters).await;
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
        // An absent input leaves the field unset, and an unset field the output absent.
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
async fn the_call_carries_the_deadline_and_the_receipt_has_the_node() {
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
async fn the_messages_of_a_stream_become_lists_up_to_a_limit() {
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
    // Every message is small enough, but not all of them together.
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
async fn a_method_can_be_called_wherever_a_node_can_be() {
    let server = server(letters).await;
    let configuration = format!(
        "endpoints: {{ ocr: \"grpc://{}\" }}
pipelines:
  - pipeline: read
    inputs: {{ images: \"bytes[N]\", lang: {{ type: string, optional: true }} }}
    nodes:
      each:
        map:
          over: $images
          as: image
          do:
            grpc: ocr.v1.Ocr/Read
            endpoint: ocr
            in: {{ image: $image }}
            out: {{ text: text }}
      all:
        ensemble:
          of:
            - grpc: ocr.v1.Ocr/Read
              endpoint: ocr
              in: {{ options.lang: a }}
              out: {{ lang: lang }}
            - grpc: ocr.v1.Ocr/Read
              endpoint: ocr
              in: {{ options.lang: b }}
              out: {{ lang: lang }}
            - grpc: ocr.v1.Ocr/Read
              endpoint: ocr
              in: {{ options.lang: b }}
              out: {{ lang: lang }}
          combine: vote
      some:
        grpc: ocr.v1.Ocr/Read
        endpoint: ocr
        in: {{ options.lang: $lang }}
        out: {{ lang: lang }}
        when: lang != null
    outputs: {{ texts: $each.text, voted: $all.lang, some: $some.lang }}
",
        server.address
    );
    let gateway = Gateway::start(&configuration).await;
    let read = gateway.pipeline("Read").await;
    let request = json!({"images": [encode("one"), encode("two")], "lang": "c"});
    let answer = read.answer("Run", request).await;
    let expected = json!({"texts": ["one", "two"], "voted": "b", "some": "c"});
    assert_eq!(answer, expected);
    let answer = read.answer("Run", json!({})).await;
    assert_eq!(answer, json!({"voted": "b"}));
    assert_eq!(server.calls().len(), 6 + 3);
}

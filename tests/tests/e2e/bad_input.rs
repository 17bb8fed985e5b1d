//! Invalid requests, and unusual requests that are valid.

use bytes::Bytes;
use motet_proto::Tensor;
use motet_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use motet_proto::inference::{InferTensorContents, ModelInferRequest};
use motet_proto::limits::TEXT_BYTES_MAX;
use motet_proto::oip::parameter;
use motet_proto::v1::LoadRequest;
use motet_runtime::status;
use motet_tests::in_process;
use motet_tests::tensors::{raw, texts, typed};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::rag::{PASSAGES, rag};

/// Expected parts of an error.
#[derive(Debug)]
struct Expected {
    code: Code,
    /// Parts of the message.
    says: &'static [&'static str],
    /// The fields of its `BadRequest`.
    fields: &'static [&'static str],
    /// The metadata of its `ErrorInfo`, or a part of it.
    info: &'static [(&'static str, &'static str)],
}

fn check(case: &str, error: &Status, expected: &Expected) {
    assert_eq!(error.code(), expected.code, "{case}: {error}");
    for part in expected.says {
        assert!(
            error.message().contains(part),
            "{case}: {part:?} in {:?}",
            error.message()
        );
    }
    let details = status::read(error);
    assert_eq!(details.domain, "motet", "{case}: {error}");
    assert!(!details.reason.is_empty(), "{case}");
    let fields: Vec<&str> = details
        .violations
        .iter()
        .map(|(field, _)| &**field)
        .collect();
    assert_eq!(fields, expected.fields, "{case}: {error}");
    for (key, value) in expected.info {
        assert_eq!(
            details.metadata.get(*key).map(|v| &**v),
            Some(*value),
            "{case}: {key} of {details:?}"
        );
    }
}

const OF_RAG: &[(&str, &str)] = &[("pipeline", "rag")];

fn wrong(says: &'static [&'static str], fields: &'static [&'static str]) -> Expected {
    Expected {
        code: Code::InvalidArgument,
        says,
        fields,
        info: OF_RAG,
    }
}

/// Returns a field of a message on the wire: length-delimited.
fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(bytes.len(), &mut field).expect("room");
    field.extend_from_slice(bytes);
    field
}

/// Returns a field of a message on the wire: a number.
fn number_field(number: u8, value: u64) -> Vec<u8> {
    let mut field = vec![number << 3];
    prost::encoding::encode_varint(value, &mut field);
    field
}

#[tokio::test]
async fn an_unusual_request_is_answered() {
    let service = rag(&in_process::connect().await).await;
    let long = "Sediment settles where the current slows. ".repeat(834);
    assert!(long.split_whitespace().count() > 5000);
    let control: String = (0..32)
        .filter_map(char::from_u32)
        .chain(['\u{7f}', '\u{85}'])
        .collect();
    let none: [&str; 0] = [];
    #[rustfmt::skip]
    let cases = [
        // query, documents, results
        ("tides", json!(none), 0),
        ("", json!(PASSAGES), 5),
        ("", json!(none), 0),
        // The tokenizer removes control characters, so that the text is empty.
        (&*control, json!([control, "x"]), 1),
        ("why 🌊 🧑‍🚀", json!(["🌊🌊🌊", "👩‍👩‍👧‍👦 e\u{301}", "\u{202e}right to left"]), 3),
        ("潮汐为什么发生", json!(["月亮的引力牵引海水。", "パンは酵母で膨らむ。", "주식이 떨어졌다."]), 3),
        (&*long, json!(["short"]), 1),
        ("currents", json!([long]), 5),
        ("spaces", json!(["   \n\t "]), 0),
        ("an empty one", json!(["", "tides"]), 1),
        ("\u{feff}byte order mark", json!(["\u{feff}", "\u{0}", "a\u{0}b"]), 1),
    ];
    for (query, documents, results) in cases {
        let shown: String = documents.to_string().chars().take(80).collect();
        let request = json!({"query": query, "documents": documents});
        let answer = service.answer("Run", request).await;
        let found = answer["results"].as_array().map_or(0, Vec::len);
        assert_eq!(found, results, "{shown}: {answer}");
        for result in answer["results"].as_array().into_iter().flatten() {
            let score = result["score"].as_f64().expect("a score");
            assert!(
                score.is_finite() && score.abs() <= 1.001,
                "{shown}: {score}"
            );
        }
    }
}

#[tokio::test]
async fn an_invalid_typed_request_is_refused_by_field() {
    let connection = in_process::connect().await;
    let query = bytes_field(1, b"tides");
    let document = bytes_field(2, b"the moon");
    let message = |fields: &[&[u8]]| Bytes::from(fields.concat());
    #[rustfmt::skip]
    let cases: Vec<(&str, Bytes, Expected)> = vec![
        ("nothing at all", message(&[]), wrong(&["query: is required"], &["query"])),
        ("no query", message(&[&document]), wrong(&["query: is required"], &["query"])),
        ("top_n of 0", message(&[&query, &document, &number_field(3, 0)]),
            wrong(&["top_n: 0 is out of range", "from 1 to 100"], &["top_n"])),
        ("top_n of 101", message(&[&query, &document, &number_field(3, 101)]),
            wrong(&["top_n: 101 is out of range", "from 1 to 100"], &["top_n"])),
        ("top_n below 0", message(&[&query, &document, &number_field(3, (-5_i64) as u64)]),
            wrong(&["top_n: -5 is out of range", "from 1 to 100"], &["top_n"])),
        ("two mistakes", message(&[&document, &number_field(3, 0)]),
            wrong(&["query: is required", "top_n: 0"], &["query", "top_n"])),
        ("a field that there is not", message(&[&query, &bytes_field(9, b"x")]),
            wrong(&["field 9", "query, documents, top_n"], &["field 9"])),
    ];
    for (case, bytes, expected) in cases {
        let error = connection
            .raw("motet.pipeline.Rag/Run", bytes)
            .await
            .expect_err(case);
        check(case, &error, &expected);
    }
}

#[tokio::test]
async fn bytes_that_are_not_a_message_are_refused() {
    let connection = in_process::connect().await;
    let query = bytes_field(1, b"tides");
    // The message is refused before the pipeline sees it.
    let malformed = |says, fields| Expected {
        code: Code::InvalidArgument,
        says,
        fields,
        info: &[],
    };
    #[rustfmt::skip]
    let cases: Vec<(&str, Vec<u8>, Expected)> = vec![
        ("a number where text belongs", number_field(1, 7),
            malformed(&["query", "wire type"], &["query"])),
        ("a number in a list of texts", number_field(2, 7),
            malformed(&["documents", "wire type"], &["documents"])),
        ("text where a number belongs", [query.clone(), bytes_field(3, b"five")].concat(),
            malformed(&["top_n", "wire type"], &["top_n"])),
        ("not UTF-8", bytes_field(1, b"\xff\xfe"), malformed(&["query", "UTF-8"], &["query"])),
        ("a document that is not UTF-8",
            [query.clone(), bytes_field(2, b"ok"), bytes_field(2, b"\xc3\x28")].concat(),
            malformed(&["documents", "UTF-8"], &["documents"])),
        ("cut off", query[..4].to_vec(), malformed(&["query"], &["query"])),
    ];
    for (case, bytes, expected) in cases {
        let error = connection
            .raw("motet.pipeline.Rag/Run", bytes)
            .await
            .expect_err(case);
        check(case, &error, &expected);
    }
    let error = connection
        .raw("motet.pipeline.Rag/Run", &b"\x00\x00"[..])
        .await
        .expect_err("a field 0");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
}

/// A megabyte that would be hundreds once decoded is refused first, in every service.
#[tokio::test]
async fn a_message_that_expands_is_not_decoded() {
    let connection = in_process::connect().await;
    let entry = |i: u32| {
        let name = bytes_field(1, i.to_string().as_bytes());
        bytes_field(4, &[name, bytes_field(2, b"")].concat())
    };
    let limit = |says| Expected {
        code: Code::ResourceExhausted,
        says,
        fields: &[],
        info: &[],
    };
    #[rustfmt::skip]
    let cases: Vec<(&str, &str, Vec<u8>, Expected)> = vec![
        ("empty inputs", "ModelInfer", bytes_field(5, b"").repeat(500_000),
            limit(&["not decoded", "4096 tensors, parameters"])),
        ("empty outputs", "ModelInfer", bytes_field(6, b"").repeat(500_000),
            limit(&["not decoded", "4096 tensors, parameters"])),
        ("distinct parameters", "ModelInfer", (0..100_000).flat_map(entry).collect(),
            limit(&["not decoded", "4096 tensors, parameters"])),
        ("unknown fields", "ModelInfer", number_field(15, 1).repeat(300_000),
            limit(&["not decoded", "1000 fields that its type does not have"])),
        ("empty texts", "ModelInfer",
            bytes_field(5, &bytes_field(5, &bytes_field(8, b"").repeat(500_000))),
            limit(&["not decoded", "bytes of memory"])),
        ("unknown fields of a request for metadata", "ModelMetadata",
            number_field(15, 1).repeat(300_000),
            limit(&["not decoded", "1000 fields that its type does not have"])),
    ];
    for (case, method, bytes, expected) in cases {
        let method = format!("inference.GRPCInferenceService/{method}");
        let error = connection.raw(&method, bytes).await.expect_err(case);
        check(case, &error, &expected);
        assert_eq!(status::read(&error).reason, "EXPANSION_LIMIT", "{case}");
    }
    // Typed requests are read into tensors: nothing expands, and unknown fields are told once.
    let unknown = number_field(15, 1).repeat(300_000);
    let error = connection.raw("motet.pipeline.Rag/Run", unknown).await;
    check(
        "unknown fields of rag",
        &error.expect_err("unknown fields"),
        &wrong(&["field 15", "query, documents, top_n"], &["field 15"]),
    );
}

#[tokio::test]
async fn an_unknown_name_is_not_found() {
    let connection = in_process::connect().await;
    let error = connection
        .raw("motet.pipeline.Rga/Run", Bytes::new())
        .await
        .expect_err("no such pipeline");
    let not_found = |says, info| Expected {
        code: Code::NotFound,
        says,
        fields: &[],
        info,
    };
    check(
        "pipeline",
        &error,
        &not_found(&["Rga", "there are:", "rag"], &[]),
    );
    for method in [
        "motet.pipeline.Rag/Walk",
        "motet.v1.Pipelines/Walk",
        "no.such.Service/Run",
    ] {
        let error = connection
            .raw(method, Bytes::new())
            .await
            .expect_err("no such method");
        let expected = Expected {
            code: Code::Unimplemented,
            says: &["has no method", "reflection"],
            fields: &[],
            info: &[],
        };
        check(method, &error, &expected);
        assert!(error.message().contains(method), "{error}");
    }
    let infer = async |request| {
        connection
            .inference()
            .model_infer(request)
            .await
            .expect_err("wrong")
    };
    let error = infer(raw("minilmm", &[("text", texts(&["a"]))])).await;
    check(
        "model",
        &error,
        &not_found(&["minilmm", "there are:", "minilm", "rag"], &[]),
    );
    for model in ["rag", "minilm"] {
        let mut request = raw(model, &[("text", texts(&["a"]))]);
        request.model_version = "7".to_owned();
        check("version", &infer(request).await, &not_found(&["7"], &[]));
    }
}

#[tokio::test]
async fn an_invalid_tensor_is_refused_by_name() {
    let connection = in_process::connect().await;
    let of_rag = |extra: &[(&str, Tensor)]| {
        let tensors = [("query", texts(&["q"])), ("documents", texts(&["d"]))];
        raw("rag", &[&tensors, extra].concat())
    };
    let minilm = |name: &str, tensor: Tensor| raw("minilm", &[(name, tensor)]);
    let text = || texts(&["a"]);
    let input =
        |datatype: &str, shape: &[i64], contents: Option<InferTensorContents>| InferInputTensor {
            name: "text".to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
            contents,
            ..Default::default()
        };
    let with = |inputs: Vec<InferInputTensor>, raw: Vec<Bytes>| ModelInferRequest {
        model_name: "minilm".to_owned(),
        inputs,
        raw_input_contents: raw,
        ..Default::default()
    };
    let numbers = InferTensorContents {
        int_contents: vec![1],
        ..Default::default()
    };
    let one = typed("minilm", &[("text", &["a"][..])]);
    let contents = one.inputs[0].contents.clone();
    let asks_for = |model: &str, output: &str| {
        let mut request = if model == "rag" {
            of_rag(&[])
        } else {
            minilm("text", text())
        };
        let name = output.to_owned();
        request.outputs.push(InferRequestedOutputTensor {
            name,
            ..Default::default()
        });
        request
    };
    let parameters = |value: i64| {
        let mut request = minilm("text", text());
        request
            .parameters
            .insert("timeout".to_owned(), parameter(value));
        request
    };
    const OF_MINILM: &[(&str, &str)] = &[("model", "minilm")];
    let model = |says, fields| Expected {
        code: Code::InvalidArgument,
        says,
        fields,
        info: OF_MINILM,
    };
    let any = |says, fields| Expected {
        code: Code::InvalidArgument,
        says,
        fields,
        info: &[],
    };
    #[rustfmt::skip]
    let cases: Vec<(&str, ModelInferRequest, Expected)> = vec![
        ("rag: no tensors", raw("rag", &[]),
            wrong(&["query: is required", "documents: is required"], &["query", "documents"])),
        ("rag: an extra tensor", of_rag(&[("querry", text())]),
            wrong(&["querry", "query, documents, top_n"], &["querry"])),
        ("rag: documents of numbers",
            raw("rag", &[("query", text()), ("documents", Tensor::scalar(1_i32))]),
            wrong(&["documents", "i32", "string"], &["documents"])),
        ("rag: two queries", raw("rag", &[("query", texts(&["a", "b"])), ("documents", text())]),
            wrong(&["query: has 1 dimensions", "must have 0"], &["query"])),
        ("rag: a matrix of documents",
            raw("rag", &[
                ("query", text()),
                ("documents", texts(&["a", "b"]).reshape(vec![1, 2]).expect("fits")),
            ]),
            wrong(&["documents: has 2 dimensions", "must have 1"], &["documents"])),
        ("rag: top_n of 0", of_rag(&[("top_n", Tensor::scalar(0_i64))]),
            wrong(&["top_n", "from 1 to 100"], &["top_n"])),
        ("rag: top_n of another type", of_rag(&[("top_n", Tensor::scalar(5_i32))]),
            wrong(&["top_n", "i32", "int"], &["top_n"])),
        ("rag: not UTF-8",
            raw("rag", &[("query", Tensor::byte_strings([b"\xff"])), ("documents", text())]),
            wrong(&["query", "UTF-8"], &["query"])),
        ("rag: an output that there is not", asks_for("rag", "results.scor"),
            wrong(&["results.scor", "results.score"], &["results.scor"])),
        ("minilm: no tensors", raw("minilm", &[]), model(&["text", "missing"], &["text"])),
        ("minilm: another name", minilm("txt", text()),
            model(&["txt", "did you mean `text`", "text: missing"], &["txt", "text"])),
        ("minilm: an extra tensor", raw("minilm", &[("text", text()), ("mask", text())]),
            model(&["mask", "unknown"], &["mask"])),
        ("minilm: numbers",
            minilm("text", Tensor::from_values(vec![1], vec![1_i64]).expect("fits")),
            model(&["text", "INT64", "BYTES"], &["text"])),
        ("minilm: a matrix", minilm("text", texts(&["a", "b"]).reshape(vec![2, 1]).expect("fits")),
            model(&["text", "[2, 1]", "[N]"], &["text"])),
        ("minilm: not UTF-8", minilm("text", Tensor::byte_strings([&b"ok"[..], b"\xff"])),
            model(&["text", "UTF-8"], &["text"])),
        ("minilm: an output that there is not", asks_for("minilm", "embeding"),
            model(&["embeding", "did you mean `embedding`"], &["embeding"])),
        ("minilm: an unknown datatype", with(vec![input("TEXT", &[1], contents.clone())], vec![]),
            model(&["text", "TEXT"], &["text"])),
        ("minilm: a negative length", with(vec![input("BYTES", &[-1], contents.clone())], vec![]),
            model(&["text", "[-1]"], &["text"])),
        ("minilm: a length beyond all memory",
            with(vec![input("BYTES", &[i64::MAX, i64::MAX], contents.clone())], vec![]),
            model(&["text"], &["text"])),
        ("minilm: fewer elements than the shape says",
            with(vec![input("BYTES", &[3], contents.clone())], vec![]),
            model(&["text", "1 elements", "3"], &["text"])),
        ("minilm: elements in another list",
            with(vec![input("BYTES", &[1], Some(numbers))], vec![]),
            model(&["text", "bytes_contents", "int_contents"], &["text"])),
        ("minilm: raw bytes cut off",
            with(vec![input("BYTES", &[1], None)], vec![Bytes::from_static(b"\x05\x00\x00\x00ab")]),
            model(&["text"], &["text"])),
        ("minilm: raw bytes left over",
            with(vec![input("BYTES", &[1], None)], vec![Bytes::from_static(b"\x01\x00\x00\x00ab")]),
            model(&["text"], &["text"])),
        ("minilm: raw contents for none", with(vec![], vec![Bytes::new()]),
            model(&["raw contents"], &["raw_input_contents"])),
        ("minilm: raw and typed",
            with(
                vec![input("BYTES", &[1], contents.clone())],
                vec![Bytes::from_static(b"\x01\x00\x00\x00a")],
            ),
            model(&["text", "both"], &["text"])),
        ("minilm: given twice",
            with(
                vec![input("BYTES", &[1], contents.clone()), input("BYTES", &[1], contents)],
                vec![],
            ),
            model(&["text", "twice"], &["text"])),
        ("minilm: a timeout below 0", parameters(-1), any(&["timeout"], &["timeout"])),
    ];
    for (case, request, expected) in cases {
        let error = connection
            .inference()
            .model_infer(request)
            .await
            .expect_err(case);
        check(case, &error, &expected);
    }
}

#[tokio::test]
async fn an_error_names_the_limit_that_was_exceeded() {
    let connection = in_process::connect().await;
    let yaml = "pipeline: small_things\n\
                inputs:\n  query: { type: string, max_bytes: 8 }\n  \
                documents: { type: 'string[N]', max_items: 3, max_bytes: 5 }\n\
                nodes:\n  r: { model: reranker, in: { query: $query, text: $documents } }\n\
                outputs: { score: $r.score }\n";
    let long_texts = "pipeline: long_texts\n\
                inputs: { documents: { type: 'string[N]', max_bytes: 2097152 } }\n\
                nodes: { chunks: { model: chunker, in: { text: $documents } } }\n\
                outputs: { chunk: $chunks.text }\n";
    for yaml in [yaml, long_texts] {
        let yaml = yaml.to_owned();
        let loaded = connection.pipelines().load(LoadRequest { yaml }).await;
        loaded.expect("it is right");
    }
    let small = motet_tests::reflected::Service::learn(&connection, "motet.pipeline.SmallThings");
    let small = small.await.expect("it is there");
    let rag = rag(&connection).await;
    const OF_SMALL: &[(&str, &str)] = &[("pipeline", "small_things")];
    let over = |says, fields| Expected {
        code: Code::ResourceExhausted,
        says,
        fields,
        info: OF_SMALL,
    };
    let small_cases: Vec<(Value, Expected)> = vec![
        (
            json!({"query": "123456789"}),
            over(&["query", "9 bytes", "limit is 8"], &["query"]),
        ),
        (
            json!({"query": "q", "documents": ["a", "b", "c", "d"]}),
            over(&["documents", "4 elements", "limit is 3"], &["documents"]),
        ),
        (
            json!({"query": "q", "documents": ["a", "123456"]}),
            over(
                &["documents", "element 1", "6 bytes", "limit is 5"],
                &["documents"],
            ),
        ),
    ];
    for (request, expected) in small_cases {
        let case = request.to_string();
        let error = small.call("Run", request).await.expect_err(&case);
        check(&case, &error, &expected);
    }
    // A limit of a model inside a pipeline: the error names the node and the model.
    let error = rag
        .call("Run", json!({"query": "q", "documents": vec![""; 16_385]}))
        .await;
    let of_node: &[(&str, &str)] = &[
        ("pipeline", "rag"),
        ("node", "chunks"),
        ("model", "chunker"),
    ];
    let expected = Expected {
        code: Code::ResourceExhausted,
        says: &["node chunks", "16385 rows", "16384"],
        fields: &["text"],
        info: of_node,
    };
    check("rows", &error.expect_err("too many"), &expected);
    let long =
        motet_tests::reflected::Service::learn(&connection, "motet.pipeline.LongTexts").await;
    let text = "a".repeat(TEXT_BYTES_MAX + 1);
    let error = long
        .expect("it is there")
        .call("Run", json!({ "documents": [text] }))
        .await;
    let expected = Expected {
        says: &["node chunks", "1048577 bytes", "1048576"],
        fields: &["text[0]"],
        info: &[
            ("pipeline", "long_texts"),
            ("node", "chunks"),
            ("model", "chunker"),
        ],
        ..expected
    };
    check("bytes", &error.expect_err("too long"), &expected);
    // An input without `max_bytes` has the same limit.
    let error = rag
        .call("Run", json!({ "query": "q", "documents": ["a", text] }))
        .await;
    let expected = Expected {
        code: Code::ResourceExhausted,
        says: &[
            "documents",
            "element 1",
            "1048577 bytes",
            "limit is 1048576",
        ],
        fields: &["documents"],
        info: &[("pipeline", "rag")],
    };
    check(
        "bytes of an input",
        &error.expect_err("too long"),
        &expected,
    );

    // The message itself.
    let limit = 64 << 20;
    let large = vec![0; limit + 1];
    let expected = Expected {
        code: Code::ResourceExhausted,
        says: &["67108865 bytes", "limit is 67108864 bytes"],
        fields: &[],
        info: &[("max_message_bytes", "67108864")],
    };
    for method in [
        "motet.pipeline.Rag/Run",
        "inference.GRPCInferenceService/ModelInfer",
    ] {
        let error = connection
            .raw(method, large.clone())
            .await
            .expect_err("too large");
        check(method, &error, &expected);
    }
    rag.call("Run", json!({"query": "q"}))
        .await
        .expect("the connection goes on");
}

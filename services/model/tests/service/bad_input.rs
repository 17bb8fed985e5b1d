//! A request with a mistake is refused with the field at fault.

use motet_proto::Tensor;
use motet_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use motet_proto::inference::{InferTensorContents, ModelInferRequest};
use motet_proto::oip::parameter;
use motet_runtime::status;
use tonic::Code::{self, *};

use crate::harness::*;

/// Checks that a request is refused with this code and these fields at fault; `message` is a part
/// of the status message.
fn check(request: ModelInferRequest, code: Code, fields: &[&str], message: &str) {
    let shown = format!("{request:?}");
    let answer = block_on(async { client().await.model_infer(request).await });
    let error = answer.expect_err(&shown[..shown.len().min(500)]);
    assert_eq!(error.code(), code, "{error:?}");
    assert!(error.message().contains(message), "{}", error.message());
    let details = status::read(&error);
    let named: Vec<&str> = details.violations.iter().map(|(f, _)| f.as_str()).collect();
    assert_eq!(named, fields, "{error:?}");
    assert!(details.metadata.contains_key("model"), "{details:?}");
}

fn one(model: &str, tensor: (&str, Tensor)) -> ModelInferRequest {
    request(model, &[tensor])
}

fn with(name: &str, value: i64) -> ModelInferRequest {
    let mut request = one("chunker", texts(&["a"]));
    request.parameters = [(name.to_owned(), parameter(value))].into();
    request
}

#[test]
fn an_unknown_model_or_version_is_refused() {
    let mut unknown = one("minilm", texts(&["a"]));
    unknown.model_name = "minilmm".to_owned();
    let message = "there are `chunker`, `minilm`, `cls`, `tokens`, `reranker` and `counted`";
    check(unknown.clone(), NotFound, &[], message);
    unknown.model_name = String::new();
    check(unknown, NotFound, &[], "there is no model \"\" here");
    let mut version = one("minilm", texts(&["a"]));
    version.model_version = "2".to_owned();
    check(version, NotFound, &[], "no version \"2\"; it has 1");
}

#[test]
fn a_tensor_that_does_not_fit_its_port_is_refused() {
    let bad = |inputs: &[(&str, Tensor)], fields: &[&str], message: &str| {
        check(
            request("reranker", inputs),
            InvalidArgument,
            fields,
            message,
        );
    };
    let list = |n: usize| Tensor::strings(vec!["x"; n]);
    let (text, query) = (texts(&["a"]), query("q"));
    bad(&[], &["query", "text"], "text: missing; it is string[N]");
    bad(
        std::slice::from_ref(&text),
        &["query"],
        "query: missing; it is string",
    );
    bad(
        &[query.clone(), text.clone(), ("texts", list(1))],
        &["texts"],
        "did you mean `text`?",
    );
    bad(
        &[query.clone(), ("zzz", list(1))],
        &["zzz", "text"],
        "inputs are `query` and `text`",
    );
    bad(
        &[query.clone(), text.clone(), text.clone()],
        &["text"],
        "given twice",
    );
    bad(
        &[("query", list(2)), text.clone()],
        &["query"],
        "shape is [2], must be [1]",
    );
    bad(
        &[("query", Tensor::scalar(1f32)), text.clone()],
        &["query"],
        "datatype is FP32, must be BYTES",
    );
    let square = list(4).reshape(vec![2, 2]).unwrap();
    bad(
        &[query.clone(), ("text", square)],
        &["text"],
        "shape is [2, 2], must be [N]",
    );
    bad(
        &[
            query.clone(),
            ("text", Tensor::byte_strings([b"ok".as_slice(), b"\xff"])),
        ],
        &["text"],
        "element 1 is not valid UTF-8",
    );

    let input = |datatype: &str, shape: Vec<i64>, contents| ModelInferRequest {
        model_name: "minilm".to_owned(),
        inputs: vec![InferInputTensor {
            name: "text".to_owned(),
            datatype: datatype.to_owned(),
            shape,
            contents,
            ..InferInputTensor::default()
        }],
        ..ModelInferRequest::default()
    };
    let contents = |texts: &[&str]| {
        Some(InferTensorContents {
            bytes_contents: texts.iter().map(|t| t.as_bytes().to_vec().into()).collect(),
            ..InferTensorContents::default()
        })
    };
    let bad = |request, fields: &[&str], message| check(request, InvalidArgument, fields, message);
    bad(
        input("TEXT", vec![1], contents(&["a"])),
        &["text"],
        "unknown datatype `TEXT`",
    );
    bad(
        input("BYTES", vec![2], contents(&["a"])),
        &["text"],
        "1 elements do not fill shape [2]",
    );
    bad(
        input("BYTES", vec![-1], contents(&["a"])),
        &["text"],
        "negative length",
    );
    bad(
        input("BYTES", vec![], contents(&["a"])),
        &["text"],
        "shape is [], must be [N]",
    );
    bad(
        input("BYTES", vec![1], None),
        &["text"],
        "0 elements do not fill shape [1]",
    );
    let mut cut = one("minilm", texts(&["abc"]));
    cut.raw_input_contents = vec![vec![3, 0, 0, 0, b'a'].into()];
    bad(cut.clone(), &["text"], "ends inside element 0");
    cut.raw_input_contents.push(Vec::new().into());
    bad(
        cut,
        &["raw_input_contents"],
        "2 raw contents do not go with 1 tensors",
    );
    let mut shared = input("BYTES", vec![1], None);
    shared.inputs[0].parameters = [("shared_memory_region".to_owned(), parameter("r"))].into();
    bad(shared, &["text"], "`shared_memory_region` is not supported");
}

#[test]
fn an_unknown_or_repeated_output_is_refused() {
    let bad = |names: &[&str], fields: &[&str], message| {
        let mut request = one("chunker", texts(&["a"]));
        let asked = names.iter().map(|name| InferRequestedOutputTensor {
            name: (*name).to_owned(),
            ..InferRequestedOutputTensor::default()
        });
        request.outputs = asked.collect();
        check(request, InvalidArgument, fields, message);
    };
    bad(
        &["text", "sauce"],
        &["sauce"],
        "unknown output; did you mean `source`?",
    );
    bad(&["text", "text"], &["text"], "asked for twice");
}

#[test]
fn an_unknown_or_out_of_range_parameter_is_refused() {
    let bad = |request, fields: &[&str], message| check(request, InvalidArgument, fields, message);
    bad(
        with("max_token", 3),
        &["max_token"],
        "did you mean `max_tokens`?",
    );
    bad(
        with("zzzzzzzz", 3),
        &["zzzzzzzz"],
        "parameters are `max_tokens`, `overlap`, `priority` and `timeout`",
    );
    bad(
        with("max_tokens", 7),
        &["max_tokens"],
        "is 7, must be between 8 and 254",
    );
    bad(
        with("max_tokens", 255),
        &["max_tokens"],
        "is 255, must be between 8 and 254",
    );
    bad(
        with("overlap", -1),
        &["overlap"],
        "is -1, must be between 0 and 127",
    );
    bad(
        with("overlap", 65),
        &["overlap"],
        "must be at most half of max_tokens, which is 128",
    );
    bad(
        with("priority", -1),
        &["priority"],
        "is -1, must be at least 0",
    );
    bad(
        with("timeout", i64::MIN),
        &["timeout"],
        "must be at least 0",
    );
    let mut words = with("overlap", 1);
    words.parameters = [
        ("max_tokens".to_owned(), parameter("many")),
        ("overlap".to_owned(), parameter(0.5)),
    ]
    .into();
    bad(
        words,
        &["max_tokens", "overlap"],
        "`max_tokens` must be an integer",
    );
    let mut not_here = one("minilm", texts(&["a"]));
    not_here.parameters = [("overlap".to_owned(), parameter(64i64))].into();
    bad(not_here, &["overlap"], "unknown parameter");
}

#[test]
fn a_call_over_the_limits_is_refused() {
    let bad =
        |request, fields: &[&str], message| check(request, ResourceExhausted, fields, message);
    let many = vec!["a"; LIMITS.rows + 1];
    bad(
        one("minilm", texts(&many)),
        &["text"],
        "201 rows; a call takes at most 200",
    );
    let long = "a".repeat(LIMITS.text_bytes + 1);
    for model in ["minilm", "chunker", "tokens"] {
        bad(
            one(model, texts(&["a", &long])),
            &["text[1]"],
            "65537 bytes; a text has at most 65536",
        );
    }
    bad(
        request("reranker", &[query(&long), texts(&["a"])]),
        &["query[0]"],
        "65537 bytes",
    );
    let words = vec!["one two three four five six seven"; 100];
    bad(
        one("tokens", texts(&words)),
        &[],
        "the texts have 800 tokens; a call takes at most 400",
    );
}

#[test]
fn a_message_over_the_limit_is_refused() {
    let text = "a".repeat(MESSAGE_BYTES_MAX);
    let huge = one("minilm", texts(&[&text]));
    let answer = block_on(async { client().await.model_infer(huge).await });
    assert_eq!(answer.unwrap_err().code(), OutOfRange);
}

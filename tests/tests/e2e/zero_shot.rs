//! Labels of the caller's own, through the whole program, against the pipeline of transformers
//! (tests/expected/zero_shot.py made the values).

use motet_proto::Tensor;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::parameter;
use motet_tests::connection::Connection;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, output, raw, texts};
use serde_json::Value;
use tonic::{Code, Status};

use crate::classifiers::{CLOSE, score_kind, serve, strings};
use crate::motet;

const MODELS: [&str; 2] = ["electra-nli", "deberta-nli"];

/// Texts and labels of a call, and settings.
fn request(
    model: &str,
    all: &[&str],
    labels: &[&str],
    settings: &[(&str, ParameterChoice)],
) -> ModelInferRequest {
    let inputs = [("text", texts(all)), ("labels", texts(labels))];
    let mut request = raw(model, &inputs);
    for (name, choice) in settings {
        let choice = parameter(choice.clone());
        request.parameters.insert((*name).to_owned(), choice);
    }
    request
}

async fn infer(
    connection: &Connection,
    request: ModelInferRequest,
) -> Result<ModelInferResponse, Status> {
    let answer = connection.inference().model_infer(request).await;
    answer.map(tonic::Response::into_inner)
}

fn text(value: &str) -> ParameterChoice {
    ParameterChoice::StringParam(value.to_owned())
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().expect("a list")
}

fn words<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    let words = list(value, key).iter();
    words.map(|word| word.as_str().expect("a string")).collect()
}

#[tokio::test]
async fn labels_of_a_call_have_the_scores_of_the_library() {
    let models = MODELS.map(|name| (name, "classify_zero_shot", name));
    let (_program, connection, _folder) = serve(&models).await;
    for model in MODELS {
        let path = repository().join("tests/classifiers").join(model);
        let listing = std::fs::read(path.join("zero_shot.json")).expect("the fixture");
        let listing: Value = serde_json::from_slice(&listing).expect("JSON");
        for call in list(&listing, "calls") {
            let labels = words(call, "labels");
            let expected = list(call, "texts");
            let all: Vec<&str> = expected
                .iter()
                .map(|row| row["text"].as_str().expect("a text"))
                .collect();
            let multi_label = call["multi_label"].as_bool().expect("a boolean");
            let mut settings = vec![("multi_label", ParameterChoice::BoolParam(multi_label))];
            if let Some(template) = call["template"].as_str() {
                settings.push(("hypothesis_template", text(template)));
            }
            let answer = infer(&connection, request(model, &all, &labels, &settings)).await;
            let answer = answer.expect("an answer");
            let by_itself = multi_label || labels.len() == 1;
            let kind = if by_itself { "sigmoid" } else { "softmax" };
            assert_eq!(score_kind(&answer), kind, "{call}");
            assert_eq!(strings(&answer, "labels"), labels);
            assert_eq!(output(&answer, "score").shape(), [all.len(), labels.len()]);
            let (scores, given) = (floats(&answer, "score"), strings(&answer, "label"));
            for ((row, found), label) in expected.iter().zip(scores.chunks(labels.len())).zip(given)
            {
                let expected: Vec<f32> = list(row, "scores")
                    .iter()
                    .map(|score| score.as_f64().expect("a number") as f32)
                    .collect();
                let worst = max_difference(found, &expected);
                assert!(worst < CLOSE, "{model}: {row} is {worst} off: {found:?}");
                assert_eq!(label, row["label"].as_str().expect("a label"), "{row}");
            }
        }
    }
}

#[tokio::test]
async fn a_text_has_the_same_bits_alone_and_beside_others_and_equal_labels_have_equal_ones() {
    let (_program, connection, _folder) =
        serve(&[("nli", "classify_zero_shot", "deberta-nli")]).await;
    let all = ["wing", "", "The river, and a letter.", "zebra! ", "wing"];
    let labels = ["river", "a wing", "river", "letter"];
    let by_itself = [("multi_label", ParameterChoice::BoolParam(true))];
    let ask = async |all: &[&str], labels: &[&str]| {
        let answer = infer(&connection, request("nli", all, labels, &by_itself)).await;
        floats(&answer.expect("an answer"), "score")
    };
    let together = ask(&all, &labels).await;
    for (text, of_text) in all.iter().zip(together.chunks(labels.len())) {
        for (label, score) in labels.iter().zip(of_text) {
            let alone = ask(&[text], &[label]).await;
            assert_eq!(alone[0].to_bits(), score.to_bits(), "{text:?} {label:?}");
        }
    }
    let none = infer(&connection, request("nli", &[], &labels, &[])).await;
    let none = none.expect("an answer");
    assert_eq!(output(&none, "score").shape(), [0, labels.len()]);
    assert_eq!(strings(&none, "labels"), labels);
}

#[tokio::test]
async fn the_text_is_cut_and_never_the_hypothesis() {
    let (_program, connection, _folder) =
        serve(&[("nli", "classify_zero_shot", "electra-nli")]).await;
    let long = "wing river letter ".repeat(20);
    let texts = ["wing", &long];
    let answer = infer(
        &connection,
        request("nli", &texts, &["a", "wing river"], &[]),
    )
    .await;
    let answer = answer.expect("an answer");
    let cut = answer.parameters.get("motet.tokens_cut");
    let cut = cut.and_then(|cut| cut.parameter_choice.clone());
    let Some(ParameterChoice::StringParam(cut)) = cut else {
        panic!("{:?}", answer.parameters)
    };
    let cut: Vec<usize> = serde_json::from_str(&cut).expect("a list");
    assert!(cut.len() == 2 && cut[0] == 0 && cut[1] > 20, "{cut:?}");
    let left = [("truncate", text("left"))];
    let other = infer(&connection, request("nli", &texts, &["a"], &left)).await;
    assert_eq!(score_kind(&other.expect("an answer")), "sigmoid");
}

#[tokio::test]
async fn calls_that_make_no_sense_are_refused_with_their_field() {
    let (_program, connection, _folder) = serve(&[(
        "nli",
        "classify_zero_shot, hypothesis_template: \"{} it is\"",
        "electra-nli",
    )])
    .await;
    let many: Vec<String> = (0..130).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "wing ".repeat(60);
    let huge = "wing".repeat(2000);
    let error = [("truncate", text("error"))];
    let table: [(ModelInferRequest, Code, &str); 7] = [
        (
            request("nli", &["wing"], &[], &[]),
            Code::InvalidArgument,
            "labels: has no label; there must be one at least",
        ),
        (
            request("nli", &many, &many, &[]),
            Code::ResourceExhausted,
            "130 texts with 130 labels each are 16900 rows; a call takes at most 16384",
        ),
        (
            request("nli", &["wing"], &["a", &long], &[]),
            Code::InvalidArgument,
            "labels[1]: the second text of the pair has",
        ),
        (
            request("nli", &["wing"], &["a", &huge], &[]),
            Code::ResourceExhausted,
            "labels[1]: 8000 bytes; a label has at most 4096",
        ),
        (
            request("nli", &["wing", &long], &["a"], &error),
            Code::InvalidArgument,
            "text[1]: makes a row of",
        ),
        (
            request(
                "nli",
                &["wing"],
                &["a"],
                &[("hypothesis_template", text("It is."))],
            ),
            Code::InvalidArgument,
            "hypothesis_template: has `{}` 0 times; it must have it once",
        ),
        (
            request("nli", &["wing"], &["a"], &[("prompt", text("query: "))]),
            Code::InvalidArgument,
            "prompt: unknown parameter",
        ),
    ];
    for (request, code, expected) in table {
        let status = infer(&connection, request).await.expect_err(expected);
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(expected), "{status}");
    }
    let no_labels = raw("nli", &[("text", Tensor::strings(["wing"]))]);
    let status = infer(&connection, no_labels).await;
    let status = status.expect_err("no labels");
    assert!(
        status
            .message()
            .contains("labels: missing; it is string[L]"),
        "{status}"
    );
}

#[tokio::test]
async fn a_model_that_is_none_of_inference_is_told_before_anything_starts() {
    let folder = TempDir::new();
    let fixture = |name: &str| repository().join("tests/classifiers").join(name);
    for (keys, name, expected) in [
        (
            "",
            "bert-reranker",
            "id2label has `LABEL_0`; labels of the caller's own need a model of natural-language \
             inference: two labels or more, one of which begins with `entail`",
        ),
        (
            "",
            "modernbert-mean",
            "id2label has `bad`, `fair`, `good`; labels of the caller's own need",
        ),
        (
            "hypothesis_template: \"It is.\", ",
            "deberta-nli",
            "`hypothesis_template` has `{}` 0 times; it must have it once, where the label goes, \
             as `This example is {}.` has it",
        ),
        (
            "pair: true, ",
            "deberta-nli",
            "`pair` has no meaning for the task `classify_zero_shot`",
        ),
    ] {
        let source = fixture(name);
        let source = source.display();
        let model = format!("{{ task: classify_zero_shot, {keys}source: \"file:{source}\" }}");
        let file = folder.file("motet.yaml", format!("models: {{ m: {model} }}\n"));
        let ended = motet(["check".as_ref(), file.as_os_str()]).run().await;
        assert_ne!(ended.code, Some(0), "{keys}{name}");
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

//! Classifiers and cross-encoders from folders, through the whole program, against transformers.

use motet_proto::Tensor;
use motet_proto::inference::ModelInferResponse;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::parameter;
use motet_tests::connection::Connection;
use motet_tests::program::Process;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, output, raw, texts};
use serde_json::Value;

use crate::motet;

/// Largest difference from the values of the libraries.
pub(crate) const CLOSE: f32 = 1e-5;

/// A text or pair of a fixture, and the logits that transformers gives it.
struct Row {
    text: String,
    pair: Option<String>,
    logits: Vec<f32>,
}

/// Returns the rows of a fixture that are single texts, and those that are pairs.
fn rows(name: &str) -> (Vec<Row>, Vec<Row>) {
    let path = repository().join("tests/classifiers").join(name);
    let listing = std::fs::read(path.join("expected.json")).expect("the fixture");
    let listing: Value = serde_json::from_slice(&listing).expect("JSON");
    let numbers = |row: &Value| -> Vec<f32> {
        let numbers = row.as_array().expect("logits").iter();
        numbers
            .map(|x| x.as_f64().expect("a number") as f32)
            .collect()
    };
    let row = |row: &Value| Row {
        text: row["text"].as_str().expect("a text").to_owned(),
        pair: row["pair"].as_str().map(str::to_owned),
        logits: numbers(&row["logits"][0]),
    };
    let rows = listing["rows"].as_array().expect("rows").iter().map(row);
    rows.partition(|row| row.pair.is_none())
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let exps: Vec<f32> = logits.iter().map(|x| x.exp()).collect();
    let sum: f32 = exps.iter().sum();
    exps.into_iter().map(|x| x / sum).collect()
}

fn sigmoid(logits: &[f32]) -> Vec<f32> {
    logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
}

pub(crate) fn score_kind(answer: &ModelInferResponse) -> &str {
    let choice = answer.parameters.get("score_kind");
    match choice.and_then(|choice| choice.parameter_choice.as_ref()) {
        Some(ParameterChoice::StringParam(kind)) => kind,
        other => panic!("score_kind is {other:?}"),
    }
}

pub(crate) fn strings(answer: &ModelInferResponse, name: &str) -> Vec<String> {
    let tensor = output(answer, name);
    let strings = tensor.as_strings().expect("strings");
    strings.texts().map(str::to_owned).collect()
}

/// Starts the program with models of fixtures, each with a name, a task with further keys, and a
/// fixture.
pub(crate) async fn serve(models: &[(&str, &str, &str)]) -> (Process, Connection, TempDir) {
    serve_from("classifiers", models).await
}

/// Does the same with fixtures of another kind, which have a folder of theirs.
pub(crate) async fn serve_from(
    kind: &str,
    models: &[(&str, &str, &str)],
) -> (Process, Connection, TempDir) {
    let folder = TempDir::new();
    let mut config = String::from("models:\n");
    for (name, task, fixture) in models {
        let source = repository().join("tests").join(kind).join(fixture);
        let source = source.display();
        config += &format!("  {name}: {{ task: {task}, source: \"file:{source}\" }}\n");
    }
    let file = folder.file("motet.yaml", config);
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    (program, connection, folder)
}

#[tokio::test]
async fn texts_and_pairs_get_labels_and_the_scores_of_all_labels() {
    type Scores = fn(&[f32]) -> Vec<f32>;
    let kinds: [(&str, &str, Scores, &[&str]); 5] = [
        ("llama-labels", "softmax", softmax, &["bad", "fair", "good"]),
        (
            "electra-nli",
            "softmax",
            softmax,
            &["contradiction", "entailment", "neutral"],
        ),
        (
            "distilbert-multi-label",
            "sigmoid",
            sigmoid,
            &["joy", "anger", "fear"],
        ),
        (
            "xlm-roberta-regression",
            "raw",
            |logits| logits.to_vec(),
            &["stars"],
        ),
        (
            "mpnet-default-labels",
            "softmax",
            softmax,
            &["LABEL_0", "LABEL_1"],
        ),
    ];
    let pair_names = kinds.map(|(name, ..)| format!("{name}-pair"));
    let singles = kinds.map(|(name, ..)| (name, "classify", name));
    let pairs = kinds.iter().zip(&pair_names);
    let pairs = pairs.map(|((name, ..), pair)| (pair.as_str(), "classify, pair: true", *name));
    let models: Vec<_> = singles.into_iter().chain(pairs).collect();
    let (_program, connection, _folder) = serve(&models).await;
    for ((name, kind, scores, labels), pair_name) in kinds.into_iter().zip(&pair_names) {
        let (single, pair) = rows(name);
        for (model, rows) in [(name, single), (pair_name, pair)] {
            let mut inputs = vec![("text", Tensor::strings(rows.iter().map(|row| &row.text)))];
            if rows[0].pair.is_some() {
                let second = rows.iter().map(|row| row.pair.as_ref().expect("a pair"));
                inputs.push(("pair", Tensor::strings(second)));
            }
            let answer = connection
                .inference()
                .model_infer(raw(model, &inputs))
                .await;
            let answer = answer.expect("an answer").into_inner();
            assert_eq!(score_kind(&answer), kind, "{model}");
            assert_eq!(strings(&answer, "labels"), labels, "{model}");
            assert_eq!(output(&answer, "score").shape(), [rows.len(), labels.len()]);
            let found = floats(&answer, "score");
            let given = strings(&answer, "label");
            for ((row, found), label) in rows.iter().zip(found.chunks(labels.len())).zip(given) {
                let expected = scores(&row.logits);
                let worst = max_difference(found, &expected);
                assert!(worst < CLOSE, "{model}: {:?} is {worst} off", row.text);
                let best = expected.iter().copied().fold(f32::MIN, f32::max);
                let at = expected.iter().position(|score| *score == best);
                assert_eq!(label, labels[at.expect("a label")], "{model}");
            }
        }
    }
}

#[tokio::test]
async fn a_cross_encoder_scores_texts_against_a_query() {
    let (_program, connection, _folder) = serve(&[
        ("one-label", "rerank", "bert-reranker"),
        ("two-labels", "rerank", "roberta-relevance"),
        ("named", "rerank, label: LABEL_0", "mpnet-default-labels"),
        ("decoder", "rerank", "qwen3-reranker"),
    ])
    .await;
    type Score = fn(&[f32]) -> f32;
    let models: [(&str, &str, &str, Score); 4] = [
        ("one-label", "bert-reranker", "sigmoid", |logits| {
            sigmoid(logits)[0]
        }),
        ("decoder", "qwen3-reranker", "sigmoid", |logits| {
            sigmoid(logits)[0]
        }),
        ("two-labels", "roberta-relevance", "softmax", |logits| {
            softmax(logits)[1]
        }),
        ("named", "mpnet-default-labels", "softmax", |logits| {
            softmax(logits)[0]
        }),
    ];
    for (model, fixture, kind, score) in models {
        let (_, pairs) = rows(fixture);
        // Rows with one query are a call.
        for rows in pairs.chunk_by(|a, b| a.text == b.text) {
            let second = rows.iter().map(|row| row.pair.as_ref().expect("a pair"));
            // Each text twice: equal ones get equal bits.
            let second: Vec<_> = second.clone().chain(second).collect();
            let inputs = [
                ("query", Tensor::strings([&rows[0].text])),
                ("text", texts(&second)),
            ];
            let answer = connection
                .inference()
                .model_infer(raw(model, &inputs))
                .await;
            let answer = answer.expect("an answer").into_inner();
            assert_eq!(score_kind(&answer), kind, "{model}");
            let found = floats(&answer, "score");
            let (first, again) = found.split_at(rows.len());
            assert_eq!(first, again, "{model}");
            for (row, found) in rows.iter().zip(first) {
                let expected = score(&row.logits);
                let off = (found - expected).abs();
                assert!(off < CLOSE, "{model}: {:?} is {off} off", row.pair);
            }
        }
        let none: [&str; 0] = [];
        let inputs = [("query", Tensor::strings(["wing"])), ("text", texts(&none))];
        let answer = connection
            .inference()
            .model_infer(raw(model, &inputs))
            .await;
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(output(&answer, "score").shape(), [0]);

        let long = "wing ".repeat(60);
        let inputs = [("query", Tensor::strings([&long])), ("text", texts(&["a"]))];
        let status = connection
            .inference()
            .model_infer(raw(model, &inputs))
            .await;
        let status = status.expect_err("a query that fills the row");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let message = status.message();
        assert!(
            message.contains("query") && message.contains("fit into the limit of 40"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_language_model_scores_texts_by_the_words_that_come_next() {
    let fixtures = ["qwen3-logits", "qwen3-plain"];
    let (_program, connection, _folder) = serve(&fixtures.map(|name| (name, "rerank", name))).await;
    for name in fixtures {
        let path = repository().join("tests/classifiers").join(name);
        let listing = std::fs::read(path.join("expected.json")).expect("the fixture");
        let listing: Value = serde_json::from_slice(&listing).expect("JSON");
        for row in listing["rows"].as_array().expect("rows") {
            let text = |key: &str| row[key].as_str().expect("a text").to_owned();
            let (query, document) = (text("text"), text("pair"));
            let inputs = [
                ("query", Tensor::strings([&query])),
                ("text", texts(&[&document])),
            ];
            let mut request = raw(name, &inputs);
            let prompt = ParameterChoice::StringParam(text("prompt"));
            let prompt = ("prompt".to_owned(), parameter(prompt));
            request.parameters.extend([prompt]);
            let answer = connection.inference().model_infer(request).await;
            let answer = answer.expect("an answer").into_inner();
            assert_eq!(score_kind(&answer), "sigmoid", "{name}");
            let expected = row["score"].as_f64().expect("a score") as f32;
            let off = (floats(&answer, "score")[0] - expected).abs();
            assert!(off < CLOSE, "{name}: {query:?} {document:?} is {off} off");
        }
    }
}

/// Spans of a text: start, end, label, score.
type Spans = Vec<(i64, i64, String, f32)>;

fn spans_of(answer: &ModelInferResponse, row: i32) -> Spans {
    let ints = |name: &str| -> Vec<i32> {
        let tensor = output(answer, name);
        tensor.values::<i32>().expect("integers").into_owned()
    };
    let (rows, starts, ends) = (ints("row"), ints("start"), ints("end"));
    let (labels, scores) = (strings(answer, "label"), floats(answer, "score"));
    let spans = (0..rows.len()).filter(|at| rows[*at] == row);
    let span = |at: usize| {
        let place = (i64::from(starts[at]), i64::from(ends[at]));
        (place.0, place.1, labels[at].clone(), scores[at])
    };
    spans.map(span).collect()
}

fn assert_spans(found: &Spans, expected: &Spans, what: &str) {
    let places = |spans: &Spans| -> Vec<(i64, i64, String)> {
        spans
            .iter()
            .map(|(start, end, label, _)| (*start, *end, label.clone()))
            .collect()
    };
    assert_eq!(places(found), places(expected), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found.3 - expected.3).abs() < CLOSE,
            "{what}: {found:?} {expected:?}"
        );
    }
}

#[tokio::test]
async fn spans_are_in_characters_of_the_text_with_any_aggregation() {
    let (_program, connection, _folder) = serve(&[
        ("bert", "classify_tokens", "bert-tokens"),
        (
            "words",
            "classify_tokens, aggregation: average",
            "bert-tokens",
        ),
    ])
    .await;
    let path = repository().join("tests/classifiers/bert-tokens/expected.json");
    let listing = std::fs::read(path).expect("the fixture");
    let listing: Value = serde_json::from_slice(&listing).expect("JSON");
    let rows = listing["rows"].as_array().expect("rows").iter();
    let rows: Vec<&Value> = rows.filter(|row| row.get("spans").is_some()).collect();
    let text = |row: &&Value| row["text"].as_str().expect("a text").to_owned();
    let all: Vec<String> = rows.iter().map(text).collect();
    let expected = |row: &Value, aggregation: &str| -> Spans {
        let spans = row["spans"][aggregation].as_array().expect("spans").iter();
        let span = |span: &Value| {
            let label = span[2].as_str().expect("a label").to_owned();
            let place = (span[0].as_i64(), span[1].as_i64());
            let score = span[3].as_f64().expect("a score") as f32;
            (
                place.0.expect("a start"),
                place.1.expect("an end"),
                label,
                score,
            )
        };
        spans.map(span).collect()
    };
    let infer = async |model: &str, aggregation: Option<&str>, texts_: &[String]| {
        let mut request = raw(model, &[("text", texts(texts_))]);
        if let Some(word) = aggregation {
            let word = ParameterChoice::StringParam(word.to_owned());
            request
                .parameters
                .insert("aggregation".to_owned(), parameter(word));
        }
        let answer = connection.inference().model_infer(request).await;
        answer.map(tonic::Response::into_inner)
    };
    for aggregation in ["none", "simple", "first", "average", "max"] {
        let answer = infer("bert", Some(aggregation), &all)
            .await
            .expect("an answer");
        for (number, row) in (0..).zip(&rows) {
            let what = format!("{aggregation}, {:?}", all[number as usize]);
            assert_spans(
                &spans_of(&answer, number),
                &expected(row, aggregation),
                &what,
            );
        }
    }
    for (model, aggregation) in [("bert", "simple"), ("words", "average")] {
        let answer = infer(model, None, &all).await.expect("an answer");
        let found = spans_of(&answer, 0);
        assert_spans(&found, &expected(rows[0], aggregation), model);
    }
    let refused = infer("bert", Some("mean"), &all)
        .await
        .expect_err("no such word");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let message = refused.message();
    assert!(
        message.contains("must be one of `none`, `simple`"),
        "{message}"
    );
}

#[tokio::test]
async fn a_text_longer_than_a_row_has_spans_to_its_end() {
    let (_program, connection, _folder) =
        serve(&[("bert", "classify_tokens", "bert-tokens")]).await;
    let infer = async |text: &str, limit: Option<i64>| {
        let mut request = raw("bert", &[("text", texts(&[text]))]);
        for (name, choice) in [
            (
                "aggregation",
                Some(ParameterChoice::StringParam("none".to_owned())),
            ),
            ("max_tokens", limit.map(ParameterChoice::Int64Param)),
        ] {
            let choice = choice.map(|choice| (name.to_owned(), parameter(choice)));
            request.parameters.extend(choice);
        }
        let answer = connection.inference().model_infer(request).await;
        spans_of(&answer.expect("an answer").into_inner(), 0)
    };
    // Each word is one token; the first rows see the same tokens as those of the shorter text.
    let long = "wing river letter ".repeat(50);
    let found = infer(&long, None).await;
    assert!(
        found.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        "{found:?}"
    );
    let last = found.last().expect("a span").1;
    assert!(last > long.len() as i64 - 30, "{last}");
    // The middle of the first row, whose tokens no other row has.
    let first_row = infer(&long[..6 * 38], None).await;
    let of =
        |spans: &Spans| -> Spans { spans.iter().filter(|span| span.1 < 60).cloned().collect() };
    assert_spans(&of(&found), &of(&first_row), "the first row");
    let short = "wing river letter wing river letter wing river letter";
    let small = infer(short, Some(6)).await;
    assert!(small.iter().all(|span| span.1 <= short.len() as i64));
    assert_ne!(small, infer(short, None).await, "rows of 4 tokens see less");
}

#[tokio::test]
async fn a_call_chooses_how_logits_become_scores() {
    let (_program, connection, _folder) = serve(&[
        ("nli", "classify", "electra-nli"),
        ("one", "rerank", "bert-reranker"),
    ])
    .await;
    let (single, _) = rows("electra-nli");
    let infer = async |activation: &str| {
        let all: Vec<&String> = single.iter().map(|row| &row.text).collect();
        let mut request = raw("nli", &[("text", texts(&all))]);
        let word = ParameterChoice::StringParam(activation.to_owned());
        request
            .parameters
            .insert("activation".to_owned(), parameter(word));
        let answer = connection.inference().model_infer(request).await;
        answer.expect("an answer").into_inner()
    };
    type Scores = fn(&[f32]) -> Vec<f32>;
    let kinds: [(&str, &str, Scores); 4] = [
        ("default", "softmax", softmax),
        ("softmax", "softmax", softmax),
        ("sigmoid", "sigmoid", sigmoid),
        ("raw", "raw", |logits| logits.to_vec()),
    ];
    for (word, kind, scores) in kinds {
        let answer = infer(word).await;
        assert_eq!(score_kind(&answer), kind);
        let found = floats(&answer, "score");
        let expected: Vec<f32> = single.iter().flat_map(|row| scores(&row.logits)).collect();
        let worst = max_difference(&found, &expected);
        assert!(worst < CLOSE, "{word}: {worst} off");
    }
    let inputs = [("query", Tensor::strings(["a"])), ("text", texts(&["b"]))];
    let mut request = raw("one", &inputs);
    let word = ParameterChoice::StringParam("softmax".to_owned());
    request
        .parameters
        .insert("activation".to_owned(), parameter(word));
    let refused = connection.inference().model_infer(request).await;
    let refused = refused.expect_err("a softmax over one label");
    let message = refused.message();
    assert!(
        message.contains("must be one of `default`, `raw` and `sigmoid`"),
        "{message}"
    );
}

#[tokio::test]
async fn sparse_vectors_come_with_their_rows_the_heaviest_first() {
    let folder = TempDir::new();
    let source = repository().join("tests/sparse/electra");
    let model = format!(
        "{{ task: embed_sparse, source: \"file:{}\" }}",
        source.display()
    );
    let file = folder.file("motet.yaml", format!("models: {{ splade: {model} }}\n"));
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    let listing = std::fs::read(source.join("expected.json")).expect("the fixture");
    let listing: Value = serde_json::from_slice(&listing).expect("JSON");
    let rows = listing["rows"].as_array().expect("rows");
    let all: Vec<&str> = rows
        .iter()
        .map(|row| row["text"].as_str().expect("a text"))
        .collect();
    let answer = connection
        .inference()
        .model_infer(raw("splade", &[("text", texts(&all))]))
        .await;
    let answer = answer.expect("an answer").into_inner();
    let ints = |name: &str| -> Vec<i32> {
        let tensor = output(&answer, name);
        tensor.values::<i32>().expect("integers").into_owned()
    };
    let (index, row, weight) = (ints("index"), ints("row"), floats(&answer, "weight"));
    assert!(row.is_sorted(), "{row:?}");
    let mut compared = 0;
    for (number, expected) in (0i32..).zip(rows) {
        let of_row = (0..row.len()).filter(|at| row[*at] == number);
        let found: Vec<(i32, f32)> = of_row.map(|at| (index[at], weight[at])).collect();
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "{found:?}");
        let indices = expected["index"].as_array().expect("indices").iter();
        let weights = expected["weight"].as_array().expect("weights").iter();
        for (index, weight) in indices.zip(weights) {
            let index = index.as_i64().expect("an index");
            let weight = weight.as_f64().expect("a weight") as f32;
            let found = found.iter().find(|(at, _)| i64::from(*at) == index);
            let found = found.map_or(0.0, |(_, weight)| *weight);
            assert!(
                (found - weight).abs() < CLOSE,
                "{number}, {index}: {found} {weight}"
            );
            compared += 1;
        }
    }
    assert!(compared > 100);

    let dense = format!("{{ task: embed, source: \"file:{}\" }}", source.display());
    let file = folder.file("dense.yaml", format!("models: {{ dense: {dense} }}\n"));
    let ended = motet(["check".as_ref(), file.as_os_str()]).run().await;
    assert_ne!(ended.code, Some(0));
    let expected = "which are those of the task `embed_sparse`";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[tokio::test]
async fn a_model_without_the_head_of_its_task_is_told_before_anything_starts() {
    let fixtures = repository().join("tests");
    let source = |path: &str| format!("source: \"file:{}\"", fixtures.join(path).display());
    let table = [
        (
            format!("task: classify, {}", source("fixtures/roberta")),
            "model.safetensors has no tensor classifier.dense.weight",
        ),
        (
            format!("task: classify, {}", source("classifiers/bert-tokens")),
            "architectures is `BertForTokenClassification`, whose head classifies tokens, not texts",
        ),
        (
            format!("task: rerank, {}", source("classifiers/bert-tokens")),
            "the weights hold a head (classifier.bias), which would not be computed",
        ),
        (
            format!("task: embed, {}", source("classifiers/roberta-relevance")),
            "the weights hold a head (classifier.dense.bias), which would not be computed",
        ),
        (
            format!(
                "task: rerank, {}",
                source("classifiers/mpnet-default-labels")
            ),
            "id2label has `LABEL_0`, `LABEL_1`; a score needs to know which of the two says that a \
             text is relevant: name it with `label:`",
        ),
        (
            format!("task: rerank, {}", source("classifiers/electra-nli")),
            "a score is made of one label or of two",
        ),
        (
            format!(
                "task: rerank, label: good, {}",
                source("classifiers/roberta-relevance")
            ),
            "the model has no label `good`; it has `irrelevant`, `relevant`",
        ),
        (
            format!("task: rerank, label: good, {}", source("fixtures/bert")),
            "`label` has no meaning for this model: it has no labels",
        ),
        (
            format!("task: embed, label: good, {}", source("fixtures/bert")),
            "`label` has no meaning for the task `embed`",
        ),
    ];
    let folder = TempDir::new();
    for (model, expected) in table {
        let file = folder.file("motet.yaml", format!("models: {{ m: {{ {model} }} }}\n"));
        let ended = motet(["check".as_ref(), file.as_os_str()]).run().await;
        assert_ne!(ended.code, Some(0), "{model}");
        let said = ended.stderr;
        assert!(said.contains(expected), "{model}: {said}");
    }
}

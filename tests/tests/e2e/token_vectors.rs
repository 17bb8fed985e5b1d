//! Models of token vectors (ColBERT) from folders, through the whole program, against
//! sentence-transformers.

use motet_proto::Tensor;
use motet_proto::inference::ModelInferResponse;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::parameter;
use motet_tests::connection::Connection;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, output, raw, texts};
use serde_json::Value;

use crate::motet;

/// Largest difference from the values of the library, up to 1 or in proportion to the largest.
const CLOSE: f32 = 2e-5;

/// The models in tests/token_vectors.
const FIXTURES: [&str; 5] = [
    "colbert",
    "native-mpnet",
    "native-xlm-roberta",
    "pylate-distilbert",
    "pylate-modernbert",
];

fn source(fixture: &str) -> String {
    let folder = repository().join("tests/token_vectors").join(fixture);
    folder.display().to_string()
}

/// Asks a model of token vectors, with a parameter that says which prompt is meant.
async fn ask(
    connection: &Connection,
    model: &str,
    prompt: Option<&str>,
    all: &[&str],
) -> ModelInferResponse {
    let mut request = raw(model, &[("text", texts(all))]);
    if let Some(prompt) = prompt {
        let prompt = ParameterChoice::StringParam(prompt.to_owned());
        let prompt = ("prompt_name".to_owned(), parameter(prompt));
        request.parameters.extend([prompt]);
    }
    let answer = connection.inference().model_infer(request).await;
    answer.expect("an answer").into_inner()
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected
        .iter()
        .fold(1.0, |most: f32, value| value.abs().max(most));
    let off = max_difference(found, expected);
    assert!(off < CLOSE * scale, "{what}: {off} off");
}

#[tokio::test]
async fn queries_and_documents_have_the_vectors_and_scores_of_the_library() {
    let folder = TempDir::new();
    let mut config = String::from("models:\n");
    for fixture in FIXTURES {
        let source = source(fixture);
        for (name, task) in [
            ("document", "embed_tokens"),
            ("query", "embed_tokens, prompt_name: query"),
            ("score", "rerank"),
        ] {
            config +=
                &format!("  {name}-{fixture}: {{ task: {task}, source: \"file:{source}\" }}\n");
        }
    }
    let file = folder.file("motet.yaml", config);
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    for fixture in FIXTURES {
        let path = repository().join("tests/token_vectors").join(fixture);
        let listing = std::fs::read(path.join("expected.json")).expect("the fixture");
        let listing: Value = serde_json::from_slice(&listing).expect("JSON");
        let bytes = std::fs::read(path.join("expected.f32")).expect("the fixture");
        let values = bytes.as_chunks::<4>().0.iter();
        let values: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
        let rows = listing["rows"].as_array().expect("rows");
        let text = |row: &Value| row["text"].as_str().expect("a text").to_owned();
        let kept = |row: &&Value| row["kept"].as_array().expect("places").len();
        let size = values.len() / rows.iter().map(|row| kept(&row)).sum::<usize>();
        let mut expected = values.as_slice();
        let mut all = Vec::new();
        for role in ["query", "document"] {
            let rows: Vec<&Value> = rows.iter().filter(|row| row["role"] == role).collect();
            let texts: Vec<String> = rows.iter().map(|row| text(row)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (of_role, others) = expected.split_at(rows.iter().map(kept).sum::<usize>() * size);
            expected = others;
            let numbers: Vec<i32> = (0i32..)
                .zip(&rows)
                .flat_map(|(number, row)| std::iter::repeat_n(number, kept(row)))
                .collect();
            let other = if role == "query" { "document" } else { "query" };
            for (model, prompt) in [(role, None), (other, Some(role))] {
                let model = format!("{model}-{fixture}");
                let answer = ask(&connection, &model, prompt, &texts).await;
                let what = format!("{model} {prompt:?}");
                let row = output(&answer, "row");
                assert_eq!(*row.values::<i32>().expect("numbers"), numbers, "{what}");
                assert_close(&floats(&answer, "embedding"), of_role, &what);
            }
            all.extend(rows);
        }
        assert!(expected.is_empty());
        let documents: Vec<String> = all
            .iter()
            .filter(|row| row["role"] == "document")
            .map(|row| text(row))
            .collect();
        for scores in listing["scores"].as_array().expect("scores") {
            let query = scores["query"].as_str().expect("a text");
            let inputs = [
                ("query", Tensor::strings([query])),
                ("text", texts(&documents)),
            ];
            let request = raw(&format!("score-{fixture}"), &inputs);
            let answer = connection.inference().model_infer(request).await;
            let answer = answer.expect("an answer").into_inner();
            let scores = scores["scores"].as_array().expect("numbers").iter();
            let expected: Vec<f32> = scores
                .map(|score| score.as_f64().expect("a number") as f32)
                .collect();
            assert_close(
                &floats(&answer, "score"),
                &expected,
                &format!("{fixture} {query:?}"),
            );
        }
    }
}

#[tokio::test]
async fn a_model_of_token_vectors_gives_no_embedding_of_a_text() {
    let folder = TempDir::new();
    for fixture in ["colbert", "native-mpnet"] {
        let model = format!("{{ task: embed, source: \"file:{}\" }}", source(fixture));
        let file = folder.file("motet.yaml", format!("models: {{ dense: {model} }}\n"));
        let ended = motet(["check".as_ref(), file.as_os_str()]).run().await;
        assert_ne!(ended.code, Some(0));
        let expected = "those of the tasks `embed_tokens` and `rerank`";
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

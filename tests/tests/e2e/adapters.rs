//! Adapters of models, through the whole program: those of PEFT and those in a model's weights.

use motet_tests::connection::Connection;
use motet_tests::repository;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, max_difference, raw, texts};

use crate::motet;

/// Largest difference from the values of the libraries: vectors are of length 1, or of values of
/// about 1.
const CLOSE: f32 = 3e-5;

/// The texts of an adapter, and the mean of each one's token vectors as the libraries have them.
fn expected(adapter: &str) -> (Vec<String>, Vec<Vec<f32>>) {
    let folder = repository().join("tests/adapters").join(adapter);
    let read = |file: &str| std::fs::read(folder.join(file)).expect("a file of the adapter");
    let listing: serde_json::Value = serde_json::from_slice(&read("expected.json")).expect("JSON");
    let bytes = read("expected.f32");
    let values = bytes.as_chunks::<4>().0.iter();
    let values: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
    let rows = listing["rows"].as_array().expect("rows");
    let count = |row: &serde_json::Value| row["ids"].as_array().expect("ids").len();
    let size = values.len() / rows.iter().map(count).sum::<usize>();
    let mut rest = values.as_slice();
    let mut mean = |row| {
        let (tokens, after) = rest.split_at(count(row) * size);
        rest = after;
        let sum = |at: usize| tokens.chunks(size).map(|token| token[at]).sum::<f32>();
        (0..size).map(|at| sum(at) / count(row) as f32).collect()
    };
    let means = rows.iter().map(&mut mean).collect();
    let text = |row: &serde_json::Value| row["text"].as_str().expect("a text").to_owned();
    (rows.iter().map(text).collect(), means)
}

fn fixture(name: &str) -> String {
    let path = repository().join("tests/fixtures").join(name);
    format!("\"file:{}\"", path.display())
}

fn adapter(name: &str) -> String {
    let path = repository().join("tests/adapters").join(name);
    format!("\"file:{}\"", path.display())
}

#[tokio::test]
async fn models_answer_with_the_changes_of_their_adapters() {
    let folder = TempDir::new();
    // Of several models with one source, each has the adapter that it names.
    let models = [
        (
            "jina-retrieval-query",
            fixture("xlm-roberta-flash"),
            "retrieval.query".to_owned(),
        ),
        (
            "jina-separation",
            fixture("xlm-roberta-flash"),
            "separation".to_owned(),
        ),
        ("bert-patterns", fixture("bert"), adapter("bert-patterns")),
        ("qwen3", fixture("qwen3"), adapter("qwen3")),
    ];
    let mut config = String::from("models:\n");
    for (name, source, adapter) in &models {
        config += &format!(
            "  {name}: {{ task: embed, source: {source}, adapter: {adapter}, pooling: mean, \
             normalize: false }}\n"
        );
    }
    let file = folder.file("motet.yaml", config);
    let mut program = motet(["up".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = Connection::open(program.ready().await.grpc).await;
    for (name, _, _) in &models {
        let (all, means) = expected(name);
        let answer = connection
            .inference()
            .model_infer(raw(name, &[("text", texts(&all))]))
            .await;
        let found = floats(&answer.expect("an answer").into_inner(), "embedding");
        let size = means[0].len();
        assert_eq!(found.len(), all.len() * size, "{name}");
        for (found, (expected, text)) in found.chunks(size).zip(means.iter().zip(&all)) {
            let worst = max_difference(found, expected);
            assert!(worst <= CLOSE, "{name}: {text:?} is {worst} off");
        }
    }
}

#[tokio::test]
async fn a_mistake_of_an_adapter_is_found_before_anything_starts() {
    let folder = TempDir::new();
    let (jina, bert) = (fixture("xlm-roberta-flash"), fixture("bert"));
    for (model, expected) in [
        (
            format!("{{ task: embed, source: {jina}, adapter: retrieval }}"),
            &["comes with no adapter `retrieval`", "retrieval.query"][..],
        ),
        (
            format!("{{ task: embed, source: {bert}, adapter: \"file:absent\" }}"),
            &["adapter", "absent does not exist"],
        ),
        (
            format!("{{ task: embed, source: {bert}, adapter: \"builtin:all-minilm-l6-v2\" }}"),
            &["no adapter is built in"],
        ),
        (
            format!(
                "{{ task: embed, source: {bert}, adapter: {} }}",
                adapter("qwen3")
            ),
            &["tests/adapters/qwen3", "which the model does not have"],
        ),
        (
            "{ task: preprocess, adapter: x }".to_owned(),
            &["`adapter`"],
        ),
    ] {
        let file = folder.file("motet.yaml", format!("models:\n  m: {model}\n"));
        let ended = motet(["check".as_ref(), file.as_os_str()]).run().await;
        assert_ne!(ended.code, Some(0), "{model}\n{}", ended.stderr);
        for part in expected {
            assert!(ended.stderr.contains(part), "{model}\n{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn models_tell_of_adapters_that_are_not_here_and_of_those_that_are_not_used() {
    let folder = TempDir::new();
    let (jina, bert) = (fixture("xlm-roberta-flash"), fixture("bert"));
    let config = format!(
        "models:\n  plain: {{ task: embed, source: {jina} }}\n  query: {{ task: embed, source: \
         {jina}, adapter: retrieval.query }}\n  absent: {{ task: embed, source: {bert}, adapter: \
         \"hf:motet-tests/absent\" }}\n"
    );
    let file = folder.file("motet.yaml", config);
    let run = async |command: &str| {
        let ended = motet([command.as_ref(), file.as_os_str()]).run().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout + &ended.stderr
    };
    let report = run("check").await;
    assert!(
        report.contains("hf:motet-tests/absent is not on this machine"),
        "{report}"
    );
    let report = run("models").await;
    let unused = "the adapters retrieval.query, retrieval.passage, separation, and none is used";
    assert_eq!(report.matches(unused).count(), 1, "{report}");
}

//! The example's configuration, served and called, and its labels and scores against those of the
//! package with onnxruntime. `weights.py` makes the weights and what is expected.

use std::path::{Path, PathBuf};
use std::process::Command;

use motet::{Server, Tasks, Tensor};
use motet_example_magika::ClassifyBytes;
use serde::Deserialize;
use serde_json::{Value, json};

/// Largest difference of a score from that of the network in 64 bits.
const CLOSE: f32 = 1e-4;
/// Largest difference from that of the package, which is this far from the network in 64 bits for
/// inputs of few different bytes.
const CLOSE_TO_PACKAGE: f32 = 0.03;
/// Files of a call.
const CALL: usize = 50;

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    bytes: usize,
    label: String,
    score: f32,
    exact: f32,
}

/// Returns the folder that `weights.py` writes, unless it has not.
fn weights() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/examples/magika");
    if folder.join("expected.json").exists() {
        return Some(folder);
    }
    println!(
        "skipped: no weights: weights.py makes them in {}",
        folder.display()
    );
    None
}

async fn serve() -> Server {
    let tasks = Tasks::builtin()
        .with::<ClassifyBytes>()
        .expect("a name of its own");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("motet.yaml");
    let server = Server::with_tasks(tasks).from_file(file).await;
    let server = server.expect("a configuration without mistakes");
    server.ready().await.expect("models");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn files_get_the_labels_and_scores_of_the_package() {
    let Some(folder) = weights() else { return };
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let Expected { rows } = serde_json::from_slice(&expected).unwrap();
    let inputs = std::fs::read(folder.join("inputs.bin")).unwrap();
    let mut rest = &inputs[..];
    let server = serve().await;
    let client = server.client();
    for rows in rows.chunks(CALL) {
        let contents = rows.iter().map(|row| {
            let (content, others) = rest.split_at(row.bytes);
            rest = others;
            content
        });
        let contents = Tensor::byte_strings(contents);
        let answer = client.infer("magika", [("content", &contents)]).await;
        let answer = answer.unwrap();
        let labels = answer["label"].as_strings().unwrap();
        let scores = answer["score"].values::<f32>().unwrap();
        for ((row, label), score) in rows.iter().zip(labels.texts()).zip(&*scores) {
            let what = format!("{} bytes: {label} {score}", row.bytes);
            assert_eq!(label, row.label, "{what}, not {}", row.score);
            assert!(
                (score - row.exact).abs() < CLOSE,
                "{what}, not {}",
                row.exact
            );
            let far = (score - row.score).abs();
            assert!(far < CLOSE_TO_PACKAGE, "{what}, not {}", row.score);
        }
    }
    assert!(rest.is_empty());
    server.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_split_and_embedded_and_another_file_named() {
    if weights().is_none() {
        return;
    }
    let server = serve().await;
    let ask = async |content: &[u8]| -> Value {
        let content = Tensor::byte_strings([content]).reshape(Vec::new()).unwrap();
        let answer = server
            .client()
            .infer("ingest", [("content", &content)])
            .await
            .unwrap();
        let texts = |name: &str| -> Vec<String> {
            let texts = answer[name].as_strings().unwrap();
            texts.texts().map(str::to_owned).collect()
        };
        let vectors = answer["passages.embedding"].shape().to_vec();
        json!([
            texts("label"),
            texts("note"),
            texts("passages.text").len(),
            vectors
        ])
    };
    let text = include_bytes!("../README.md");
    let found = ask(text).await;
    assert_eq!(found[0], json!(["markdown"]));
    assert_eq!(found[1], json!([""]));
    assert!(found[2].as_u64() > Some(1), "{found}");
    assert_eq!(found[3], json!([found[2], 384]));
    let program = std::fs::read(env!("CARGO_BIN_EXE_magika")).unwrap();
    let program = &program[..1 << 20];
    let note = "nothing is read from a file of the kind elf (application/x-executable-elf)";
    assert_eq!(ask(program).await, json!([["elf"], [note], 0, [0, 384]]));
    assert_eq!(ask(b"").await[0], json!(["empty"]));
    server.drain().await;
}

#[test]
fn the_program_checks_its_configuration() {
    if weights().is_none() {
        return;
    }
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_magika"));
        program.current_dir(env!("CARGO_MANIFEST_DIR")).arg("check");
        program
    };
    let checked = program().arg("motet.yaml").output().unwrap();
    let report = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{report}");
}

//! Bulk calls beside interactive ones, on models that share the cores.

use motet_proto::oip::parameter;
use motet_tests::connection::Connection;
use motet_tests::load::words;
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{floats, raw, texts};
use tokio::task::JoinSet;

use crate::motet;

/// Two models with weights of their own in memory, so that each has executors.
const CONFIG: &str = r#"
models:
  one: { task: embed, source: "builtin:all-minilm-l6-v2" }
  two: { task: embed, source: "builtin:all-minilm-l6-v2", dtype: int8 }
"#;
const MODELS: [&str; 2] = ["one", "two"];
/// The largest priority of interactive calls, and one of bulk calls.
const INTERACTIVE: u64 = 1;
const BULK: u64 = 2;

/// Returns the vectors of texts.
async fn embed(connection: Connection, model: &str, all: Vec<String>, priority: u64) -> Vec<f32> {
    let mut request = raw(model, &[("text", texts(&all))]);
    let priority = ("priority".to_owned(), parameter(priority));
    request.parameters.extend([priority]);
    let answer = connection.inference().model_infer(request).await;
    floats(&answer.expect("an answer").into_inner(), "embedding")
}

#[tokio::test]
async fn calls_of_both_priorities_are_answered_with_the_same_bits_as_alone() {
    let folder = TempDir::new();
    let file = folder.file("motet.yaml", CONFIG);
    let mut process = motet(["up".as_ref(), "-f".as_ref(), file.as_os_str()])
        .on_free_ports()
        .start();
    let connection = process.connect().await;
    // Rows of all lengths: some are computed by all threads together, some by each for itself.
    let of_bulk =
        |call: usize| (0..30).map(move |row| words(1 + (row * 37 + call * 11) % 160, row));
    let of_person = |call: usize| vec![words(1 + call * 13 % 120, call)];
    let mut expected = Vec::new();
    for model in MODELS {
        for call in 0..3 {
            let alone = embed(connection.clone(), model, of_bulk(call).collect(), 0);
            expected.push(((model, call, BULK), alone.await));
        }
        for call in 0..20 {
            let alone = embed(connection.clone(), model, of_person(call), 0);
            expected.push(((model, call, INTERACTIVE), alone.await));
        }
    }
    let mut calls = JoinSet::new();
    for ((model, call, priority), alone) in expected {
        let connection = connection.clone();
        calls.spawn(async move {
            let all = match priority {
                BULK => of_bulk(call).collect(),
                _ => of_person(call),
            };
            let found = embed(connection, model, all, priority).await;
            assert_eq!(found, alone, "call {call} of {model}, priority {priority}");
        });
    }
    calls.join_all().await;
    process.signal("TERM");
    assert_eq!(process.end().await.code, Some(0));
}

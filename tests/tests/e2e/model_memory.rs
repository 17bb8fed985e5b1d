//! Memory of models: refused before they are read, and given back.

use std::collections::BTreeMap;
use std::path::Path;

use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::program::Process;
use serde_json::Value;
use tonic::Code;

use crate::model_life::{Models, ONE, embed, load, unload};
use crate::motet;

/// Rows of a table of words, as many as a model may have: some 34 GB.
const HUGE: u64 = 1 << 28;

/// Makes the table of words of a model so large; the file has no more bytes on disk than before.
fn enlarge(folder: &Path) {
    let weights = folder.join("model.safetensors");
    let bytes = std::fs::read(&weights).expect("weights");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let header: BTreeMap<String, Value> =
        serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    let (mut end, mut changed) = (0, BTreeMap::new());
    for (name, mut tensor) in header {
        if name == "__metadata__" {
            continue;
        }
        if name.ends_with("word_embeddings.weight") {
            tensor["shape"][0] = HUGE.into();
        }
        let shape = tensor["shape"].as_array().expect("a shape").iter();
        let values: u64 = shape.map(|n| n.as_u64().expect("a length")).product();
        tensor["data_offsets"] = vec![end, end + 4 * values].into();
        end += 4 * values;
        changed.insert(name, tensor);
    }
    let header = serde_json::to_vec(&changed).expect("JSON");
    let mut start = (header.len() as u64).to_le_bytes().to_vec();
    start.extend(&header);
    std::fs::write(&weights, &start).expect("written");
    let file = std::fs::File::options()
        .write(true)
        .open(&weights)
        .expect("opened");
    file.set_len(start.len() as u64 + end)
        .expect("a sparse file");
    let config = folder.join("config.json");
    let text = std::fs::read(&config).expect("a configuration");
    let mut value: Value = serde_json::from_slice(&text).expect("JSON");
    value["vocab_size"] = HUGE.into();
    std::fs::write(config, value.to_string()).expect("written");
}

fn start(models: &Models, more: &[&str]) -> Process {
    let file = models.file.to_str().expect("UTF-8");
    motet(["serve", "-f", file])
        .args(more)
        .on_free_ports()
        .start()
}

#[tokio::test]
async fn a_model_that_would_not_fit_is_refused_before_it_is_read() {
    let models = Models::new(ONE);
    enlarge(&models.folder.path().join("distilbert"));
    let mut process = start(&models, &["--memory", "8GiB"]);
    let connection = process.connect().await;
    let before = embed(&connection, "m").await.expect("an answer");
    let huge = "models: { huge: { task: embed, source: \"file:distilbert\" } }";
    let error = load(&connection, "huge", Some(huge)).await;
    let error = error.expect_err("it would not fit");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    assert_eq!(status::read(&error).reason, "NOT_ENOUGH_MEMORY");
    for part in [
        "huge: it needs about",
        "of memory, and",
        "are free",
        "int8",
        "--memory",
    ] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    assert_eq!(embed(&connection, "m").await.expect("it goes on"), before);
}

#[tokio::test]
async fn a_process_takes_no_more_memory_than_it_may() {
    let models = Models::new(ONE);
    let ended = start(&models, &["--memory", "1MiB"]).end().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for part in ["m: it needs about", "0 bytes are free", "`--memory off`"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    start(&models, &["--memory", "off"]).ready().await;
    let ended = motet(["serve", "--memory", "much"]).run().await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("such as 8GiB, or `off`"),
        "{}",
        ended.stderr
    );
}

/// Loads and unloads a model so many times, with a call each time.
async fn cycle(connection: &Connection, times: usize) {
    let model = "models: { x: { task: embed, source: \"file:bert\", pooling: cls, batcher: { \
                 max_batch_tokens: 64 } } }";
    for _ in 0..times {
        load(connection, "x", Some(model))
            .await
            .expect("it is loaded");
        embed(connection, "x").await.expect("an answer");
        unload(connection, "x").await.expect("it is unloaded");
    }
}

#[tokio::test]
async fn memory_comes_back() {
    let models = Models::new(ONE);
    let mut process = start(&models, &[]);
    let connection = process.connect().await;
    cycle(&connection, 40).await;
    let Some(before) = process.memory_bytes() else {
        println!("skipped: the system does not tell the memory of a process");
        return;
    };
    cycle(&connection, 80).await;
    let after = process.memory_bytes().expect("as before");
    // A cycle that kept a thread, a tokenizer or weights would be seen after so many.
    assert!(after < before + (6 << 20), "{before} to {after} bytes");
}

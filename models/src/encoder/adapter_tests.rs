//! Adapters against PEFT, and those in a model's weights against their definition
//! (tests/expected/adapters.py made them and the values), on both engines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::family_tests::{CLOSE, largest_difference, on_threads};
use super::*;
use crate::adapter::AdapterSource;
use crate::device::DeviceSpec;
use crate::tokenizer::{TokenIds, Tokenizer};

/// The adapters in tests/adapters.
const ADAPTERS: [&str; 7] = [
    "bert",
    "bert-patterns",
    "jina-retrieval-passage",
    "jina-retrieval-query",
    "jina-separation",
    "modernbert",
    "qwen3",
];

#[derive(serde::Deserialize)]
struct Listing {
    model: String,
    adapter: Option<String>,
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
}

fn folder(kind: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    tests.join(kind)
}

fn model(name: &str) -> ModelFiles {
    ModelFiles::open(&Source::File(folder("fixtures").join(name))).unwrap()
}

#[test]
fn every_adapter_is_read() {
    let entries = std::fs::read_dir(folder("adapters")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ADAPTERS);
}

#[test]
fn both_engines_compute_what_adapters_make_of_a_model() {
    for name in ADAPTERS {
        let folder = folder("adapters").join(name);
        let listing = std::fs::read(folder.join("expected.json")).unwrap();
        let listing: Listing = serde_json::from_slice(&listing).unwrap();
        let bytes = std::fs::read(folder.join("expected.f32")).unwrap();
        let values = bytes.as_chunks::<4>().0.iter();
        let mut values = values.map(|value| f32::from_le_bytes(*value));
        let source = match &listing.adapter {
            Some(adapter) => AdapterSource::Named(adapter.clone()),
            None => AdapterSource::Folder(Source::File(folder)),
        };
        let plain = model(&listing.model);
        let files = plain.clone().with_adapter(&source).unwrap();
        let architecture = &files.config().architecture;
        let load = |files: &ModelFiles| {
            let checkpoint = Checkpoint::open(files).unwrap();
            CpuEncoder::load(&checkpoint, architecture, Precision::F32).unwrap()
        };
        let (cpu, without) = (load(&files), load(&plain));
        let checkpoint = Checkpoint::open(&files).unwrap();
        let (device, dtype) = (DeviceSpec::Cpu.open().unwrap(), Precision::F32.dtype());
        let device = DeviceEncoder::load(&checkpoint, architecture, &device, dtype).unwrap();
        let tokenizer = Tokenizer::load(&files).unwrap();
        let ids: Vec<TokenIds> = listing
            .rows
            .iter()
            .map(|row| tokenizer.encode(&row.text).unwrap())
            .collect();
        let head = LoadedHead::load(&files, &Head::tokens()).unwrap();
        let inputs: Vec<_> = ids.iter().map(RowInput::from).collect();
        let of_cpu = on_threads(&cpu, &inputs, &head, 2);
        let of_device = device.encode(&inputs, &head).unwrap();
        let of_plain = on_threads(&without, &inputs, &head, 2);
        for (at, row) in listing.rows.iter().enumerate() {
            assert_eq!(ids[at].as_slice(), row.ids, "{name}: {:?}", row.text);
            let count = row.ids.len() * files.config().hidden_size();
            let expected: Vec<f32> = values.by_ref().take(count).collect();
            let far = |found: &Values| largest_difference(found.as_slice(), &expected);
            // Rounding grows with the changes, which are as large as the weights.
            let close = 3.0 * CLOSE;
            for (engine, found) in [("cpu", &of_cpu), ("device", &of_device)] {
                let far = far(&found[at]);
                assert!(far < close, "{name}, {engine}, {:?}: {far}", row.text);
            }
            assert!(far(&of_plain[at]) > 0.1, "{name}: without the adapter");
        }
        assert!(values.next().is_none(), "{name}: more values than rows");
    }
}

#[test]
fn models_with_other_adapters_have_weights_of_their_own() {
    let cache = EncoderCache::default();
    let named = |name: &str| AdapterSource::Named(name.to_owned());
    let load = |adapter: Option<&str>| {
        let files = model("xlm-roberta-flash");
        let files = match adapter {
            Some(adapter) => files.with_adapter(&named(adapter)).unwrap(),
            None => files,
        };
        let (engine, device) = (EngineSpec::Auto, Device::Cpu);
        cache.get(engine, &files, &device, Precision::F32).unwrap()
    };
    let [plain, query, passage] =
        [None, Some("retrieval.query"), Some("retrieval.passage")].map(load);
    assert!(Arc::ptr_eq(&query, &load(Some("retrieval.query"))));
    assert!(!Arc::ptr_eq(&query, &passage) && !Arc::ptr_eq(&query, &plain));
}

#[test]
fn an_adapter_is_no_model() {
    let found = ModelFiles::open(&Source::File(folder("adapters").join("bert")));
    let error = found.unwrap_err().to_string();
    assert!(
        error.contains("adapters/bert is an adapter, not a model"),
        "{error}"
    );
}

#[test]
fn a_mistake_names_the_adapter_and_what_there_is() {
    let adapter = |name: &str| AdapterSource::Folder(Source::File(folder("adapters").join(name)));
    let named = |name: &str| AdapterSource::Named(name.to_owned());
    for (of, source, expected) in [
        (
            "xlm-roberta-flash",
            named("retrieval"),
            &[
                "no adapter `retrieval`",
                "retrieval.query, retrieval.passage, separation",
            ][..],
        ),
        (
            "bert",
            named("../adapters/bert"),
            &["no adapter", "it has none"],
        ),
        ("bert", adapter("none"), &["none does not exist"]),
        (
            "bert",
            AdapterSource::Folder(Source::File(folder("fixtures/bert"))),
            &["adapter_config.json is missing"],
        ),
        // Names of another family, and shapes of another size.
        (
            "bert",
            adapter("qwen3"),
            &["qwen3", "it changes", "does not have", "nearest"],
        ),
        (
            "xlm-roberta",
            adapter("bert"),
            &["adapter_model.safetensors", "shapes"],
        ),
    ] {
        let found = model(of)
            .with_adapter(&source)
            .and_then(|files| Checkpoint::open(&files));
        let error = found.unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{of}, {source:?}: {error}");
        }
    }
}

//! Sparse vectors against sentence-transformers (tests/expected/sparse.py made the models and the
//! values), on both engines.

use std::collections::BTreeMap;
use std::path::Path;

use super::family_tests::on_threads;
use super::*;
use crate::device::DeviceSpec;
use crate::tokenizer::{TokenIds, Tokenizer};

/// Largest difference from the values of the library, up to 1 or in proportion.
const CLOSE: f32 = 1e-5;

/// The models in tests/sparse.
const FIXTURES: [&str; 13] = [
    "bert",
    "deberta",
    "deberta-newer",
    "distilbert-sum",
    "electra",
    "eurobert",
    "gte",
    "modernbert",
    "modernbert-biased",
    "mpnet",
    "new",
    "nomic-bert",
    "xlm-roberta-log",
];

#[derive(serde::Deserialize)]
struct Row {
    text: String,
    index: Vec<u32>,
    weight: Vec<f32>,
}

#[test]
fn both_engines_give_the_sparse_vectors_of_the_library() {
    #[derive(serde::Deserialize)]
    struct Listing {
        rows: Vec<Row>,
    }
    for name in FIXTURES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/sparse")
            .join(name);
        let listing = std::fs::read(folder.join("expected.json")).unwrap();
        let Listing { rows } = serde_json::from_slice(&listing).unwrap();
        let files = ModelFiles::open(&Source::File(folder)).unwrap();
        let head = files.sparse_head().unwrap();
        assert_eq!(head.size(files.config().hidden_size()), 2);
        let head = LoadedHead::load(&files, &head).unwrap();
        let architecture = &files.config().architecture;
        let checkpoint = Checkpoint::open(&files).unwrap();
        let cpu = CpuEncoder::load(&checkpoint, architecture, Precision::F32).unwrap();
        let (device, dtype) = (DeviceSpec::Cpu.open().unwrap(), Precision::F32.dtype());
        let device = DeviceEncoder::load(&checkpoint, architecture, &device, dtype).unwrap();
        let tokenizer = Tokenizer::load(&files).unwrap();
        let ids: Vec<TokenIds> = rows
            .iter()
            .map(|row| tokenizer.encode(&row.text).unwrap())
            .collect();
        let inputs: Vec<_> = ids.iter().map(RowInput::from).collect();
        let of_cpu = on_threads(&cpu, &inputs, &head, 2);
        let of_device = device.encode(&inputs, &head).unwrap();
        for (input, together) in inputs.iter().zip(&of_cpu) {
            let alone = on_threads(&cpu, &[*input], &head, 3).remove(0);
            assert_eq!(&alone, together, "{name}");
        }
        for (engine, found) in [("cpu", of_cpu), ("device", of_device)] {
            for (found, row) in found.iter().zip(&rows) {
                let what = format!("{name}, {engine}, {:?}", row.text);
                let weights: Vec<f32> = found.iter().map(|value| value[1]).collect();
                assert!(weights.is_sorted_by(|a, b| a >= b), "{what}: {weights:?}");
                let found: BTreeMap<u32, f32> = found
                    .iter()
                    .map(|value| (value[0] as u32, value[1]))
                    .collect();
                let expected: BTreeMap<u32, f32> = row
                    .index
                    .iter()
                    .copied()
                    .zip(row.weight.iter().copied())
                    .collect();
                // A value next to 0 may be there or not.
                for index in found.keys().chain(expected.keys()) {
                    let of = |values: &BTreeMap<u32, f32>| values.get(index).copied();
                    let expected = of(&expected).unwrap_or(0.0);
                    let far = of(&found).unwrap_or(0.0) - expected;
                    // A sum over tokens is as far off as they are together.
                    let close = CLOSE * expected.max(1.0);
                    assert!(far.abs() < close, "{what}: {index} is {far} off");
                }
            }
        }
    }
}

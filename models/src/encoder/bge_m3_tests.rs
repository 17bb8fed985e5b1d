//! The heads of BGE-M3 against their formulas (tests/expected/bge_m3.py made the models and the
//! values), on both engines, all three of one pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::family_tests::largest_difference;
use super::*;
use crate::device::DeviceSpec;
use crate::tokenizer::{TokenIds, Tokenizer};

/// The models in tests/bge_m3, and the sizes of their vectors: of texts, of tokens.
const FIXTURES: [(&str, [usize; 2]); 2] = [("published", [16, 16]), ("safetensors", [24, 10])];

/// Largest difference from the values of the formulas, which are as large as 5.
const CLOSE: f32 = 1e-5;

#[derive(serde::Deserialize)]
struct Listing {
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
    index: Vec<u32>,
    weight: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/bge_m3")
        .join(name)
}

/// Returns the dense, the sparse and the token head.
fn heads(files: &ModelFiles) -> [LoadedHead; 3] {
    let dense = files.config().head.clone();
    let all = [
        dense,
        files.sparse_head().unwrap(),
        files.token_head().unwrap(),
    ];
    all.map(|head| LoadedHead::load(files, &head).unwrap())
}

fn on_threads(cpu: &CpuEncoder, rows: &[HeadedRow<'_>], threads: usize) -> Vec<Vec<Values>> {
    std::thread::scope(|scope| {
        let encode = || {
            let team = ThreadTeam::for_current_thread(threads).unwrap();
            team.run(|| cpu.run(rows, None))
        };
        scope.spawn(encode).join().unwrap()
    })
}

#[test]
fn both_engines_give_the_three_outputs_of_one_pass() {
    for (name, [dense, tokens]) in FIXTURES {
        let listing = std::fs::read(folder(name).join("expected.json")).unwrap();
        let Listing { rows } = serde_json::from_slice(&listing).unwrap();
        let bytes = std::fs::read(folder(name).join("expected.f32")).unwrap();
        let values = bytes.as_chunks::<4>().0.iter();
        let values: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
        let files = ModelFiles::open(&Source::File(folder(name))).unwrap();
        let tokenizer = Tokenizer::load(&files).unwrap();
        let ids = rows.iter().map(|row| {
            let ids = tokenizer.encode(&row.text).unwrap();
            assert_eq!(ids.as_slice(), row.ids, "{name}, {:?}", row.text);
            ids
        });
        let ids: Vec<TokenIds> = ids.collect();
        let inputs: Vec<_> = ids.iter().map(RowInput::from).collect();
        let heads = heads(&files);
        let heads: Vec<&LoadedHead> = heads.iter().collect();
        let rows_of = HeadedRow::all(&inputs, &heads);
        let architecture = &files.config().architecture;
        let checkpoint = Checkpoint::open(&files).unwrap();
        let cpu = CpuEncoder::load(&checkpoint, architecture, Precision::F32).unwrap();
        let (device, dtype) = (DeviceSpec::Cpu.open().unwrap(), Precision::F32.dtype());
        let device = DeviceEncoder::load(&checkpoint, architecture, &device, dtype).unwrap();
        let of_cpu = on_threads(&cpu, &rows_of, 2);
        for (row, together) in rows_of.iter().zip(&of_cpu) {
            let alone = on_threads(&cpu, &[*row], 3).remove(0);
            assert_eq!(&alone, together, "{name}");
        }
        for (engine, found) in [("cpu", of_cpu), ("device", device.run(&rows_of).unwrap())] {
            let mut rest = values.as_slice();
            let mut next = |count: usize| {
                let (these, others) = rest.split_at(count);
                rest = others;
                these
            };
            for (found, row) in found.iter().zip(&rows) {
                let what = format!("{name}, {engine}, {:?}", row.text);
                let far = largest_difference(found[0].as_slice(), next(dense));
                assert!(far < CLOSE, "{what}, dense: {far}");
                let count = row.ids.len() - 1;
                assert_eq!(
                    (found[2].rows(), found[2].columns()),
                    (count, tokens),
                    "{what}"
                );
                let far = largest_difference(found[2].as_slice(), next(count * tokens));
                assert!(far < CLOSE, "{what}, tokens: {far}");
                assert_sparse(&found[1], row, &what);
            }
            assert!(next(0).is_empty() && rest.is_empty(), "{name}");
        }
    }
}

fn assert_sparse(found: &Values, row: &Row, what: &str) {
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
        let of = |values: &BTreeMap<u32, f32>| values.get(index).copied().unwrap_or(0.0);
        let far = (of(&found) - of(&expected)).abs();
        assert!(far < CLOSE, "{what}, sparse: {index} is {far} off");
    }
}

//! Models with real weights, of Python packages, against onnxruntime and an engine of a package.
//! `tests/expected/packages.py` makes the folders; `MOTET_REAL_MODELS` says where they are.

use std::path::{Path, PathBuf};

use motet_models::{
    DeviceSpec, EngineSpec, Head, Level, LoadedHead, ModelFiles, Pooling, Precision, RowInput,
    Source, TextEncoder, ThreadTeam, Tokenizer,
};
use serde::Deserialize;

/// Largest difference from onnxruntime's values, as a part of the greatest of them.
const CLOSE: f32 = 1e-5;
/// Least cosine of a row in bytes to the same row in f32.
const COSINE_OF_BYTES: f32 = 0.99;

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
}

/// Returns the folder of a model, unless there is none.
fn folder(name: &str) -> Option<PathBuf> {
    match std::env::var_os("MOTET_REAL_MODELS") {
        Some(folder) => Some(Path::new(&folder).join(name)),
        None => {
            println!("skipped: {name}: MOTET_REAL_MODELS names no folder");
            None
        }
    }
}

/// Form of the expected values, and the arithmetic that made them.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    /// A vector for each row, in f32.
    Rows,
    /// The logits of each token, in f32.
    Tokens,
    /// A vector for each row, computed in bytes.
    RowsOfBytes,
}

/// Checks the tokens of a model's texts, and on both engines and in bytes what a head makes of
/// them.
fn check(folder: &Path, head: impl Fn(&ModelFiles) -> Head, given: Given) {
    let files = ModelFiles::open(&Source::File(folder.into())).unwrap();
    let expected = std::fs::read(folder.join("expected.json")).unwrap();
    let Expected { rows } = serde_json::from_slice(&expected).unwrap();
    let bytes = std::fs::read(folder.join("expected.f32")).unwrap();
    let values = bytes.as_chunks::<4>().0.iter();
    let values: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
    let greatest = values
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));

    let tokenizer = Tokenizer::load(&files).unwrap();
    for row in &rows {
        let found = tokenizer.encode(&row.text).unwrap();
        assert_eq!(found.as_slice(), row.ids, "{:?}", row.text);
    }
    let head = LoadedHead::load(&files, &head(&files)).unwrap();
    let inputs: Vec<_> = rows.iter().map(|row| RowInput::new(&row.ids)).collect();
    let team = ThreadTeam::for_current_thread(2).unwrap();
    let device = DeviceSpec::Cpu.open().unwrap();
    for (engine, precision) in [
        (EngineSpec::Packed, Precision::F32),
        (EngineSpec::Candle, Precision::F32),
        (EngineSpec::Packed, Precision::Int8),
    ] {
        let encoder = TextEncoder::load_for(engine, &files, &device, precision).unwrap();
        let found = encoder.encode(&inputs, &head, &team).unwrap();
        let mut rest = &values[..];
        for (row, found) in rows.iter().zip(found) {
            let found = found.unwrap();
            let of_tokens = given == Given::Tokens;
            let count = if of_tokens { row.ids.len() } else { 1 };
            assert_eq!(found.rows(), count);
            let (expected, others) = rest.split_at(found.as_slice().len());
            rest = others;
            let what = format!("{engine} {precision} {:?}", row.text);
            if precision == Precision::Int8 || given == Given::RowsOfBytes {
                for (found, expected) in found.iter().zip(expected.chunks(found.columns())) {
                    let cosine = cosine(found, expected);
                    assert!(cosine > COSINE_OF_BYTES, "{what}: {cosine}");
                }
                continue;
            }
            let differences = found
                .as_slice()
                .iter()
                .zip(expected)
                .map(|(a, b)| (a - b).abs());
            let far = differences.fold(0.0, f32::max) / greatest;
            assert!(far < CLOSE, "{what}: {far}");
        }
        assert!(rest.is_empty(), "more values than rows");
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn an_embedder_of_three_layers_says_what_onnxruntime_says() {
    if let Some(folder) = folder("paraphrase-minilm-l3") {
        check(&folder, |_| Head::pooled(Pooling::Mean), Given::Rows);
    }
}

#[test]
fn a_tagger_of_grammar_says_what_onnxruntime_says() {
    if let Some(folder) = folder("grammar-tagger") {
        check(
            &folder,
            |files| files.classifier(Level::Token).unwrap().head,
            Given::Tokens,
        );
        let files = ModelFiles::open(&Source::File(folder)).unwrap();
        let labels = files.classifier(Level::Token).unwrap().labels;
        assert_eq!((labels.len(), labels[0].as_str()), (213, "$KEEP"));
    }
}

#[test]
fn an_embedder_of_many_languages_says_what_the_engine_of_its_package_says() {
    if let Some(folder) = folder("multilingual-e5-small") {
        check(
            &folder,
            |_| Head::pooled(Pooling::Mean).normalized(true),
            Given::RowsOfBytes,
        );
    }
}

//! Every family against transformers and sentence-transformers (tests/expected/families.py made the
//! models and the values), on both engines, and rows against themselves in other company.

use std::path::{Path, PathBuf};

use super::*;
use crate::Tokenizer;
use crate::architecture::{Pooling, Readout};
use crate::device::DeviceSpec;

/// The models in tests/fixtures.
const FIXTURES: [&str; 39] = [
    "bert",
    "bert-gelu-tanh",
    "camembert",
    "clip",
    "clip-text",
    "deberta",
    "deberta-convolved",
    "deberta-convolved-wide",
    "deberta-separate",
    "distilbert",
    "electra",
    "electra-unprojected",
    "eurobert",
    "gemma3",
    "gemma3-causal",
    "gte",
    "jina-bert",
    "jina-bert-code",
    "jina-embeddings-v3",
    "llama",
    "mistral",
    "model2vec",
    "model2vec-shared",
    "model2vec-unlimited",
    "modernbert",
    "modernbert-biased",
    "mpnet",
    "new",
    "nomic-bert",
    "nomic-bert-interleaved",
    "qwen2",
    "qwen3",
    "roberta",
    "siglip",
    "static-embedding",
    "static-embedding-plain",
    "xlm-roberta",
    "xlm-roberta-flash",
    "xlm-roberta-flash-learned",
];

/// Largest difference from the values of the libraries; those are as large as 5.
pub(super) const CLOSE: f32 = 1e-5;

/// Heads in the order in which the expected values follow each other; last, the model's own.
fn heads(config: &ModelConfig) -> [Head; 4] {
    [
        Head::tokens(),
        Head::pooled(Pooling::Mean),
        Head::pooled(Pooling::Cls),
        config.head.clone(),
    ]
}

pub(super) struct Fixture {
    pub(super) name: &'static str,
    pub(super) files: ModelFiles,
    rows: Vec<Row>,
}

struct Row {
    text: String,
    ids: Vec<u32>,
    /// For each of [`heads`].
    values: [Vec<f32>; 4],
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

impl Fixture {
    fn read(name: &'static str) -> Self {
        #[derive(serde::Deserialize)]
        struct Listing {
            rows: Vec<Listed>,
        }
        #[derive(serde::Deserialize)]
        struct Listed {
            text: String,
            ids: Vec<u32>,
        }
        let folder = folder().join(name);
        let listing = std::fs::read(folder.join("expected.json")).unwrap();
        let Listing { rows } = serde_json::from_slice(&listing).unwrap();
        let bytes = std::fs::read(folder.join("expected.f32")).unwrap();
        let values = bytes.as_chunks::<4>().0.iter();
        let mut values = values.map(|value| f32::from_le_bytes(*value));
        let files = ModelFiles::open(&Source::File(folder)).unwrap();
        let config = files.config();
        let size = config.hidden_size();
        let own = config.head.size(size);
        let row = |Listed { text, ids }| Row {
            values: [ids.len() * size, size, size, own]
                .map(|count| values.by_ref().take(count).collect()),
            text,
            ids,
        };
        let rows = rows.into_iter().map(row).collect();
        assert!(values.next().is_none(), "{name}: more values than rows");
        Self { name, files, rows }
    }

    pub(super) fn cpu(&self, precision: Precision) -> CpuEncoder {
        let (checkpoint, config) = (Checkpoint::open(&self.files).unwrap(), self.files.config());
        CpuEncoder::load(&checkpoint, &config.architecture, precision).unwrap()
    }

    pub(super) fn device(&self) -> DeviceEncoder {
        let (checkpoint, config) = (Checkpoint::open(&self.files).unwrap(), self.files.config());
        let (device, dtype) = (DeviceSpec::Cpu.open().unwrap(), Precision::F32.dtype());
        DeviceEncoder::load(&checkpoint, &config.architecture, &device, dtype).unwrap()
    }

    pub(super) fn inputs(&self) -> Vec<RowInput<'_>> {
        let inputs = self.rows.iter().map(|row| RowInput::new(&row.ids));
        inputs.collect()
    }

    pub(super) fn heads(&self) -> [LoadedHead; 4] {
        heads(self.files.config()).map(|head| LoadedHead::load(&self.files, &head).unwrap())
    }
}

pub(super) fn fixtures() -> impl Iterator<Item = Fixture> {
    FIXTURES.into_iter().map(Fixture::read)
}

pub(super) fn on_threads(
    cpu: &CpuEncoder,
    rows: &[RowInput<'_>],
    head: &LoadedHead,
    threads: usize,
) -> Vec<Values> {
    std::thread::scope(|scope| {
        let encode = || {
            let team = ThreadTeam::for_current_thread(threads).unwrap();
            team.run(|| cpu.encode(rows, head))
        };
        scope.spawn(encode).join().unwrap()
    })
}

/// Checks that each row has the same bits alone and among others in any order, on any number of
/// threads.
pub(super) fn assert_same_bits(
    cpu: &CpuEncoder,
    rows: &[RowInput<'_>],
    head: &LoadedHead,
    what: &str,
) {
    let together = on_threads(cpu, rows, head, 2);
    let backwards: Vec<_> = rows.iter().rev().copied().collect();
    let mut backwards = on_threads(cpu, &backwards, head, 1);
    backwards.reverse();
    assert_eq!(backwards, together, "{what}");
    for (row, together) in rows.iter().zip(&together) {
        let alone = on_threads(cpu, &[*row], head, 3).remove(0);
        assert_eq!(&alone, together, "{what}");
    }
}

impl CpuEncoder {
    pub(super) fn encode(&self, rows: &[RowInput<'_>], head: &LoadedHead) -> Vec<Values> {
        let rows = self.run(&HeadedRow::all(rows, &[head]), None);
        rows.into_iter().flatten().collect()
    }
}

impl DeviceEncoder {
    pub(super) fn encode(
        &self,
        rows: &[RowInput<'_>],
        head: &LoadedHead,
    ) -> candle_core::Result<Vec<Values>> {
        let rows = self.run(&HeadedRow::all(rows, &[head]))?;
        Ok(rows.into_iter().flatten().collect())
    }
}

pub(super) fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_fixture_is_read() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    assert_eq!(names, FIXTURES);
}

#[test]
fn texts_have_the_tokens_and_the_limit_of_the_library() {
    for fixture in fixtures() {
        let tokenizer = Tokenizer::load(&fixture.files).unwrap();
        for Row { text, ids, .. } in &fixture.rows {
            let found = tokenizer.encode(text).unwrap();
            assert_eq!(found.as_slice(), ids, "{}: {text:?}", fixture.name);
        }
        let longest = fixture.rows.iter().map(|row| row.ids.len()).max();
        let is_unlimited =
            ["model2vec-unlimited", "static-embedding-plain"].contains(&fixture.name);
        let limit = if is_unlimited { None } else { longest };
        assert_eq!(
            limit.unwrap_or(32_768),
            tokenizer.max_tokens(),
            "{}",
            fixture.name
        );
    }
}

#[test]
fn every_weight_of_the_encoder_is_used() {
    let device = DeviceSpec::Cpu.open().unwrap();
    for fixture in fixtures() {
        let encoder = TextEncoder::load(&fixture.files, &device, Precision::F32).unwrap();
        let of_encoder = |name: &&String| {
            let parts = ["layer.", "layers.", "embed"];
            // The part for images of a model of both is not of this encoder.
            !name.starts_with("vision_model.") && parts.iter().any(|part| name.contains(part))
        };
        let forgotten: Vec<_> = encoder.unused_tensors().iter().filter(of_encoder).collect();
        assert!(forgotten.is_empty(), "{}: {forgotten:?}", fixture.name);
    }
}

#[test]
fn both_engines_say_what_the_library_says() {
    for fixture in fixtures() {
        let (cpu, device) = (fixture.cpu(Precision::F32), fixture.device());
        let inputs = fixture.inputs();
        for (number, head) in fixture.heads().iter().enumerate() {
            let of_cpu = on_threads(&cpu, &inputs, head, 2);
            let of_device = device.encode(&inputs, head).unwrap();
            for (engine, found) in [("cpu", of_cpu), ("device", of_device)] {
                for (found, row) in found.iter().zip(&fixture.rows) {
                    let far = largest_difference(found.as_slice(), &row.values[number]);
                    let what = format!("{}, {engine}, head {number}, {:?}", fixture.name, row.text);
                    assert!(far < CLOSE, "{what}: {far}");
                }
            }
        }
    }
}

/// The models whose attention adds something to its scores.
const IN_GROUPS: [&str; 7] = [
    "deberta",
    "deberta-convolved",
    "deberta-convolved-wide",
    "deberta-separate",
    "jina-bert",
    "jina-bert-code",
    "mpnet",
];

#[test]
fn attention_at_once_is_that_in_groups() {
    let mut in_groups = Vec::new();
    for fixture in fixtures() {
        let mut device = fixture.device();
        if !device.pack_attention(&fixture.files.config().architecture) {
            in_groups.push(fixture.name);
            continue;
        }
        let inputs = fixture.inputs();
        for (number, head) in fixture.heads().iter().enumerate() {
            let found = device.encode(&inputs, head).unwrap();
            for (found, row) in found.iter().zip(&fixture.rows) {
                let far = largest_difference(found.as_slice(), &row.values[number]);
                let what = format!("{}, head {number}, {:?}", fixture.name, row.text);
                // The operation of a CPU adds up one key after another.
                assert!(far < 2.0 * CLOSE, "{what}: {far}");
            }
        }
    }
    assert_eq!(in_groups, IN_GROUPS);
}

#[test]
fn a_row_of_any_family_has_the_same_bits_in_any_batch() {
    for fixture in fixtures() {
        let inputs = fixture.inputs();
        for precision in [Precision::F32, Precision::Int8] {
            let cpu = fixture.cpu(precision);
            for head in &fixture.heads() {
                assert_same_bits(
                    &cpu,
                    &inputs,
                    head,
                    &format!("{}, {precision}", fixture.name),
                );
            }
        }
    }
}

/// A text without known tokens is nothing, which has a mean: 0, also where it is scaled.
#[test]
fn a_text_without_tokens_is_zeros_where_tokens_stand_alone() {
    let device = DeviceSpec::Cpu.open().unwrap();
    let team = || ThreadTeam::for_current_thread(2).unwrap();
    for fixture in fixtures() {
        let tokenizer = Tokenizer::load(&fixture.files).unwrap();
        let rows = ["", "wing", " \t"].map(|text| tokenizer.encode(text).unwrap());
        let rows: Vec<RowInput<'_>> = rows.iter().map(RowInput::from).collect();
        for engine in [EngineSpec::Packed, EngineSpec::Candle] {
            let (files, precision) = (&fixture.files, Precision::F32);
            let encoder = TextEncoder::load_for(engine, files, &device, precision).unwrap();
            for head in &fixture.heads() {
                let encode = || encoder.encode(&rows, head, &team()).unwrap();
                let found = std::thread::scope(|scope| scope.spawn(encode).join().unwrap());
                let name = fixture.name;
                let is_static = fixture.files.config().architecture.layers.is_empty();
                for (row, found) in rows.iter().zip(found) {
                    match found {
                        Ok(found) if is_static && row.ids().is_empty() => {
                            assert!(found.as_slice().iter().all(|x| *x == 0.0), "{name}");
                            let vectors = usize::from(*head.readout() != Readout::EveryToken);
                            assert_eq!(found.rows(), vectors, "{name}");
                        }
                        Ok(found) => assert!(found.as_slice().iter().any(|x| *x != 0.0), "{name}"),
                        Err(error) => {
                            assert_eq!(error, RowError::Empty, "{name}");
                            assert!(row.ids().is_empty() && !is_static, "{name}");
                        }
                    }
                }
            }
        }
    }
}

/// Random weights have nothing that averages out errors: trained models are closer than these.
#[test]
fn bytes_stay_near_the_library_in_every_family() {
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let cosine = |a: &[f32], b: &[f32]| {
        let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
        dot / (length(a) * length(b))
    };
    for fixture in fixtures() {
        let config = fixture.files.config();
        let cpu = fixture.cpu(Precision::Int8);
        let found = on_threads(&cpu, &fixture.inputs(), &fixture.heads()[0], 2);
        let size = config.hidden_size();
        let rows = found.iter().zip(&fixture.rows);
        let vectors = rows.flat_map(|(found, row)| {
            let expected = row.values[0].chunks_exact(size);
            found.as_slice().chunks_exact(size).zip(expected)
        });
        let cosines: Vec<f32> = vectors.map(|(a, b)| cosine(a, b)).collect();
        let worst = cosines.iter().copied().fold(1.0, f32::min);
        let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
        let what = format!("{}: worst {worst}, mean {mean}", fixture.name);
        println!("{what}");
        assert!(worst > 0.99 && mean > 0.999, "{what}");
    }
}

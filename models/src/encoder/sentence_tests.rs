//! The modules of sentence-transformers against itself (tests/expected/sentence.py made the models
//! and the values), on both engines, and rows against themselves in other company.

use std::path::{Path, PathBuf};

use super::*;
use crate::architecture::{HeadModule, Pooling, Readout};
use crate::device::DeviceSpec;
use crate::{TokenIds, Tokenizer};

/// The models in tests/sentence, and the size of their embeddings.
const FIXTURES: [(&str, usize); 4] = [
    ("activations", 9),
    ("dense", 20),
    ("poolings", 6 * 16),
    ("unpooled-prompt", 6 * 16),
];

/// Largest difference from the values of the library; those are as large as 5.
const CLOSE: f32 = 1e-5;

struct Fixture {
    name: &'static str,
    files: ModelFiles,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    tokens: TokenIds,
    embedding: Vec<f32>,
}

#[derive(serde::Deserialize)]
struct Listing {
    rows: Vec<Listed>,
}

#[derive(serde::Deserialize)]
struct Listed {
    text: String,
    prompt_name: Option<String>,
    ids: Vec<u32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sentence")
}

impl Fixture {
    fn read(name: &'static str, size: usize) -> Self {
        let folder = folder().join(name);
        let listing = std::fs::read(folder.join("expected.json")).unwrap();
        let Listing { rows } = serde_json::from_slice(&listing).unwrap();
        let bytes = std::fs::read(folder.join("expected.f32")).unwrap();
        let values = bytes.as_chunks::<4>().0.iter();
        let values: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
        let files = ModelFiles::open(&Source::File(folder)).unwrap();
        let config = files.config();
        assert_eq!(config.head.size(config.hidden_size()), size, "{name}");
        let tokenizer = Tokenizer::load(&files).unwrap();
        let row = |(listed, embedding): (Listed, &[f32])| {
            let prompt = match &listed.prompt_name {
                Some(prompt) => config.prompts.named(prompt).unwrap(),
                None => config.prompts.default_text(),
            };
            let (limit, side) = (config.max_tokens, config.truncation_side);
            let tokens = tokenizer.encode_prompted(prompt, &listed.text, limit, side);
            let tokens = tokens.unwrap();
            let what = format!("{name}: {prompt:?} {:?}", listed.text);
            assert_eq!(tokens.as_slice(), listed.ids, "{what}");
            let unpooled = match prompt {
                "" => 0,
                _ if config.pools_prompt => 0,
                prompt => tokenizer.count_prompt(prompt).unwrap(),
            };
            Row {
                what,
                tokens: tokens.with_unpooled(unpooled),
                embedding: embedding.to_vec(),
            }
        };
        assert_eq!(values.len(), rows.len() * size, "{name}");
        let rows = rows.into_iter().zip(values.chunks_exact(size));
        let rows = rows.map(row).collect();
        Self { name, files, rows }
    }

    fn inputs(&self) -> Vec<RowInput<'_>> {
        let tokens = self.rows.iter().map(|row| &row.tokens);
        tokens.map(RowInput::from).collect()
    }

    fn cpu(&self) -> CpuEncoder {
        let (checkpoint, config) = (Checkpoint::open(&self.files).unwrap(), self.files.config());
        CpuEncoder::load(&checkpoint, &config.architecture, Precision::F32).unwrap()
    }

    fn device(&self) -> DeviceEncoder {
        let (checkpoint, config) = (Checkpoint::open(&self.files).unwrap(), self.files.config());
        let (device, dtype) = (DeviceSpec::Cpu.open().unwrap(), Precision::F32.dtype());
        DeviceEncoder::load(&checkpoint, &config.architecture, &device, dtype).unwrap()
    }

    fn head(&self) -> LoadedHead {
        LoadedHead::load(&self.files, &self.files.config().head).unwrap()
    }
}

fn fixtures() -> impl Iterator<Item = Fixture> {
    let read = |(name, size)| Fixture::read(name, size);
    FIXTURES.into_iter().map(read)
}

fn on_threads(
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

#[test]
fn every_fixture_of_modules_is_read() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    assert_eq!(names, FIXTURES.map(|(name, _)| name));
}

#[test]
fn modules_are_read_in_the_order_of_the_file() {
    let heads: Vec<Head> = fixtures()
        .map(|fixture| fixture.files.config().head.clone())
        .collect();
    let [activations, dense, poolings, unpooled] = &heads[..] else {
        panic!("{heads:?}")
    };
    use Pooling::*;
    let all = [LastToken, Max, WeightedMean, Cls, MeanSqrtLen, Mean];
    assert_eq!(poolings.readout, Readout::Pooled(all.to_vec()));
    assert_eq!(unpooled, poolings);
    assert_eq!(dense.readout, Readout::Pooled(vec![Cls, Mean]));
    assert_eq!(
        dense.folders(),
        ["2_Dense", "3_LayerNorm", "4_Dense", "5_Dense"]
    );
    assert_eq!((dense.modules.len(), dense.is_normalized()), (5, true));
    assert_eq!(activations.modules[0], HeadModule::UnitLength);
    assert!(!activations.is_normalized());
}

#[test]
fn modules_give_what_the_library_gives_on_both_engines() {
    for fixture in fixtures() {
        let (cpu, device, head) = (fixture.cpu(), fixture.device(), fixture.head());
        let inputs = fixture.inputs();
        let of_cpu = on_threads(&cpu, &inputs, &head, 2);
        let of_device = device.encode(&inputs, &head).unwrap();
        for (engine, found) in [("cpu", of_cpu), ("device", of_device)] {
            for (found, row) in found.iter().zip(&fixture.rows) {
                assert_eq!((found.rows(), found.columns()), (1, row.embedding.len()));
                let pairs = found.as_slice().iter().zip(&row.embedding);
                let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far < CLOSE, "{engine}, {}: {far}", row.what);
            }
        }
    }
}

#[test]
fn what_modules_give_has_the_same_bits_in_any_batch() {
    for fixture in fixtures() {
        let (cpu, head, inputs) = (fixture.cpu(), fixture.head(), fixture.inputs());
        let together = on_threads(&cpu, &inputs, &head, 2);
        let backwards: Vec<_> = inputs.iter().rev().copied().collect();
        let mut backwards = on_threads(&cpu, &backwards, &head, 1);
        backwards.reverse();
        assert_eq!(backwards, together, "{}", fixture.name);
        for (input, together) in inputs.iter().zip(&together) {
            let alone = on_threads(&cpu, &[*input], &head, 3).remove(0);
            assert_eq!(&alone, together, "{}", fixture.name);
        }
    }
}

#[test]
fn a_row_of_which_nothing_is_pooled_is_refused() {
    let fixture = Fixture::read("poolings", 96);
    let device = DeviceSpec::Cpu.open().unwrap();
    let encoder = TextEncoder::load(&fixture.files, &device, Precision::F32).unwrap();
    let row = |unpooled| RowInput {
        unpooled,
        ..RowInput::new(&[2, 5, 3])
    };
    assert_eq!(encoder.check(row(2)), Ok(()));
    let error = encoder.check(row(3)).unwrap_err().to_string();
    assert_eq!(
        error,
        "3 of the row's 3 tokens are left out of pooling, and none is left"
    );
}

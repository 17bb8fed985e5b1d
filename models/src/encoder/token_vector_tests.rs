//! Token vectors for late interaction against sentence-transformers
//! (tests/expected/token_vectors.py made the models and the values), on both engines.

use std::path::{Path, PathBuf};

use super::family_tests::{largest_difference, on_threads};
use super::*;
use crate::config::TextRole;
use crate::device::DeviceSpec;
use crate::late_interaction::maxsim_all;
use crate::tokenizer::{TokenIds, Tokenizer, TruncationSide};

/// The models in tests/token_vectors, and the size of their vectors.
const FIXTURES: [(&str, usize); 5] = [
    ("colbert", 12),
    ("native-mpnet", 8),
    ("native-xlm-roberta", 20),
    ("pylate-distilbert", 10),
    ("pylate-modernbert", 16),
];

/// Largest difference from the values of the library, up to 1 or in proportion to the largest value
/// of the row.
const CLOSE: f32 = 1e-5;

fn scale(values: &[f32]) -> f32 {
    values.iter().fold(1.0, |most, value| value.abs().max(most))
}

struct Fixture {
    name: &'static str,
    files: ModelFiles,
    tokenizer: Tokenizer,
    rows: Vec<(Listed, TokenIds)>,
    scores: Vec<Scores>,
    /// The vectors of all rows.
    values: Vec<f32>,
}

#[derive(serde::Deserialize)]
struct Listing {
    rows: Vec<Listed>,
    scores: Vec<Scores>,
}

#[derive(serde::Deserialize)]
struct Listed {
    text: String,
    role: String,
    ids: Vec<u32>,
    kept: Vec<usize>,
}

impl Listed {
    fn role(&self) -> TextRole {
        TextRole::of_prompt(&self.role)
    }
}

#[derive(serde::Deserialize)]
struct Scores {
    query: String,
    scores: Vec<f32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/token_vectors")
}

fn encode(tokenizer: &Tokenizer, config: &ModelConfig, listed: &Listed) -> TokenIds {
    let (role, prompt) = (listed.role(), config.prompts.of_role(listed.role()));
    let (most, side) = (config.max_tokens, config.truncation_side);
    let ids = tokenizer.encode_role(role, prompt, &listed.text, most, side);
    ids.unwrap()
}

impl Fixture {
    fn read(name: &'static str, size: usize) -> Self {
        let folder = folder().join(name);
        let listing = std::fs::read(folder.join("expected.json")).unwrap();
        let Listing { rows, scores } = serde_json::from_slice(&listing).unwrap();
        let bytes = std::fs::read(folder.join("expected.f32")).unwrap();
        let values = bytes.as_chunks::<4>().0.iter();
        let files = ModelFiles::open(&Source::File(folder)).unwrap();
        let head = files.token_head().unwrap();
        assert_eq!(head.size(files.config().hidden_size()), size, "{name}");
        let tokenizer = Tokenizer::load(&files).unwrap();
        let rows = rows.into_iter().map(|listed| {
            let ids = encode(&tokenizer, files.config(), &listed);
            (listed, ids)
        });
        Self {
            name,
            rows: rows.collect(),
            scores,
            values: values.map(|value| f32::from_le_bytes(*value)).collect(),
            files,
            tokenizer,
        }
    }

    fn inputs(&self) -> Vec<RowInput<'_>> {
        let rows = self.rows.iter();
        rows.map(|(_, ids)| RowInput::from(ids)).collect()
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
        LoadedHead::load(&self.files, &self.files.token_head().unwrap()).unwrap()
    }
}

fn fixtures() -> impl Iterator<Item = Fixture> {
    let read = |(name, size)| Fixture::read(name, size);
    FIXTURES.into_iter().map(read)
}

#[test]
fn every_fixture_of_token_vectors_is_read() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    assert_eq!(names, FIXTURES.map(|(name, _)| name));
}

#[test]
fn queries_and_documents_become_the_rows_of_the_library() {
    for fixture in fixtures() {
        let head = fixture.head();
        for (listed, ids) in &fixture.rows {
            let what = format!("{}, {} {:?}", fixture.name, listed.role, listed.text);
            assert_eq!(ids.as_slice(), listed.ids, "{what}");
            let kept: Vec<usize> = head.tokens_read(RowInput::from(ids)).collect();
            assert_eq!(kept, listed.kept, "{what}");
        }
    }
}

#[test]
fn both_engines_give_the_token_vectors_of_the_library() {
    for fixture in fixtures() {
        let (cpu, device, head) = (fixture.cpu(), fixture.device(), fixture.head());
        let inputs = fixture.inputs();
        let of_cpu = on_threads(&cpu, &inputs, &head, 2);
        let of_device = device.encode(&inputs, &head).unwrap();
        for (engine, found) in [("cpu", of_cpu), ("device", of_device)] {
            let mut rest = fixture.values.as_slice();
            for (found, (listed, _)) in found.iter().zip(&fixture.rows) {
                let what = format!(
                    "{}, {engine}, {} {:?}",
                    fixture.name, listed.role, listed.text
                );
                assert_eq!(found.rows(), listed.kept.len(), "{what}");
                let expected;
                (expected, rest) = rest.split_at(found.as_slice().len());
                let far = largest_difference(found.as_slice(), expected);
                assert!(far < CLOSE * scale(expected), "{what}: {far} off");
            }
            assert!(rest.is_empty(), "{}, {engine}", fixture.name);
        }
    }
}

#[test]
fn token_vectors_have_the_same_bits_in_any_batch() {
    for fixture in fixtures() {
        let (cpu, head, inputs) = (fixture.cpu(), fixture.head(), fixture.inputs());
        let together = on_threads(&cpu, &inputs, &head, 2);
        let backwards: Vec<_> = inputs.iter().rev().copied().collect();
        let mut backwards = on_threads(&cpu, &backwards, &head, 1);
        backwards.reverse();
        assert_eq!(backwards, together, "{}", fixture.name);
        let tokens = LoadedHead::of_tokens(fixture.files.config().hidden_size());
        for (input, together) in inputs.iter().zip(&together) {
            let alone = on_threads(&cpu, &[*input], &head, 3).remove(0);
            assert_eq!(&alone, together, "{}", fixture.name);
            let known = on_threads(&cpu, &[*input], &tokens, 1).remove(0);
            let found = head.of_token_vectors(&known, *input);
            assert_eq!(&found, together, "{}", fixture.name);
        }
    }
}

#[test]
fn scores_are_the_means_of_the_best_matches_of_the_library() {
    for fixture in fixtures() {
        let (cpu, head, inputs) = (fixture.cpu(), fixture.head(), fixture.inputs());
        let vectors = on_threads(&cpu, &inputs, &head, 2);
        let of_role = |role: &str| -> Vec<&Values> {
            let rows = fixture.rows.iter().zip(&vectors);
            let rows = rows.filter(|((listed, _), _)| listed.role == role);
            rows.map(|(_, values)| values).collect()
        };
        let (queries, documents) = (of_role("query"), of_role("document"));
        assert_eq!(queries.len(), fixture.scores.len());
        for (
            query,
            Scores {
                query: text,
                scores,
            },
        ) in queries.into_iter().zip(&fixture.scores)
        {
            let found = maxsim_all(query, &documents);
            let far = largest_difference(&found, scores);
            let close = 2.0 * CLOSE * scale(scores);
            assert!(far < close, "{}, {text:?}: {far} off", fixture.name);
        }
    }
}

#[test]
fn a_marker_is_never_cut_and_a_lower_limit_bounds_an_expanded_query() {
    for fixture in fixtures() {
        for text in ["wing", "the river and a letter of the orange harbour"] {
            for role in [TextRole::Query, TextRole::Document] {
                let encode = |most, side| {
                    let tokenizer = &fixture.tokenizer;
                    tokenizer.encode_role(role, "", text, most, side).unwrap()
                };
                let right = encode(6, TruncationSide::Right);
                let left = encode(6, TruncationSide::Left);
                let what = format!("{}, {role:?}, {text:?}", fixture.name);
                assert!(right.len() <= 6 && left.len() == right.len(), "{what}");
                assert_eq!(left.cut(), right.cut(), "{what}");
                let whole = encode(40, TruncationSide::Right);
                assert_eq!(right.as_slice()[0], whole.as_slice()[0], "{what}");
                if fixture.name.starts_with("native") {
                    // There the marker is a prompt.
                    continue;
                }
                assert_eq!(left.as_slice()[..2], whole.as_slice()[..2], "{what}");
            }
        }
    }
}

#[test]
fn a_row_to_which_no_token_attends_is_refused() {
    let fixture = Fixture::read("colbert", 12);
    let device = DeviceSpec::Cpu.open().unwrap();
    let encoder = TextEncoder::load(&fixture.files, &device, Precision::F32).unwrap();
    let row = |unattended| RowInput {
        unattended,
        ..RowInput::new(&[2, 5, 3])
    };
    assert_eq!(encoder.check(row(2)), Ok(()));
    let error = encoder.check(row(3)).unwrap_err().to_string();
    assert_eq!(
        error,
        "no token attends to 3 of the row's 3 tokens, and none is left"
    );
}

//! Every kind of classifier against transformers and sentence-transformers
//! (tests/expected/classifiers.py made the models and the values), on both engines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::family_tests::{largest_difference, on_threads};
use super::*;
use crate::classification::{Aggregation, Classifier, Level, ScoreKind, spans};
use crate::device::DeviceSpec;
use crate::tokenizer::{TokenIds, Tokenizer, TruncationSide};

/// Largest difference from the logits of the libraries.
const CLOSE: f32 = 1e-5;

/// The models in tests/classifiers: what they classify, and how their logits become scores.
const FIXTURES: [(&str, Level, ScoreKind); 30] = [
    ("bert-many-labels", Level::Text, ScoreKind::Softmax),
    ("bert-reranker", Level::Text, ScoreKind::Sigmoid),
    ("bert-tokens", Level::Token, ScoreKind::Softmax),
    ("deberta-nli", Level::Text, ScoreKind::Softmax),
    ("deberta-tokens", Level::Token, ScoreKind::Softmax),
    ("distilbert-multi-label", Level::Text, ScoreKind::Sigmoid),
    ("distilbert-tokens", Level::Token, ScoreKind::Softmax),
    ("electra-nli", Level::Text, ScoreKind::Softmax),
    ("eurobert-late", Level::Text, ScoreKind::Softmax),
    ("eurobert-mean", Level::Text, ScoreKind::Softmax),
    ("eurobert-tokens", Level::Token, ScoreKind::Softmax),
    ("gemma3-labels", Level::Text, ScoreKind::Softmax),
    ("gemma3-logits", Level::Text, ScoreKind::Sigmoid),
    ("gte-labels", Level::Text, ScoreKind::Softmax),
    ("jina-bert-reranker", Level::Text, ScoreKind::Sigmoid),
    ("llama-labels", Level::Text, ScoreKind::Softmax),
    ("llama-logits", Level::Text, ScoreKind::Sigmoid),
    ("mistral-tokens", Level::Token, ScoreKind::Softmax),
    ("modernbert-mean", Level::Text, ScoreKind::Softmax),
    ("modernbert-reranker", Level::Text, ScoreKind::Sigmoid),
    ("modernbert-tokens", Level::Token, ScoreKind::Softmax),
    ("mpnet-default-labels", Level::Text, ScoreKind::Softmax),
    ("nomic-bert-labels", Level::Text, ScoreKind::Softmax),
    ("qwen2-tokens", Level::Token, ScoreKind::Softmax),
    ("qwen3-logits", Level::Text, ScoreKind::Sigmoid),
    ("qwen3-plain", Level::Text, ScoreKind::Sigmoid),
    ("qwen3-reranker", Level::Text, ScoreKind::Sigmoid),
    ("roberta-relevance", Level::Text, ScoreKind::Softmax),
    ("roberta-tokens", Level::Token, ScoreKind::Softmax),
    ("xlm-roberta-regression", Level::Text, ScoreKind::Raw),
];

struct Fixture {
    name: &'static str,
    files: ModelFiles,
    classifier: Classifier,
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    text: String,
    pair: Option<String>,
    /// Text before the text, or the system's message of a chat.
    #[serde(default)]
    prompt: String,
    ids: Vec<u32>,
    types: Vec<u32>,
    /// One list for a text, or one for each token.
    logits: Vec<Vec<f32>>,
    /// Answer of a reranker.
    score: Option<f32>,
    /// Spans of a text by aggregation: start, end, label, score.
    #[serde(default)]
    spans: BTreeMap<String, Vec<(usize, usize, String, f32)>>,
}

impl Row {
    fn input(&self) -> RowInput<'_> {
        RowInput {
            types: &self.types,
            ..RowInput::new(&self.ids)
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/classifiers")
}

fn open(folder: PathBuf) -> ModelFiles {
    ModelFiles::open(&Source::File(folder)).unwrap()
}

fn fixtures() -> impl Iterator<Item = Fixture> {
    #[derive(serde::Deserialize)]
    struct Listing {
        rows: Vec<Row>,
    }
    FIXTURES.into_iter().map(|(name, level, _)| {
        let folder = folder().join(name);
        let listing = std::fs::read(folder.join("expected.json")).unwrap();
        let Listing { rows } = serde_json::from_slice(&listing).unwrap();
        let files = open(folder);
        Fixture {
            name,
            classifier: files.find_classifier(level).unwrap().unwrap(),
            files,
            rows,
        }
    })
}

impl Fixture {
    fn head(&self) -> LoadedHead {
        LoadedHead::load(&self.files, &self.classifier.head).unwrap()
    }

    fn cpu(&self, precision: Precision) -> CpuEncoder {
        let checkpoint = Checkpoint::open(&self.files).unwrap();
        CpuEncoder::load(&checkpoint, &self.files.config().architecture, precision).unwrap()
    }

    fn device(&self) -> DeviceEncoder {
        let checkpoint = Checkpoint::open(&self.files).unwrap();
        let (device, dtype) = (DeviceSpec::Cpu.open().unwrap(), Precision::F32.dtype());
        let architecture = &self.files.config().architecture;
        DeviceEncoder::load(&checkpoint, architecture, &device, dtype).unwrap()
    }

    fn inputs(&self) -> Vec<RowInput<'_>> {
        self.rows.iter().map(Row::input).collect()
    }
}

#[test]
fn every_fixture_is_read() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    assert_eq!(names, FIXTURES.map(|(name, ..)| name));
}

#[test]
fn texts_and_pairs_have_the_tokens_and_types_of_the_library() {
    for Fixture {
        name, files, rows, ..
    } in fixtures()
    {
        let (tokenizer, side) = (Tokenizer::load(&files).unwrap(), TruncationSide::Right);
        for row in &rows {
            let found: TokenIds = match &row.pair {
                None => tokenizer.encode(&row.text).unwrap(),
                Some(pair) => tokenizer
                    .encode_prompted_pair(&row.prompt, &row.text, pair, usize::MAX, side)
                    .unwrap(),
            };
            let found = (found.as_slice(), found.types());
            let expected = (&row.ids[..], &row.types[..]);
            assert_eq!(found, expected, "{name}: {:?} {:?}", row.text, row.pair);
        }
    }
}

#[test]
fn labels_and_kinds_of_scores_are_those_of_the_files() {
    for (fixture, (name, _, score)) in fixtures().zip(FIXTURES) {
        let Classifier { labels, .. } = &fixture.classifier;
        assert_eq!(fixture.classifier.score, score, "{name}");
        let expected: Vec<String> = match name {
            "bert-many-labels" => (0..12).map(|number| format!("name {number}")).collect(),
            "bert-reranker" => vec!["LABEL_0".to_owned()],
            "mpnet-default-labels" => vec!["LABEL_0".to_owned(), "LABEL_1".to_owned()],
            "roberta-relevance" => vec!["irrelevant".to_owned(), "relevant".to_owned()],
            _ => continue,
        };
        assert_eq!(labels, &expected, "{name}");
    }
}

#[test]
fn both_engines_give_the_logits_of_the_library() {
    for fixture in fixtures() {
        let (cpu, device, head) = (
            fixture.cpu(Precision::F32),
            fixture.device(),
            fixture.head(),
        );
        let inputs = fixture.inputs();
        let of_cpu = on_threads(&cpu, &inputs, &head, 2);
        let of_device = device.encode(&inputs, &head).unwrap();
        for (engine, found) in [("cpu", of_cpu), ("device", of_device)] {
            for (found, row) in found.iter().zip(&fixture.rows) {
                let far = largest_difference(found.as_slice(), &row.logits.concat());
                let name = fixture.name;
                assert!(
                    far < CLOSE,
                    "{name}, {engine}, {:?} {:?}: {far}",
                    row.text,
                    row.pair
                );
            }
        }
    }
}

#[test]
fn a_reranker_gives_the_scores_of_the_library() {
    let mut compared = 0;
    for fixture in fixtures() {
        let (cpu, head) = (fixture.cpu(Precision::F32), fixture.head());
        let found = on_threads(&cpu, &fixture.inputs(), &head, 1);
        for (found, row) in found.into_iter().zip(&fixture.rows) {
            let Some(expected) = row.score else { continue };
            let kind = fixture.classifier.pair_score;
            let kind = kind.unwrap_or(fixture.classifier.score);
            let mut score = found.into_vec();
            kind.apply(&mut score);
            assert!(
                (score[0] - expected).abs() < 1e-6,
                "{:?} {:?}",
                row.text,
                row.pair
            );
            compared += 1;
        }
    }
    assert!(compared > 100);
}

#[test]
fn equal_rows_have_equal_bits_wherever_they_are_in_a_batch() {
    for fixture in fixtures() {
        for precision in [Precision::F32, Precision::Int8] {
            let (cpu, head) = (fixture.cpu(precision), fixture.head());
            let inputs = fixture.inputs();
            let twice: Vec<_> = inputs.iter().chain(inputs.iter().rev()).copied().collect();
            let together = on_threads(&cpu, &twice, &head, 2);
            let (once, again) = together.split_at(inputs.len());
            assert!(once.iter().eq(again.iter().rev()), "{}", fixture.name);
            for (input, expected) in inputs.iter().zip(once) {
                let alone = on_threads(&cpu, &[*input], &head, 3).remove(0);
                assert_eq!(&alone, expected, "{}", fixture.name);
            }
        }
    }
}

/// The second text of a pair has its own type: the row is another one with all types 0.
#[test]
fn types_of_tokens_count() {
    let fixture = fixtures().find(|fixture| fixture.name == "bert-reranker");
    let fixture = fixture.unwrap();
    let (cpu, head) = (fixture.cpu(Precision::F32), fixture.head());
    let row = fixture.rows.iter().find(|row| !row.types.is_empty());
    let row = row.unwrap();
    let inputs = [row.input(), RowInput::new(&row.ids)];
    let found = on_threads(&cpu, &inputs, &head, 1);
    let far = largest_difference(found[0].as_slice(), found[1].as_slice());
    assert!(far > 1e-3, "{far}");

    let device = DeviceSpec::Cpu.open().unwrap();
    let encoder = TextEncoder::load(&fixture.files, &device, Precision::F32).unwrap();
    let wrong = |types| RowInput {
        types,
        ..RowInput::new(&[1, 2])
    };
    let of_row = |row| encoder.check(row).unwrap_err().to_string();
    assert_eq!(of_row(wrong(&[0])), "row has 1 token types for 2 tokens");
    assert_eq!(
        of_row(wrong(&[0, 2])),
        "token type 2 is not one of the model's 2"
    );
}

#[test]
fn spans_are_those_of_the_library_with_every_aggregation() {
    let mut compared = 0;
    for fixture in fixtures() {
        let tokenizer = Tokenizer::load(&fixture.files).unwrap();
        let (cpu, head) = (fixture.cpu(Precision::F32), fixture.head());
        let labels = &fixture.classifier.labels;
        // The library takes a line's end for a part of a word, where it goes by spaces.
        let has_lines = |row: &&Row| row.text.contains('\n');
        for row in fixture.rows.iter().filter(|row| !has_lines(row)) {
            for (name, expected) in &row.spans {
                let aggregation = Aggregation::WORDS.iter().find(|(word, _)| word == name);
                let (_, aggregation) = aggregation.unwrap();
                let tokens = tokenizer.text_tokens(&row.text).unwrap();
                let ids = tokenizer.row_of(&tokens.ids);
                assert_eq!(ids.as_slice(), row.ids, "{:?}", row.text);
                let found = on_threads(&cpu, &[RowInput::from(&ids)], &head, 1).remove(0);
                let first = tokenizer.tokens_before() * labels.len();
                let count = tokens.ids.len() * labels.len();
                let mut scores = found.as_slice()[first..first + count].to_vec();
                for scores in scores.chunks_exact_mut(labels.len()) {
                    ScoreKind::Softmax.apply(scores);
                }
                let found = spans(&tokens.places, &scores, labels, *aggregation);
                let what = format!("{}, {name}, {:?}", fixture.name, row.text);
                assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
                for (found, (start, end, label, score)) in found.iter().zip(expected) {
                    let place = (found.place.start, found.place.end, found.label);
                    assert_eq!(place, (*start, *end, label.as_str()), "{what}");
                    assert!((found.score - score).abs() < CLOSE, "{what}: {found:?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

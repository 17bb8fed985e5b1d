//! Embeddings against those of sentence-transformers (tests/expected/embeddings.py made them), and
//! rows against themselves in other company.

use std::path::{Path, PathBuf};

use motet_models::{
    DeviceSpec, ModelFiles, Precision, RowInput, Source, TextEncoder, ThreadTeam, TokenIds,
    Tokenizer,
};

struct Expected {
    texts: Vec<String>,
    /// `[texts, 384]`
    embeddings: Vec<f32>,
}

impl Expected {
    fn read() -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/expected");
        let listing: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.join("embeddings.json")).unwrap()).unwrap();
        let texts = listing["texts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect();
        let bytes = std::fs::read(dir.join("embeddings.f32")).unwrap();
        let embeddings = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect();
        Self { texts, embeddings }
    }
}

fn load(source: &Source) -> (Tokenizer, TextEncoder) {
    let files = ModelFiles::open(source).unwrap();
    let device = DeviceSpec::Cpu.open().unwrap();
    (
        Tokenizer::load(&files).unwrap(),
        TextEncoder::load(&files, &device, Precision::F32).unwrap(),
    )
}

fn embed(encoder: &TextEncoder, rows: &[&TokenIds]) -> Vec<Vec<f32>> {
    let inputs: Vec<_> = rows.iter().map(|row| RowInput::from(*row)).collect();
    let team = ThreadTeam::current_or_default().unwrap();
    let head = encoder.load_head(&encoder.config().head).unwrap();
    encoder
        .encode(&inputs, &head, &team)
        .unwrap()
        .into_iter()
        .map(|row| row.unwrap().into_vec())
        .collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
}

/// Every `step`-th text.
fn check_against_expected(source: &Source, limit: f32, step: usize) {
    let expected = Expected::read();
    assert_eq!(expected.texts.len(), 200);
    let (tokenizer, encoder) = load(source);
    let rows: Vec<_> = expected
        .texts
        .iter()
        .step_by(step)
        .map(|text| tokenizer.encode(text).unwrap())
        .collect();
    let size = encoder.config().hidden_size();
    let mut worst = (0.0, "");
    for (index, batch) in rows.chunks(16).enumerate() {
        let found = embed(&encoder, &batch.iter().collect::<Vec<_>>());
        for (offset, vector) in found.iter().enumerate() {
            let number = (index * 16 + offset) * step;
            let difference =
                largest_difference(vector, &expected.embeddings[number * size..][..size]);
            if difference > worst.0 {
                worst = (difference, &expected.texts[number]);
            }
        }
    }
    println!("{source}: largest difference {:.2e}", worst.0);
    assert!(
        worst.0 < limit,
        "{source}: {} for {:?}, limit {limit}",
        worst.0,
        worst.1
    );
}

#[cfg(feature = "builtin")]
#[test]
fn builtin_f16_weights_agree_with_sentence_transformers() {
    check_against_expected(&"builtin:all-minilm-l6-v2".parse().unwrap(), 2e-3, 1);
}

#[cfg(feature = "builtin")]
#[test]
fn some_texts_agree_with_sentence_transformers() {
    check_against_expected(&"builtin:all-minilm-l6-v2".parse().unwrap(), 2e-3, 20);
}

/// The f32 weights are not in the repository: the environment says where they are.
#[test]
fn f32_weights_agree_with_sentence_transformers() {
    match std::env::var_os("MOTET_F32_MODEL").map(PathBuf::from) {
        Some(dir) => check_against_expected(&Source::File(dir), 1e-5, 1),
        None => println!(
            "skipped: MOTET_F32_MODEL does not name a directory with the f32 weights of all-MiniLM-L6-v2"
        ),
    }
}

#[cfg(feature = "builtin")]
#[test]
fn a_row_has_the_same_bits_in_any_batch_on_any_number_of_threads() {
    let (tokenizer, encoder) = load(&"builtin:all-minilm-l6-v2".parse().unwrap());
    let rows: Vec<_> = Expected::read()
        .texts
        .iter()
        .step_by(7)
        .map(|text| tokenizer.encode(text).unwrap())
        .collect();
    let together = embed(&encoder, &rows.iter().collect::<Vec<_>>());
    let backwards = embed(&encoder, &rows.iter().rev().collect::<Vec<_>>());
    let on_three_threads = |row| {
        std::thread::scope(|scope| {
            let embed = || {
                ThreadTeam::for_current_thread(3).unwrap();
                embed(&encoder, &[row])
            };
            scope.spawn(embed).join().unwrap()
        })
    };
    for (number, row) in rows.iter().enumerate() {
        let alone = &embed(&encoder, &[row])[0];
        let shared = &on_three_threads(row)[0];
        let batched = [&together[number], &backwards[rows.len() - 1 - number]];
        for other in [batched[0], batched[1], shared] {
            assert!(
                alone
                    .iter()
                    .zip(other)
                    .all(|(x, y)| x.to_bits() == y.to_bits()),
                "row {number} of {} tokens differs by {}",
                row.len(),
                largest_difference(alone, other)
            );
        }
    }
}

/// The tests above with the narrower vectors of other processors, as far as this one has them;
/// without any vectors they take long.
#[cfg(feature = "builtin")]
#[test]
fn narrower_vectors_agree_as_well() {
    let some = &["some_texts_agree_with_sentence_transformers"][..];
    let all = &[
        "builtin_f16_weights_agree_with_sentence_transformers",
        "f32_weights_agree_with_sentence_transformers",
        "a_row_has_the_same_bits_in_any_batch_on_any_number_of_threads",
    ][..];
    for (vectors, tests) in [("avx2", all), ("portable", some)] {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .env("MOTET_CPU_VECTORS", vectors)
            .args(["--exact", "--test-threads", "1"])
            .args(tests)
            .status();
        assert!(status.unwrap().success(), "with {vectors}");
    }
}

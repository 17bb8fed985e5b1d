//! `dtype: int8` against f32: what it costs in quality; and rows against themselves in other
//! company.
#![cfg(all(feature = "builtin", not(any(feature = "accelerate", feature = "mkl"))))]

#[path = "../examples/int8_quality/measure.rs"]
#[expect(dead_code, reason = "the example uses all of it")]
mod measure;

use std::path::Path;

use measure::{cosine, pairs, rank_correlation, worst_and_mean};
use motet_models::{
    DeviceSpec, Head, ModelFiles, Precision, RowInput, TextEncoder, ThreadTeam, Tokenizer, Values,
};

fn files() -> ModelFiles {
    ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap()
}

fn load(precision: Precision) -> TextEncoder {
    TextEncoder::load(&files(), &DeviceSpec::Cpu.open().unwrap(), precision).unwrap()
}

/// Texts of up to 256 tokens, some in other scripts, some no language at all.
fn texts() -> Vec<Vec<u32>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/expected/embeddings.json");
    let listing: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let tokenizer = Tokenizer::load(&files()).unwrap();
    let texts = listing["texts"].as_array().unwrap().iter().step_by(3);
    texts
        .map(|text| tokenizer.encode(text.as_str().unwrap()).unwrap())
        .map(|ids| ids.as_slice().to_vec())
        .collect()
}

/// Ids that are no text: by chance, one again and again, in a row.
fn garbage() -> Vec<Vec<u32>> {
    let mut random = 1_u32;
    let mut chance = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % 30_522
    };
    let of_len = |len: usize| {
        [
            (0..len).map(|_| chance()).collect(),
            vec![101; len],
            (1000..1000 + len as u32).collect(),
        ]
    };
    [1, 2, 3, 5, 17, 64, 256]
        .into_iter()
        .flat_map(of_len)
        .collect()
}

fn encode(encoder: &TextEncoder, rows: &[Vec<u32>], head: &Head) -> Vec<Values> {
    let rows: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
    let team = ThreadTeam::current_or_default().unwrap();
    let head = encoder.load_head(head).unwrap();
    let encoded = encoder.encode(&rows, &head, &team).unwrap();
    encoded.into_iter().map(Result::unwrap).collect()
}

fn pooled(encoder: &TextEncoder, rows: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let encoded = encode(encoder, rows, &encoder.config().head).into_iter();
    encoded.map(Values::into_vec).collect()
}

#[test]
fn vectors_are_close_to_those_of_f32() {
    let (f32, int8) = (load(Precision::F32), load(Precision::Int8));
    let texts = texts();
    let rows = [texts.clone(), garbage()].concat();
    let (a, b) = (pooled(&f32, &rows), pooled(&int8, &rows));
    let (worst, mean) = worst_and_mean(a.iter().zip(&b).map(|(a, b)| cosine(a, b)));
    println!("rows: worst {worst}, mean {mean}");
    assert!(worst > 0.997 && mean > 0.999, "{worst} {mean}");

    let correlation = rank_correlation(&pairs(&a[..texts.len()]), &pairs(&b[..texts.len()]));
    println!("rank correlation {correlation}");
    assert!(correlation > 0.998, "{correlation}");

    let some: Vec<_> = rows.into_iter().step_by(4).collect();
    let tokens = |encoder| encode(encoder, &some, &Head::tokens().normalized(true));
    let (a, b) = (tokens(&f32), tokens(&int8));
    let pairs = a.iter().zip(&b).flat_map(|(a, b)| a.iter().zip(b.iter()));
    let (worst, mean) = worst_and_mean(pairs.map(|(a, b)| cosine(a, b)));
    println!("tokens: worst {worst}, mean {mean}");
    assert!(worst > 0.98 && mean > 0.999, "{worst} {mean}");
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_on_any_number_of_threads() {
    let encoder = load(Precision::Int8);
    let rows: Vec<_> = texts().into_iter().step_by(3).collect();
    let together = pooled(&encoder, &rows);
    let backwards: Vec<_> = rows.iter().rev().cloned().collect();
    let mut backwards = pooled(&encoder, &backwards);
    backwards.reverse();
    let on_three_threads = |row: &[Vec<u32>]| {
        std::thread::scope(|scope| {
            let pooled = || {
                ThreadTeam::for_current_thread(3).unwrap();
                pooled(&encoder, row)
            };
            scope.spawn(pooled).join().unwrap()
        })
    };
    let bits = |vector: &[f32]| vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for (number, row) in rows.iter().enumerate() {
        let row = std::slice::from_ref(row);
        let alone = bits(&pooled(&encoder, row)[0]);
        let shared = on_three_threads(row);
        for other in [&together[number], &backwards[number], &shared[0]] {
            assert_eq!(bits(other), alone, "row {number}");
        }
    }
}

//! The encoder's answers to the last bit, as committed: a change that is meant to be faster, or to
//! be a better arrangement of the code, changes none of them.
//!
//! Bits depend on the width of vectors. Here are those of processors with AVX2 and of code without
//! vector instructions, which other x86-64 processors can be made to run.

#![cfg(feature = "builtin")]

use motet_models::{DeviceSpec, Head, ModelFiles, Precision, RowInput, TextEncoder, ThreadTeam};

/// Hash of all bits of the answers, by vectors and precision.
const EXPECTED: [(&str, Precision, u64); 4] = [
    ("avx2", Precision::F32, 0x9a08_abc8_ce96_faca),
    ("avx2", Precision::Int8, 0xe070_ded9_6354_a58a),
    ("portable", Precision::F32, 0x56bc_a3c5_b599_bbcf),
    ("portable", Precision::Int8, 0x303a_9bd0_7aad_dc9c),
];

/// Numbers of tokens of the rows.
const LENGTHS: [usize; 10] = [1, 2, 7, 16, 17, 33, 64, 100, 128, 256];

const VECTORS: &str = "MOTET_CPU_VECTORS";

#[test]
fn the_bits_of_answers_are_those_committed() {
    if let Ok(vectors) = std::env::var(VECTORS) {
        return check(&vectors);
    }
    let mut failures = String::new();
    for vectors in ["avx2", "portable"] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .env(VECTORS, vectors)
            .args(["--exact", "the_bits_of_answers_are_those_committed"])
            .arg("--nocapture")
            .output()
            .unwrap();
        if !output.status.success() {
            failures.push_str(&String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Compares the answers of this process, which computes with `vectors`.
fn check(vectors: &str) {
    if vectors == "avx2" && !has_avx2() {
        return;
    }
    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap();
    let device = DeviceSpec::Cpu.open().unwrap();
    let ids: Vec<u32> = (0..400u32).map(|at| 1000 + at * 7919 % 28_000).collect();
    let rows: Vec<RowInput<'_>> = LENGTHS
        .iter()
        .enumerate()
        .map(|(at, length)| RowInput::new(&ids[at..at + length]))
        .collect();
    let expected = EXPECTED.iter().filter(|(with, ..)| *with == vectors);
    let mut others = Vec::new();
    for (_, precision, expected) in expected {
        let encoder = TextEncoder::load(&files, &device, *precision).unwrap();
        let team = ThreadTeam::current_or_default().unwrap();
        let heads = [
            encoder.config().head.clone(),
            Head::tokens().normalized(true),
        ];
        let heads = heads.map(|head| encoder.load_head(&head).unwrap());
        let answers = heads.map(|head| encoder.encode(&rows, &head, &team).unwrap());
        let mut hash = Hash::new();
        for row in 0..rows.len() {
            hash.add(answers[row % 2][row].as_ref().unwrap().as_slice());
        }
        if hash.0 != *expected {
            others.push(format!("{vectors}, {precision}: {:#018x}", hash.0));
        }
    }
    assert!(others.is_empty(), "other bits: {others:?}");
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// FNV-1a.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, values: &[f32]) {
        for byte in values.iter().flat_map(|x| x.to_bits().to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

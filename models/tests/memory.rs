//! Peak memory while a model is loaded, against what is kept of it. The model is of BERT's base
//! size, made here of numbers without a pattern.
//!
//! cargo test -p motet-models --test memory -- --nocapture

#![cfg(target_os = "linux")]

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::bf16;
use motet_models::{DeviceSpec, ModelFiles, Precision, Source, TextEncoder};
use serde_json::json;

const HIDDEN: usize = 768;
const INNER: usize = 3072;
const LAYERS: usize = 12;
const VOCABULARY: usize = 30_522;
const POSITIONS: usize = 512;

/// The peak may be this many times what is kept, and this many bytes more.
const FACTOR: f64 = 1.2;
const EXTRA: f64 = 50e6;

/// Tells a process of this test what to load: a directory and a precision.
const LOAD: &str = "MOTET_TEST_LOAD";

/// Element type of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    F32,
    Bf16,
}

#[test]
fn loading_takes_little_more_memory_than_the_weights_kept() {
    if let Ok(what) = std::env::var(LOAD) {
        return load(&what);
    }
    for (stored, precisions) in [
        (Stored::F32, &["f32", "int8"][..]),
        (Stored::Bf16, &["f32", "int8"][..]),
    ] {
        let dir = Directory::new(stored);
        for precision in precisions {
            let (before, peak) = measure(&dir.0, precision);
            let kept = kept(stored, precision);
            let limit = FACTOR * kept + EXTRA;
            println!(
                "{stored:?} of {:.0} MB as {precision}: kept {:.0} MB, peak {:.0} MB of at most \
                 {:.0} ({:.0} before loading)",
                dir.size() / 1e6,
                kept / 1e6,
                peak / 1e6,
                limit / 1e6,
                before / 1e6
            );
            assert!(peak <= limit, "{stored:?} {precision}: {peak} bytes");
        }
    }
}

/// Returns the least number of bytes in which the weights are kept.
fn kept(stored: Stored, precision: &str) -> f64 {
    let bytes = if stored == Stored::Bf16 { 2 } else { 4 };
    let mut kept = 0;
    for (name, shape) in tensors() {
        let values: usize = shape.iter().product();
        kept += values
            * match (shape.len(), precision) {
                (2, "int8") if !name.starts_with("embeddings") => 1,
                // Tables, and weights that 16 bits hold exactly.
                (2, _) => bytes,
                _ => 4,
            };
    }
    kept as f64
}

/// Loads a model in another process, and returns its memory before, and at the peak.
fn measure(dir: &Path, precision: &str) -> (f64, f64) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .env(LOAD, format!("{precision} {}", dir.display()))
        .args(["--exact", "--nocapture"])
        .arg("loading_takes_little_more_memory_than_the_weights_kept")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.split(key).nth(1));
        line.unwrap().trim().parse::<f64>().unwrap()
    };
    (number("before:"), number("peak:"))
}

/// Loads what the other process asks for, and prints its memory.
fn load(what: &str) {
    let (precision, dir) = what.split_once(' ').unwrap();
    let precision: Precision = precision.parse().unwrap();
    let files = ModelFiles::open(&Source::File(PathBuf::from(dir))).unwrap();
    let device = DeviceSpec::Cpu.open().unwrap();
    println!("\nbefore: {}", status("VmRSS:"));
    let encoder = TextEncoder::load(&files, &device, precision).unwrap();
    println!("\npeak: {}", status("VmHWM:"));
    drop(encoder);
}

/// Returns a number of bytes of /proc/self/status.
fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![
        ("embeddings.word_embeddings.weight", VOCABULARY),
        ("embeddings.position_embeddings.weight", POSITIONS),
        ("embeddings.token_type_embeddings.weight", 2),
    ]
    .into_iter()
    .map(|(name, rows)| (name.to_owned(), vec![rows, HIDDEN]))
    .collect::<Vec<_>>();
    let mut norm = |name: String, size: usize| {
        tensors.push((format!("{name}.weight"), vec![size]));
        tensors.push((format!("{name}.bias"), vec![size]));
    };
    norm("embeddings.LayerNorm".to_owned(), HIDDEN);
    for layer in 0..LAYERS {
        for part in ["attention.output", "output"] {
            norm(format!("encoder.layer.{layer}.{part}.LayerNorm"), HIDDEN);
        }
    }
    for layer in 0..LAYERS {
        for (part, outputs, inputs) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INNER, HIDDEN),
            ("output.dense", HIDDEN, INNER),
        ] {
            let name = format!("encoder.layer.{layer}.{part}");
            tensors.push((format!("{name}.weight"), vec![outputs, inputs]));
            tensors.push((format!("{name}.bias"), vec![outputs]));
        }
    }
    tensors
}

/// A directory with the model, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(stored: Stored) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memory-{stored:?}"));
        std::fs::create_dir_all(&dir).unwrap();
        let config = json!({
            "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS, "num_attention_heads": 12, "intermediate_size": INNER,
            "max_position_embeddings": POSITIONS,
        });
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        std::fs::write(dir.join("tokenizer.json"), "{}").unwrap();
        let this = Self(dir);
        this.write_weights(stored);
        this
    }

    fn write_weights(&self, stored: Stored) {
        let (dtype, size) = match stored {
            Stored::F32 => ("F32", 4),
            Stored::Bf16 => ("BF16", 2),
        };
        let (mut header, mut end) = (serde_json::Map::new(), 0);
        for (name, shape) in tensors() {
            let start = end;
            end += shape.iter().product::<usize>() * size;
            let offsets = [start, end];
            header.insert(
                name,
                json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }),
            );
        }
        let header = serde_json::to_vec(&header).unwrap();
        let file = std::fs::File::create(self.weights()).unwrap();
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&(header.len() as u64).to_le_bytes())
            .unwrap();
        file.write_all(&header).unwrap();
        let mut state = 1u32;
        for _ in 0..end / size {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (state >> 8) as f32 / (1 << 24) as f32 * 0.1 - 0.05;
            match stored {
                Stored::F32 => file.write_all(&value.to_le_bytes()),
                Stored::Bf16 => file.write_all(&bf16::from_f32(value).to_le_bytes()),
            }
            .unwrap();
        }
        file.flush().unwrap();
    }

    fn weights(&self) -> PathBuf {
        self.0.join("model.safetensors")
    }

    fn size(&self) -> f64 {
        std::fs::metadata(self.weights()).unwrap().len() as f64
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

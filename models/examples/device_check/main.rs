//! Checks a device against this machine's CPU, and measures it: what to run on a machine with a GPU
//! before models are served there.
//!
//!     cargo run --release -p motet-models --features cuda --example device_check -- cuda [SOURCE] [--quick]
//!
//! The device is named as in a configuration: `cuda`, `cuda:1`, `metal` (with that feature).
//! `SOURCE` is `builtin:NAME` or `file:PATH`; the built-in model if not given. `--quick` measures
//! for a shorter time.
//!
//! Rows of many lengths are encoded on the CPU in f32 by motet's own engine, which `cargo test -p
//! motet-models` compares with sentence-transformers, and on the device in f32, f16 and bf16: all
//! in one batch, each alone, and from several threads at once. The program fails when a vector's
//! cosine to that of the CPU, or to the same row's in a batch, is below a limit of its type, when
//! one device is opened as two, or when something that cannot be is accepted.

mod agreement;
mod refusals;
mod speed;

use std::time::{Duration, Instant};

use motet_models::{DeviceSpec, ModelFiles, Precision, TextEncoder};

type Error = Box<dyn std::error::Error>;

/// Types to compute in, and the least cosine of a vector to that of the CPU in f32.
const PRECISIONS: [(Precision, f64); 3] = [
    (Precision::F32, 0.99999),
    (Precision::F16, 0.999),
    (Precision::Bf16, 0.99),
];

fn main() -> Result<(), Error> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().position(|argument| argument == "--quick");
    let quick = quick.map(|at| arguments.remove(at)).is_some();
    let (device, source) = match &arguments[..] {
        [device] => (device, "builtin:all-minilm-l6-v2"),
        [device, source] => (device, source.as_str()),
        _ => return Err("takes DEVICE [SOURCE] [--quick]".into()),
    };
    let spec: DeviceSpec = device.parse()?;
    let files = ModelFiles::open(&source.parse()?)?;

    let began = Instant::now();
    let device = spec.open()?;
    println!("{spec} opened in {:.0?}", began.elapsed());
    if !device.same_device(&spec.open()?) {
        return Err("opened again it is another device".into());
    }
    refusals::check(spec, &files, &device)?;

    let cpu = TextEncoder::load(&files, &DeviceSpec::Cpu.open()?, Precision::F32)?;
    let reference = agreement::Reference::new(&cpu)?;
    println!("\nagainst the CPU in f32:");
    let mut encoders = Vec::new();
    let mut failed = Vec::new();
    for (precision, limit) in PRECISIONS {
        let began = Instant::now();
        let encoder = TextEncoder::load(&files, &device, precision)?;
        let loaded = began.elapsed();
        if encoder.precision() != precision {
            println!("{precision}: computed in {} here", encoder.precision());
            continue;
        }
        let began = Instant::now();
        reference.encode_one(&encoder)?;
        let first = began.elapsed();
        let found = reference.compare(&encoder)?;
        println!("{precision}: loaded in {loaded:.0?}, first row in {first:.0?}");
        println!("{found}");
        if found.worst_cosine() < limit {
            failed.push(format!("{precision} is below cosine {limit}"));
        }
        encoders.push(encoder);
    }

    println!("\ntokens/s, and milliseconds of a batch (medians):");
    let time = Duration::from_millis(if quick { 60 } else { 250 });
    speed::measure(&encoders, time)?;
    if failed.is_empty() {
        println!("\nall within limits");
        Ok(())
    } else {
        Err(failed.join("; ").into())
    }
}

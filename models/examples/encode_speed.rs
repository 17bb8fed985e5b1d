//! Tokens per second of the built-in model on this machine.
//!
//!     cargo run --release -p motet-models --example encode_speed

use std::time::{Duration, Instant};

use motet_models::{DeviceSpec, ModelFiles, Precision, RowInput, RowOutput, TextEncoder};

/// Rows and tokens per row.
const BATCHES: [(usize, usize); 6] = [(1, 16), (1, 64), (8, 64), (32, 64), (32, 128), (32, 256)];
const TIME_PER_BATCH: Duration = Duration::from_millis(600);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device: DeviceSpec = std::env::args()
        .nth(1)
        .as_deref()
        .unwrap_or("auto")
        .parse()?;
    let started = Instant::now();
    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
    let encoder = TextEncoder::load(&files, &device.open()?, Precision::F32)?;
    println!("loaded in {:.0?}", started.elapsed());
    println!(
        "{:>5} {:>7} {:>12} {:>10}",
        "rows", "tokens", "ms/batch", "tokens/s"
    );
    for (rows, tokens) in BATCHES {
        let ids: Vec<Vec<u32>> = (0..rows)
            .map(|row| {
                (0..tokens)
                    .map(|at| (1000 + row * 31 + at * 7) as u32)
                    .collect()
            })
            .collect();
        let inputs: Vec<_> = ids
            .iter()
            .map(|ids| RowInput {
                ids,
                output: RowOutput::POOLED,
            })
            .collect();
        encoder.encode(&inputs)?;
        let (mut runs, mut best, started) = (0, Duration::MAX, Instant::now());
        while started.elapsed() < TIME_PER_BATCH || runs < 3 {
            let run = Instant::now();
            encoder.encode(&inputs)?;
            best = best.min(run.elapsed());
            runs += 1;
        }
        let mean = started.elapsed().as_secs_f64() / f64::from(runs);
        println!(
            "{rows:>5} {tokens:>7} {:>12.2} {:>10.0}   (best {:.0})",
            mean * 1e3,
            (rows * tokens) as f64 / mean,
            (rows * tokens) as f64 / best.as_secs_f64()
        );
    }
    Ok(())
}

//! Tokens per second of the built-in model on this machine's CPU, in f32 and in int8, and what
//! share of the machine's f32 peak that is; beside it the same model with stock Candle operations
//! and, where they are given, onnxruntime.
//!
//! cargo run --release -p motet-models --example encode_speed -- [--quick] [--threads N] [--onnx
//! PYTHON MODEL.onnx [INT8.onnx]]
//!
//! With `--threads`, motet's encoder takes so many, and the peak is that of so many; all else uses
//! all cores of the process. `PYTHON` is a Python with numpy and onnxruntime;
//! models/scripts/export_onnx.py and quantize_onnx.py make the models. Everything is measured in
//! turns in one run, the best of several times each.

mod motet;
mod onnx;
mod peak;
mod stock;

use std::time::{Duration, Instant};

use motet_models::architecture::Layer;
use motet_models::{DeviceSpec, ModelConfig, ModelFiles, Precision, TextEncoder};

type Error = Box<dyn std::error::Error>;

/// Rows and tokens of each.
const ROWS: [usize; 3] = [1, 8, 32];
const TOKENS: [usize; 4] = [16, 64, 128, 256];
/// Shortest and longest row of mixed batches; lengths are log-uniform.
const MIXED: (f64, f64) = (8.0, 256.0);
/// Rounds; each engine runs in each, but one that takes longer than [`SLOW`] for a batch only in
/// the first.
const ROUNDS: usize = 3;
const SLOW: Duration = Duration::from_secs(1);

/// An implementation that is measured.
trait Engine {
    /// Returns the shortest time for `rows`, in seconds, of as many runs as fit in `time`.
    fn best_seconds(&mut self, rows: &[Vec<u32>], time: Duration) -> Result<f64, Error>;
}

fn main() -> Result<(), Error> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().position(|argument| argument == "--quick");
    let quick = quick.map(|at| arguments.remove(at)).is_some();
    let threads = match arguments
        .iter()
        .position(|argument| argument == "--threads")
    {
        Some(at) => {
            arguments.remove(at);
            let given = arguments.get(at).ok_or("--threads takes a number")?;
            let count = given.parse()?;
            arguments.remove(at);
            count
        }
        None => std::thread::available_parallelism()?.get(),
    };
    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
    let mut engines: Vec<(&str, Box<dyn Engine>)> = Vec::new();
    for (name, precision) in [("f32", Precision::F32), ("int8", Precision::Int8)] {
        let before = Instant::now();
        let encoder = TextEncoder::load(&files, &DeviceSpec::Cpu.open()?, precision)?;
        println!(
            "{name} weights loaded and packed in {:.0?}",
            before.elapsed()
        );
        engines.push((name, Box::new(motet::Motet::start(encoder, threads))));
    }
    engines.push(("stock Candle", Box::new(stock::Bert::load(files.config())?)));
    match &arguments[..] {
        [flag, python, models @ ..] if flag == "--onnx" && (1..3).contains(&models.len()) => {
            for (name, model) in ["onnxruntime", "its int8"].into_iter().zip(models) {
                engines.push((name, Box::new(onnx::Session::start(python, model)?)));
            }
        }
        [] => {}
        _ => {
            return Err(
                "takes [--quick] [--threads N] [--onnx PYTHON MODEL.onnx [INT8.onnx]]".into(),
            );
        }
    }
    let peak = peak::gflops(threads);
    println!("f32 peak of {threads} threads, multiply-adds in registers: {peak:.0} GFLOP/s\n");
    println!("tokens/s (share of f32 peak), and how many times as fast f32 is");
    print!("{:>14}", "rows x tokens");
    for (name, _) in &engines {
        print!(" {name:>22}");
    }
    println!();
    let time = Duration::from_millis(if quick { 100 } else { 400 });
    let mut compare = |name: &str, lens: &[usize]| {
        let cost = flops(files.config(), lens) / 1e9 / peak;
        compare(&mut engines, name, lens, cost, time)
    };
    for rows in ROWS {
        for tokens in TOKENS {
            compare(&format!("{rows} x {tokens}"), &vec![tokens; rows])?;
        }
    }
    for rows in [8, 32, 128] {
        let lens: Vec<usize> = (0..rows).map(|row| mixed(row, rows)).collect();
        compare(&format!("{rows} mixed"), &lens)?;
    }
    Ok(())
}

/// Lengths that fill the range evenly in their logarithm, in an order without pattern.
fn mixed(row: usize, rows: usize) -> usize {
    let share = ((row * 73) % 127 % rows) as f64 / (rows - 1) as f64;
    (MIXED.0 * (MIXED.1 / MIXED.0).powf(share)) as usize
}

/// Prints a line; `least` is the time in seconds that the peak would allow.
fn compare(
    engines: &mut [(&str, Box<dyn Engine>)],
    name: &str,
    lens: &[usize],
    least: f64,
    time: Duration,
) -> Result<(), Error> {
    let tokens: usize = lens.iter().sum();
    let rows: Vec<Vec<u32>> = lens.iter().map(|len| ids(*len)).collect();
    let mut seconds = vec![f64::MAX; engines.len()];
    for round in 0..ROUNDS {
        for ((_, engine), best) in engines.iter_mut().zip(&mut seconds) {
            if round == 0 || *best < SLOW.as_secs_f64() {
                *best = best.min(engine.best_seconds(&rows, time)?);
            }
        }
    }
    print!("{name:>14}");
    for (at, taken) in seconds.iter().enumerate() {
        let share = format!(
            "{:.0} ({:.0} %)",
            tokens as f64 / taken,
            100.0 * least / taken
        );
        match at {
            0 => print!(" {share:>22}"),
            _ => print!(" {:>22}", format!("{share} {:.2}x", taken / seconds[0])),
        }
    }
    println!("   {:.2} ms", seconds[0] * 1e3);
    Ok(())
}

/// Multiplications and additions of all products.
fn flops(config: &ModelConfig, lens: &[usize]) -> f64 {
    let hidden = config.hidden_size();
    let layer = |layer: &Layer, len: usize| {
        let inner = layer.feed_forward.inner();
        len * (4 * hidden * hidden + 2 * hidden * inner + 2 * len * hidden)
    };
    let layers = &config.architecture.layers;
    let row = |len: &usize| -> usize { layers.iter().map(|of| layer(of, *len)).sum() };
    2.0 * lens.iter().map(row).sum::<usize>() as f64
}

fn ids(len: usize) -> Vec<u32> {
    (0..len)
        .map(|at| 1000 + (at as u32 * 37) % 20_000)
        .collect()
}

impl Engine for stock::Bert {
    fn best_seconds(&mut self, rows: &[Vec<u32>], time: Duration) -> Result<f64, Error> {
        best(time, || self.encode(rows))
    }
}

impl Engine for onnx::Session {
    fn best_seconds(&mut self, rows: &[Vec<u32>], time: Duration) -> Result<f64, Error> {
        let lens: Vec<usize> = rows.iter().map(Vec::len).collect();
        self.best_seconds(&lens, time)
    }
}

/// Returns the shortest of the runs that fit in the time, in seconds; two at least unless the first
/// takes very long.
fn best(time: Duration, mut run: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let (mut best, mut runs, began) = (f64::MAX, 0, Instant::now());
    while runs < 1 || began.elapsed() < time || (runs < 2 && began.elapsed() < SLOW) {
        let started = Instant::now();
        run()?;
        best = best.min(started.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(best)
}

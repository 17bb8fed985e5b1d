//! Tokens per second of a model on this machine's CPU, in f32 and in int8, and what share of the
//! machine's f32 peak that is; beside it onnxruntime, where a model for it is given, and for the
//! built-in model stock Candle operations.
//!
//! cargo run --release -p motet-models --example encode_speed -- [--quick] [--threads N] [--model
//! FOLDER] [--onnx PYTHON MODEL.onnx [INT8.onnx]]
//!
//! With `--threads`, motet's encoder takes so many, and the peak is that of so many; all else uses
//! all cores of the process. `PYTHON` is a Python with numpy and onnxruntime;
//! models/scripts/export_onnx.py and quantize_onnx.py make the models, random_model.py models of
//! other families and sizes. Everything is measured in turns in one run, the best of several times
//! each.

mod flops;
mod motet;
mod onnx;
mod peak;
mod stock;

use std::time::{Duration, Instant};

use motet_models::{DeviceSpec, ModelFiles, Precision, Source, TextEncoder};

type Error = Box<dyn std::error::Error>;

/// Rows, and tokens of each, for the built-in model.
const SIZES: [(usize, usize); 12] = [
    (1, 16),
    (1, 64),
    (1, 128),
    (1, 256),
    (8, 16),
    (8, 64),
    (8, 128),
    (8, 256),
    (32, 16),
    (32, 64),
    (32, 128),
    (32, 256),
];
/// The same for other models, most of which are larger.
const LARGE_SIZES: [(usize, usize); 6] = [(1, 16), (1, 64), (1, 128), (8, 128), (1, 512), (4, 512)];
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

/// Arguments of the command line.
struct Arguments {
    quick: bool,
    threads: usize,
    /// A folder; `None` for the built-in model.
    model: Option<String>,
    /// A Python, and one or two models; empty without.
    onnx: Vec<String>,
}

impl Arguments {
    fn read() -> Result<Self, Error> {
        const USAGE: &str = "takes [--quick] [--threads N] [--model FOLDER] \
                             [--onnx PYTHON MODEL.onnx [INT8.onnx]]";
        let mut read = Self {
            quick: false,
            threads: std::thread::available_parallelism()?.get(),
            model: None,
            onnx: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => read.quick = true,
                "--threads" => read.threads = arguments.next().ok_or(USAGE)?.parse()?,
                "--model" => read.model = Some(arguments.next().ok_or(USAGE)?),
                "--onnx" => read.onnx = arguments.by_ref().collect(),
                _ => return Err(USAGE.into()),
            }
        }
        match read.onnx.len() {
            0 | 2 | 3 => Ok(read),
            _ => Err(USAGE.into()),
        }
    }
}

fn main() -> Result<(), Error> {
    let Arguments {
        quick,
        threads,
        model,
        onnx,
    } = Arguments::read()?;
    let source = match &model {
        Some(folder) => Source::File(folder.into()),
        None => "builtin:all-minilm-l6-v2".parse()?,
    };
    let files = ModelFiles::open(&source)?;
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
    if model.is_none() {
        engines.push(("stock Candle", Box::new(stock::Bert::load(files.config())?)));
    }
    if let Some((python, models)) = onnx.split_first() {
        for (name, model) in ["onnxruntime", "its int8"].into_iter().zip(models) {
            engines.push((name, Box::new(onnx::Session::start(python, model)?)));
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
        let cost = flops::of(&files.config().architecture, lens) / 1e9 / peak;
        compare(&mut engines, name, lens, cost, time)
    };
    let (sizes, mixed_rows) = match model {
        None => (&SIZES[..], &[8, 32, 128][..]),
        Some(_) => (&LARGE_SIZES[..], &[8, 32][..]),
    };
    let fits = |(_, tokens): &&(usize, usize)| *tokens <= files.config().max_tokens;
    for &(rows, tokens) in sizes.iter().filter(fits) {
        compare(&format!("{rows} x {tokens}"), &vec![tokens; rows])?;
    }
    for &rows in mixed_rows {
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

//! Tokens per second of the built-in model on this machine's CPU, and what share of its peak that is; beside it the same model with
//! stock Candle operations and, where they are given, onnxruntime.
//!
//!     cargo run --release -p motet-models --example encode_speed -- [--quick] [--onnx PYTHON MODEL.onnx]
//!
//! `PYTHON` is a Python with numpy and onnxruntime; models/scripts/export_onnx.py makes the model. Everything is measured in turns in
//! one run, the best of several times each, and all of it uses all cores of the process.

mod onnx;
mod peak;
mod stock;

use std::time::{Duration, Instant};

use motet_models::{DeviceSpec, ModelFiles, Precision, RowInput, RowOutput, TextEncoder};

type Error = Box<dyn std::error::Error>;

/// Rows and tokens of each.
const ROWS: [usize; 3] = [1, 8, 32];
const TOKENS: [usize; 4] = [16, 64, 128, 256];
/// Shortest and longest row of mixed batches; lengths are log-uniform.
const MIXED: (f64, f64) = (8.0, 256.0);
/// Rounds; each engine runs in each.
const ROUNDS: usize = 3;

struct Engines {
    motet: TextEncoder,
    stock: stock::Bert,
    onnx: Option<onnx::Session>,
    /// For each engine and batch in each round.
    time: Duration,
}

fn main() -> Result<(), Error> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().position(|argument| argument == "--quick");
    let quick = quick.map(|at| arguments.remove(at)).is_some();
    let files = ModelFiles::open(&"builtin:all-minilm-l6-v2".parse()?)?;
    let before = Instant::now();
    let motet = TextEncoder::load(&files, &DeviceSpec::Cpu.open()?, Precision::F32)?;
    println!("weights loaded and packed in {:.0?}", before.elapsed());
    let mut engines = Engines {
        motet,
        stock: stock::Bert::load(files.config())?,
        onnx: match &arguments[..] {
            [flag, python, model] if flag == "--onnx" => Some(onnx::Session::start(python, model)?),
            [] => None,
            _ => return Err("takes [--quick] [--onnx PYTHON MODEL.onnx]".into()),
        },
        time: Duration::from_millis(if quick { 100 } else { 400 }),
    };
    let threads = rayon::current_num_threads();
    let peak = peak::gflops(threads);
    println!("peak of {threads} threads, multiply-adds in registers: {peak:.0} GFLOP/s\n");
    println!("tokens/s (share of peak); x: motet is so much faster");
    println!(
        "{:>14} {:>16} {:>16} {:>24}",
        "rows x tokens", "motet", "stock Candle", "onnxruntime"
    );
    for rows in ROWS {
        for tokens in TOKENS {
            engines.compare(&format!("{rows} x {tokens}"), &vec![tokens; rows], peak)?;
        }
    }
    for rows in [8, 32, 128] {
        let lens: Vec<usize> = (0..rows).map(|row| mixed(row, rows)).collect();
        engines.compare(&format!("{rows} mixed"), &lens, peak)?;
    }
    Ok(())
}

/// Lengths that fill the range evenly in their logarithm, in an order without pattern.
fn mixed(row: usize, rows: usize) -> usize {
    let share = ((row * 73) % 127 % rows) as f64 / (rows - 1) as f64;
    (MIXED.0 * (MIXED.1 / MIXED.0).powf(share)) as usize
}

impl Engines {
    fn compare(&mut self, name: &str, lens: &[usize], peak: f64) -> Result<(), Error> {
        let tokens: usize = lens.iter().sum();
        let ids: Vec<Vec<u32>> = lens.iter().map(|len| ids(*len)).collect();
        let (mut motet, mut stock, mut onnx) = (f64::MAX, f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            let rows: Vec<_> = ids
                .iter()
                .map(|ids| RowInput {
                    ids,
                    output: RowOutput::POOLED,
                })
                .collect();
            motet = motet.min(best(self.time, || {
                self.motet.encode(&rows)?;
                Ok(())
            })?);
            stock = stock.min(best(self.time, || self.stock.encode(&ids))?);
            if let Some(session) = &mut self.onnx {
                onnx = onnx.min(session.best_seconds(lens, self.time)?);
            }
        }
        let flops: f64 = lens.iter().map(|len| self.flops(*len)).sum();
        let share = |seconds: f64| {
            format!(
                "{:.0} ({:.0} %)",
                tokens as f64 / seconds,
                flops / seconds / 1e7 / peak
            )
        };
        let beside = |seconds: f64| format!("{} {:.2}x", share(seconds), seconds / motet);
        let onnx = if self.onnx.is_some() {
            beside(onnx)
        } else {
            "-".to_owned()
        };
        println!(
            "{name:>14} {:>16} {:>22} {onnx:>24}   {:.2} ms",
            share(motet),
            beside(stock),
            motet * 1e3
        );
        Ok(())
    }

    /// Of one row: multiplications and additions of all products.
    fn flops(&self, len: usize) -> f64 {
        let bert = &self.motet.config().encoder;
        let (hidden, inner) = (bert.hidden_size, bert.intermediate_size);
        let token = 4 * hidden * hidden + 2 * hidden * inner + 2 * len * hidden;
        2.0 * (bert.num_hidden_layers * len * token) as f64
    }
}

fn ids(len: usize) -> Vec<u32> {
    (0..len)
        .map(|at| 1000 + (at as u32 * 37) % 20_000)
        .collect()
}

/// The shortest of the runs that fit in the time, in seconds; at least two.
fn best(time: Duration, mut run: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let (mut best, mut runs, began) = (f64::MAX, 0, Instant::now());
    while runs < 2 || began.elapsed() < time {
        let started = Instant::now();
        run()?;
        best = best.min(started.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(best)
}

//! motet's own engine on this machine's CPU, with more and more threads.

use std::time::Instant;

use motet_models::{
    DeviceSpec, Head, ModelFiles, Pooling, Precision, RowInput, TextEncoder, ThreadTeam,
};

use crate::Error;
use crate::encoders::{BASE, MINILM, Shape, TempFolder};
use crate::options::Options;

/// Rows of a batch, and tokens of each.
const ROWS: usize = 32;
const TOKENS: usize = 128;
/// The least number of runs, the fastest of which counts.
const RUNS: usize = 3;

pub(crate) fn measure(options: &Options) -> Result<(), Error> {
    let shapes = match options.small {
        true => vec![MINILM.smallest()],
        false => vec![MINILM, BASE],
    };
    let cores = std::thread::available_parallelism()?.get();
    let counts: Vec<usize> = (0..)
        .map(|power| 1 << power)
        .take_while(|count| *count <= cores)
        .collect();
    for shape in shapes {
        let folder = TempFolder::new("threads")?;
        shape.write(folder.path())?;
        let files = ModelFiles::open(&folder.source())?;
        let cpu = DeviceSpec::Cpu.open()?;
        let encoder = TextEncoder::load(&files, &cpu, Precision::F32)?;
        let mut alone = None;
        for count in &counts {
            let rate = std::thread::scope(|scope| {
                let run = || rate(options, shape, &encoder, *count).map_err(|e| e.to_string());
                scope.spawn(run).join().map_err(|_| "a thread panicked")?
            })?;
            let times = rate / *alone.get_or_insert(rate);
            println!(
                "| threads | {}, {ROWS} x {TOKENS}, {count} threads, tokens/s | {rate:.0} \
                 ({times:.2} x) |",
                shape.name
            );
        }
    }
    Ok(())
}

/// Returns the tokens a second of a thread that leads so many.
fn rate(
    options: &Options,
    shape: Shape,
    encoder: &TextEncoder,
    count: usize,
) -> Result<f64, Error> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let ids: Vec<_> = (0..ROWS).map(|_| shape.row(TOKENS, &mut random)).collect();
    let rows: Vec<_> = ids.iter().map(|ids| RowInput::new(ids)).collect();
    let team = ThreadTeam::for_current_thread(count)?;
    let head = encoder.load_head(&Head::pooled(Pooling::Mean).normalized(true))?;
    encoder.encode(&rows, &head, &team)?;
    let (mut best, mut runs, began) = (f64::MAX, 0, Instant::now());
    while runs < RUNS || began.elapsed() < options.time() {
        let started = Instant::now();
        encoder.encode(&rows, &head, &team)?;
        best = best.min(started.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok((ROWS * TOKENS) as f64 / best)
}

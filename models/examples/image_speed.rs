//! Images per second of a ViT of the usual size (12 layers of 768 values, 224 x 224 pixels in
//! patches of 16 x 16) with random weights on this machine's CPU, beside transformers on torch, in
//! turns of one run; and the time from a file to what the model sees, beside Pillow.
//!
//! cargo run --release -p motet-models --example image_speed -- PYTHON FOLDER [IMAGE...]
//!
//! `PYTHON` is a Python with torch, transformers and Pillow. The model is written to FOLDER, if
//! that is not there. Each of both takes all cores to encode, and one to prepare an image.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use motet_models::{
    DeviceSpec, ImageLimits, LoadedHead, Modality, ModelFiles, Precision, RowInput, Source,
    TextEncoder, ThreadTeam,
};

type Error = Box<dyn std::error::Error>;

/// Images of a batch.
const BATCHES: [usize; 4] = [1, 2, 8, 32];
/// Turns of each, and the time of a turn.
const ROUNDS: usize = 3;
const TURN: Duration = Duration::from_secs(2);

/// transformers in a process of its own, asked over its standard input and output.
struct Transformers {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Transformers {
    fn start(python: &str, folder: &str, threads: usize) -> Result<Self, Error> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/image_speed.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([folder, &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {python}: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes".into());
        };
        let output = BufReader::new(output);
        let mut started = Self {
            child,
            input,
            output,
        };
        match &*started.line()? {
            "ready" => Ok(started),
            other => Err(format!("the script says {other:?}; see its messages above").into()),
        }
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Returns the shortest time of what is asked for, in seconds.
    fn best_seconds(&mut self, what: &str, of: &str) -> Result<f64, Error> {
        writeln!(self.input, "{what} {} {of}", TURN.as_secs_f64())?;
        Ok(self.line()?.parse()?)
    }
}

impl Drop for Transformers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [python, folder, images @ ..] = &arguments[..] else {
        return Err("takes PYTHON FOLDER [IMAGE...]".into());
    };
    let threads = std::thread::available_parallelism()?.get();
    let mut theirs = Transformers::start(python, folder, threads)?;
    let files = ModelFiles::open_for(&Source::File(folder.into()), Modality::Images)?;
    let processor = files.image_processor()?;
    let head = LoadedHead::load(&files, &files.image_head()?)?;
    let cpu = DeviceSpec::Cpu.open()?;
    let encoders = [Precision::F32, Precision::Int8]
        .map(|precision| TextEncoder::load(&files, &cpu, precision));
    let embedding = files.config().architecture.embedding.patches();
    let embedding = embedding.ok_or("the model is one of texts")?;
    let (values, tokens) = (
        embedding.patches() * embedding.patch_values(),
        embedding.tokens(),
    );

    println!("images/s: motet in f32 and int8, transformers; and how many times as fast f32 is");
    for count in BATCHES {
        let image = |image: usize| {
            let values = (0..values).map(|at| ((at * 37 + image * 11) % 255) as f32 / 127.5 - 1.0);
            values.collect::<Vec<f32>>()
        };
        let batch: Vec<Vec<f32>> = (0..count).map(image).collect();
        let mut seconds = [f64::MAX; 3];
        for _ in 0..ROUNDS {
            for (encoder, best) in encoders.iter().zip(&mut seconds) {
                let encoder = encoder.as_ref().map_err(ToString::to_string)?;
                let encode = || encode(encoder, &head, &batch, tokens, threads);
                *best = best.min(encode()?);
            }
            seconds[2] = seconds[2].min(theirs.best_seconds("encode", &count.to_string())?);
        }
        let [f32, int8, theirs] = seconds.map(|seconds| count as f64 / seconds);
        let times = f32 / theirs;
        println!("{count:>4} {f32:>8.1} {int8:>8.1} {theirs:>8.1} {times:>6.2}x");
    }

    if !images.is_empty() {
        println!("ms from a file to what the model sees: motet, transformers with Pillow");
    }
    for image in images {
        let bytes = std::fs::read(image)?;
        let mut seconds = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            let took = best(|| {
                processor.check(&bytes, ImageLimits { pixels: u64::MAX })?;
                let pixels = processor.prepare(&bytes)?;
                processor.patches(&pixels);
                Ok(())
            })?;
            seconds[0] = seconds[0].min(took);
            seconds[1] = seconds[1].min(theirs.best_seconds("prepare", image)?);
        }
        let [ours, theirs] = seconds.map(|seconds| seconds * 1e3);
        println!("{image}: {ours:.2} {theirs:.2}");
    }
    Ok(())
}

/// Returns the shortest time of a batch, in seconds, on a thread that leads others for it: those of
/// the script start elsewhere, so that a thread's place among the processors is not theirs.
fn encode(
    encoder: &TextEncoder,
    head: &LoadedHead,
    batch: &[Vec<f32>],
    tokens: usize,
    threads: usize,
) -> Result<f64, Error> {
    let rows = batch.iter();
    let rows: Vec<_> = rows
        .map(|values| RowInput::of_image(values, tokens))
        .collect();
    let on_a_team = || -> Result<f64, String> {
        let team = ThreadTeam::for_current_thread(threads).map_err(|error| error.to_string())?;
        let took = best(|| {
            encoder.encode(&rows, head, &team)?;
            Ok(())
        });
        took.map_err(|error| error.to_string())
    };
    let joined = std::thread::scope(|scope| scope.spawn(on_a_team).join());
    Ok(joined.map_err(|_| "a batch panicked")??)
}

/// Returns the shortest time of as many runs as fit in a turn, in seconds.
fn best(mut run: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let (mut best, began) = (f64::MAX, Instant::now());
    while best == f64::MAX || began.elapsed() < TURN {
        let started = Instant::now();
        run()?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    Ok(best)
}

//! A batch with the model in its own process, in turns with the encoder alone.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use motet_models::{
    DeviceSpec, ModelFiles, Precision, RowInput, TextEncoder, ThreadTeam, Tokenizer,
};
use motet_tests::load::percentile;
use motet_tests::program::Program;
use motet_tests::temp_dir::TempDir;
use serde_json::Value;

use super::{Files, text};

/// Rows of a batch of the encoder alone.
const BATCH: usize = 32;
/// The time that a batch may take for as many rows as the encoder needed one second for.
const BOUND: u32 = 10;

/// Prints the table.
pub(super) async fn measure(
    program: &str,
    files: &Files,
    folder: &TempDir,
    time: Duration,
    rounds: usize,
) {
    println!("in one process: rows a second of the encoder from ids, and of `motet batch`");
    println!("{:>10} {:>10} {:>7}", "encoder", "batch", "share");
    let mut shares = Vec::new();
    for round in 0..rounds {
        let encoder = tokio::task::spawn_blocking(move || encode(time)).await;
        let encoder = encoder.expect("the encoder");
        let rows = (encoder * time.as_secs_f64()) as usize;
        let input = folder.path().join(format!("alone-{round}.jsonl"));
        copy_lines(&files.rows, &input, rows);
        let out = folder.path().join(format!("alone-{round}"));
        let ended = Program::new(program)
            .args(["batch", "vectors", "--json", "-f"])
            .args([&files.configuration])
            .args(["--in".as_ref(), input.as_os_str(), "--out".as_ref()])
            .args([&out])
            .start()
            .end_within(time * BOUND)
            .await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).expect("a report");
        let batch = report["rows_per_second"].as_f64().expect("a rate");
        println!("{encoder:>10.1} {batch:>10.1} {:>7.3}", batch / encoder);
        shares.push(batch / encoder);
    }
    println!("median share {:.3}\n", percentile(&mut shares, 0.5));
}

/// Copies the first `count` lines of a file to another.
fn copy_lines(from: &Path, to: &Path, count: usize) {
    let from = BufReader::new(File::open(from).expect("the rows"));
    let mut to = File::create(to).expect("a file");
    for line in from.lines().take(count) {
        writeln!(to, "{}", line.expect("a line")).expect("space");
    }
}

/// Encodes rows for `time` with all cores, in batches, and returns the rows a second.
fn encode(time: Duration) -> f64 {
    let source = "builtin:all-minilm-l6-v2".parse().expect("a source");
    let files = ModelFiles::open(&source).expect("files");
    let tokenizer = Tokenizer::load(&files).expect("a tokenizer");
    let device = DeviceSpec::Cpu.open().expect("a CPU");
    let encoder = TextEncoder::load(&files, &device, Precision::F32).expect("weights");
    let threads = ThreadTeam::current_or_default().expect("threads");
    let head = encoder.load_head(&encoder.config().head).expect("a head");
    let ids: Vec<_> = (0..64 * BATCH)
        .map(|at| tokenizer.encode(&text(at)).expect("tokens"))
        .collect();
    let batch = |at: usize| {
        let from = at * BATCH % ids.len();
        let rows: Vec<RowInput<'_>> = ids[from..from + BATCH].iter().map(RowInput::from).collect();
        encoder.encode(&rows, &head, &threads).expect("vectors");
    };
    batch(0);
    let began = Instant::now();
    let mut batches = 0;
    while began.elapsed() < time {
        batch(batches);
        batches += 1;
    }
    (batches * BATCH) as f64 / began.elapsed().as_secs_f64()
}

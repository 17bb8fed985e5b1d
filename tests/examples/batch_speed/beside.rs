//! Interactive callers and a batch on one server: what the callers wait, and what the batch gets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::load::percentile;
use motet_tests::program::{Process, Program};
use motet_tests::temp_dir::TempDir;
use motet_tests::tensors::{raw, texts};
use tokio::task::JoinSet;

use super::{Files, text};

/// The parts of the server's capacity that interactive callers ask for.
const LOADS: [f64; 3] = [0.1, 0.25, 0.5];
/// Connections of the interactive callers.
const CONNECTIONS: usize = 8;
/// The time until a batch has found its number of calls in flight.
const WARM_UP: Duration = Duration::from_secs(6);

/// A server, and the batch that may use it.
struct Setup<'a> {
    program: &'a str,
    rows: PathBuf,
    out: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
    connections: Vec<Connection>,
    time: Duration,
}

/// Prints the table. What is left for the batch is the time in which the model is idle while the
/// callers are alone.
pub(super) async fn measure(
    program: &str,
    files: &Files,
    folder: &TempDir,
    time: Duration,
    rounds: usize,
) {
    let mut server = Program::new(program)
        .args(["-f".as_ref(), files.configuration.as_os_str()])
        .on_free_ports()
        .start();
    let ready = server.ready().await;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(ready.grpc).await);
    }
    let setup = Setup {
        program,
        rows: files.rows.clone(),
        out: folder.path().join("beside"),
        grpc: ready.grpc,
        http: ready.http.expect("a port"),
        connections,
        time,
    };
    println!("interactive callers of one text each beside `motet batch --to`");
    println!(
        "{:>5} {:>10} {:>11} {:>8} {:>8} {:>9} {:>8} {:>9} {:>10} {:>7}",
        "load",
        "calls/s",
        "batch alone",
        "p50 ms",
        "p99 ms",
        "p50 with",
        "p99 with",
        "p99 ratio",
        "batch with",
        "of left"
    );
    for load in LOADS {
        setup.measure(load, rounds).await;
    }
}

impl Setup<'_> {
    /// Prints the row of one load. The rounds, each of callers alone and of callers beside a batch,
    /// are taken together: a percentile of one of them is that of a few calls.
    async fn measure(&self, load: f64, rounds: usize) {
        let alone = self.batch_alone().await;
        let calls = alone * load;
        let (mut without, mut with) = (Vec::new(), Vec::new());
        let (mut busy, mut seconds, mut rows, mut seconds_with) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..rounds {
            let (before, began) = (self.busy_seconds().await, Instant::now());
            without.extend(self.callers(calls).await);
            seconds += began.elapsed().as_secs_f64();
            busy += self.busy_seconds().await - before;
            let batch = self.start_batch().await;
            let (before, began) = (self.rows().await, Instant::now());
            let times = self.callers(calls).await;
            rows += self.rows().await - before - times.len() as f64;
            seconds_with += began.elapsed().as_secs_f64();
            stop(batch).await;
            with.extend(times);
        }
        let idle = 1.0 - busy / seconds;
        let (asked, batch_rate) = (with.len() as f64 / seconds_with, rows / seconds_with);
        let at = |times: &mut Vec<f64>| (percentile(times, 0.5), percentile(times, 0.99));
        let (p50, p99) = at(&mut without);
        let (p50_with, p99_with) = at(&mut with);
        println!(
            "{load:>5} {asked:>10.1} {alone:>11.1} {p50:>8.1} {p99:>8.1} {p50_with:>9.1} \
             {p99_with:>8.1} {:>9.2} {batch_rate:>10.1} {:>7.3}",
            p99_with / p99,
            batch_rate / (alone * idle)
        );
    }

    /// Starts a batch, and waits until it is under way.
    async fn start_batch(&self) -> Process {
        // Elsewhere it would have cores of its own.
        let batch = Program::new("nice")
            .args(["-n", "19", self.program, "batch", "vectors"])
            .args(["--to", &self.grpc.to_string(), "--in"])
            .args([&self.rows])
            .args(["--out".as_ref(), self.out.as_os_str()])
            .start();
        let before = self.rows().await;
        while self.rows().await < before + 100.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(WARM_UP).await;
        batch
    }

    /// Returns the rows a second of the batch by itself.
    async fn batch_alone(&self) -> f64 {
        let batch = self.start_batch().await;
        let (before, began) = (self.rows().await, Instant::now());
        tokio::time::sleep(self.time).await;
        let rate = (self.rows().await - before) / began.elapsed().as_secs_f64();
        stop(batch).await;
        rate
    }

    /// Returns the rows that the model has computed so far.
    async fn rows(&self) -> f64 {
        let metrics = Metrics::read(self.http).await;
        metrics.count("motet_batch_rows_sum", &[("model", "minilm")])
    }

    /// Returns the seconds that the model has computed so far.
    async fn busy_seconds(&self) -> f64 {
        let metrics = Metrics::read(self.http).await;
        metrics.count("motet_batch_duration_seconds_sum", &[("model", "minilm")])
    }

    /// Makes `rate` calls a second, each when it is due, whether others are answered or not, and
    /// returns their times in milliseconds. The gaps between calls are those of a Poisson process.
    async fn callers(&self, rate: f64) -> Vec<f64> {
        let mut calls = JoinSet::new();
        let began = Instant::now();
        let mut due = Duration::ZERO;
        for number in 0.. {
            // Equidistributed, in no particular order.
            let share = (f64::from(number) * 0.618_033_988_75).fract();
            due += Duration::from_secs_f64(-(1.0 - share).ln() / rate);
            if due > self.time {
                break;
            }
            tokio::time::sleep_until((began + due).into()).await;
            let number = number as usize;
            let connection = self.connections[number % CONNECTIONS].clone();
            calls.spawn(async move {
                let request = raw("minilm", &[("text", texts(&[&text(number)]))]);
                let answer = connection.inference().model_infer(request).await;
                answer.expect("an answer");
                // From when it was due: a caller that is late waits, too.
                (began.elapsed() - due).as_secs_f64() * 1e3
            });
        }
        calls.join_all().await
    }
}

/// Ends a batch before its end.
async fn stop(batch: Process) {
    batch.signal("TERM");
    let ended = batch.end().await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
}

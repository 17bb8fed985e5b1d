//! Measures the driver with many callers, and the scheduler with many rows that wait.
//!
//! ```text
//! cargo run --release -p motet-batcher --example callers -- --a-ms 3 --b-us 0.2
//! ```
//!
//! Callers in closed loop, each a flow of its own, who come back when they are told to, ask an
//! executor that sleeps as long as its model would compute: it prints the rows answered a second,
//! and the processor time of a call, refusals included. Then it prints the time that
//! `Scheduler::admit` takes to refuse a call beside many rows of many flows.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use motet_batcher::{
    Arrival, BatchError, Batcher, BuildError, Call, Executor, Flow, Lookahead, Measurement,
    NoObserver, Options, Priority, RowError, Scheduler, Time,
};

/// Tokens of each row.
const TOKENS: u32 = 64;
/// Refusals of which the mean time is printed.
const REFUSALS: u32 = 20_000;

/// Measures the driver with many callers, and refusals beside many rows that wait.
#[derive(Parser)]
struct Arguments {
    /// Fixed milliseconds of a batch.
    #[arg(long, default_value_t = 3.0)]
    a_ms: f64,
    /// Microseconds of each token.
    #[arg(long, default_value_t = 0.2)]
    b_us: f64,
    /// Numbers of callers.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 2000])]
    callers: Vec<usize>,
    /// Executors.
    #[arg(long, default_value = "1")]
    executors: NonZeroUsize,
    /// Time for which each number of callers is measured, after one second.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "4s")]
    time: Duration,
    /// Numbers of rows that wait while calls are refused, at least 256.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [1000, 16_000],
        value_parser = clap::value_parser!(u32).range(256..=1_000_000),
    )]
    queued: Vec<u32>,
}

impl Arguments {
    fn model(&self) -> Sleeper {
        Sleeper {
            fixed: 1e-3 * self.a_ms,
            per_token: 1e-6 * self.b_us,
        }
    }
}

/// An executor that sleeps as long as a model would compute.
#[derive(Clone, Copy)]
struct Sleeper {
    fixed: f64,
    per_token: f64,
}

impl Sleeper {
    fn duration(&self, tokens: u64) -> Duration {
        Duration::from_secs_f64(self.fixed + self.per_token * tokens as f64)
    }
}

impl Executor for Sleeper {
    type Row = u32;
    type Output = u32;

    fn run(&mut self, rows: &[&u32]) -> Result<Vec<Result<u32, RowError>>, BatchError> {
        let tokens = rows.iter().map(|tokens| u64::from(**tokens)).sum();
        std::thread::sleep(self.duration(tokens));
        Ok(rows.iter().map(|row| Ok(**row)).collect())
    }

    fn sample(&self, tokens: u32) -> Option<(u32, u32)> {
        Some((tokens, tokens))
    }
}

/// Rows that callers were answered, and calls that were refused.
#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
}

/// Asks again and again; comes back after a refusal when it is told to.
async fn ask(batcher: Batcher<u32, u32>, flow: Flow, counts: Arc<Counts>) {
    loop {
        let call = Call {
            rows: vec![(TOKENS, TOKENS)],
            groups: Vec::new(),
            deadline: Some(Instant::now() + Duration::from_secs(30)),
            priority: Priority::Interactive,
            flow,
            lookahead: Lookahead::default(),
        };
        match batcher.submit(call).await {
            Ok(_) => {
                counts.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(refusal) => {
                let Some(pause) = refusal.retry_after() else {
                    return;
                };
                counts.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn flow(key: usize) -> Flow {
    Flow::default().under(key as u64, Flow::USUAL_SHARE)
}

/// Returns the processor time of this process: user and system, in hundredths of a second.
fn processor_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("Linux is needed")?;
    // The name of the command, in parentheses, may have spaces.
    let (_, fields) = stat.rsplit_once(')').context("no command")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

async fn measure_callers(arguments: &Arguments, callers: usize) -> Result<()> {
    let model = arguments.model();
    let factory = move || Ok::<_, BuildError>(model);
    let factories = vec![factory; arguments.executors.get()];
    let observer = Arc::new(NoObserver);
    let batcher = Batcher::spawn("sleeper", Options::default(), observer, factories).await?;
    let counts = Arc::new(Counts::default());
    let tasks = (0..callers).map(|caller| ask(batcher.clone(), flow(caller), counts.clone()));
    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = || {
        let refused = counts.refused.load(Ordering::Relaxed);
        (counts.answered.load(Ordering::Relaxed), refused)
    };
    let (before, started, processor) = (read(), Instant::now(), processor_seconds()?);
    let batches = batcher.stats().batches_started;
    tokio::time::sleep(arguments.time).await;
    let (after, seconds) = (read(), started.elapsed().as_secs_f64());
    let processor = processor_seconds()? - processor;
    let batches = batcher.stats().batches_started - batches;
    let (answered, refused) = (after.0 - before.0, after.1 - before.1);
    println!(
        "{callers} callers: {:.0} rows/s, {:.0} refused/s, {:.1} rows a batch, \
         {:.1} us of processor time a row",
        answered as f64 / seconds,
        refused as f64 / seconds,
        answered as f64 / batches.max(1) as f64,
        1e6 * processor / answered.max(1) as f64,
    );
    for task in tasks {
        task.abort();
    }
    batcher.drain().await;
    Ok(())
}

/// Prints the mean time of a refusal beside `queued` rows in calls of `rows` rows, which fall due
/// two milliseconds after each other: because the queue is full, or in one that has room because
/// the answer would be late.
fn measure_refusals(
    arguments: &Arguments,
    queued: usize,
    rows: usize,
    is_full: bool,
) -> Result<()> {
    let model = arguments.model();
    let options = Options {
        max_queue_size: if is_full { queued } else { 4 * queued },
        ..Options::default()
    };
    let mut scheduler = Scheduler::new(options, 1);
    let measurements = [64, 256, 1024, 4096, 8192].map(|tokens| Measurement {
        rows: (tokens / u64::from(TOKENS)) as usize,
        tokens,
        duration: model.duration(tokens),
    });
    scheduler.calibrate(&measurements);
    let tokens = vec![TOKENS; rows];
    let mut admit = |now: Time, caller: usize, deadline: Duration| {
        let arrival = Arrival {
            tokens: &tokens,
            groups: &[],
            deadline: Some(now.after(deadline)),
            priority: Priority::Interactive,
            flow: flow(caller),
            lookahead: Lookahead::default(),
        };
        scheduler
            .admit(now, arrival)
            .map_err(|refusal| refusal.reason())?;
        // The first rows run for ever, and the others wait.
        black_box(scheduler.poll(now));
        Ok::<(), &str>(())
    };
    let (now, long) = (Time::ZERO, Duration::from_secs(100_000));
    // The first call does not wait.
    let calls = queued / rows + 1;
    for caller in 0..calls {
        let deadline = long + Duration::from_millis(2) * caller as u32;
        let admitted = admit(now, caller, deadline);
        ensure!(admitted.is_ok(), "call {caller} was refused: {admitted:?}");
    }
    let (deadline, expected) = match is_full {
        true => (long, "queue_full"),
        // The batch that runs ends later.
        false => (
            model.duration(u64::from(TOKENS) * rows as u64) * 3 / 2,
            "would_be_late",
        ),
    };
    let started = Instant::now();
    for number in 0..REFUSALS {
        // Half of them of flows that wait, half of others.
        let refused = admit(now, number as usize % (2 * calls), deadline);
        ensure!(
            refused == Err(expected),
            "call {number}: {refused:?}, not {expected}"
        );
    }
    let mean = 1e6 * started.elapsed().as_secs_f64() / f64::from(REFUSALS);
    println!("refusal {expected}: {mean:.2} us, beside {queued} rows in calls of {rows}");
    Ok(())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()?;
    for &callers in &arguments.callers {
        runtime.block_on(measure_callers(&arguments, callers))?;
    }
    for &queued in &arguments.queued {
        for (rows, is_full) in [(1, true), (16, true), (1, false), (16, false)] {
            measure_refusals(&arguments, queued as usize, rows, is_full)?;
        }
    }
    Ok(())
}

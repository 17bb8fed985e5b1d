//! Plays traffic against the batcher, or another server's policy, in virtual time.
//!
//! ```text
//! simulate() { cargo run --release -p motet-batcher --example simulate -- "$@"; }
//! simulate --trace T.csv --cost a_ms=3,b_us=160,noise=0.05 --policy adaptive --json
//! simulate --closed-loop callers=8,think_ms=0.3,requests=20000 --cost a_ms=3,b_us=0.2
//! simulate --suite services/batcher/docs
//! ```

mod chain;
mod plot;
mod plots;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use motet_batcher::{Layout, Options, Policy, Time};
use motet_batcher_simulator::{
    ClosedLoop, Machine, PolicyKind, Report, Scenario, Traffic, parse_trace,
};

/// Simulates a batcher: a trace or closed-loop callers, a machine of known cost, a policy.
#[derive(Parser)]
struct Arguments {
    /// CSV file with the columns arrival_ms,tokens,deadline_ms,priority,flow,rows, of which the
    /// last four may be missing or empty; the deadline counts from the arrival.
    #[arg(
        long,
        conflicts_with = "closed_loop",
        required_unless_present_any = ["closed_loop", "suite"]
    )]
    trace: Option<PathBuf>,
    /// Instead of a trace: callers=8,think_ms=0.3,requests=20000; optional are
    /// tokens=64,deadline_ms=200.
    #[arg(long)]
    closed_loop: Option<String>,
    /// Cost of a batch: a_ms=3,b_us=160,noise=0.05; optional are shift_at_ms=5000,shift=3, from
    /// which time on a batch takes three times as long.
    #[arg(long, default_value = "a_ms=3,b_us=160,noise=0.05")]
    cost: String,
    /// Executors.
    #[arg(long, default_value_t = 1)]
    executors: usize,
    /// adaptive, greedy, fixed:WINDOW_MS, bentoml, kserve, mlserver, triton, aimd or tei.
    #[arg(long, default_value = "adaptive")]
    policy: PolicyKind,
    /// Most rows in a batch. Default: none, max_batch_tokens limits it.
    #[arg(long)]
    max_batch_size: Option<usize>,
    /// Most tokens in a batch.
    #[arg(long, default_value_t = 8192)]
    max_batch_tokens: u64,
    /// Default deadline of requests without one; the objective of policies that have one.
    #[arg(long, value_parser = humantime::parse_duration)]
    max_latency: Option<Duration>,
    /// Longest deliberate wait. Default 20ms, or max_latency where that is shorter.
    #[arg(long, value_parser = humantime::parse_duration)]
    max_queue_delay: Option<Duration>,
    /// Most rows in the queue.
    #[arg(long, default_value_t = 1024)]
    max_queue_size: usize,
    /// Share of bulk rows under pressure.
    #[arg(long, default_value_t = 0.1)]
    bulk_share: f64,
    /// The executor pads rows to the longest.
    #[arg(long)]
    padded: bool,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Run every scenario, and write a table and plots into this directory.
    #[arg(long, num_args = 0..=1, default_missing_value = "services/batcher/docs")]
    suite: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(directory) = &arguments.suite {
        return suite::write(directory);
    }
    let usual = Options::default().max_queue_delay;
    let shortest = arguments
        .max_latency
        .map_or(usual, |latency| latency.min(usual));
    let options = Options {
        max_batch_size: arguments.max_batch_size,
        max_batch_tokens: arguments.max_batch_tokens,
        max_row_tokens: None,
        max_latency: arguments.max_latency,
        max_queue_delay: arguments.max_queue_delay.unwrap_or(shortest),
        max_queue_size: arguments.max_queue_size,
        bulk_share: arguments.bulk_share,
        stuck_after: Options::default().stuck_after,
        lookahead: true,
        policy: Policy::Adaptive,
        layout: if arguments.padded {
            Layout::Padded
        } else {
            Layout::Packed
        },
    };
    if let Err(problems) = options.validate() {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("{}", problems.join("\n"));
    }
    ensure!(arguments.executors > 0, "--executors: must be at least 1");
    let traffic = match (&arguments.trace, &arguments.closed_loop) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Traffic::Open(parse_trace(&text).with_context(|| format!("in {}", path.display()))?)
        }
        (None, Some(text)) => Traffic::Closed(closed_loop(text).context("--closed-loop")?),
        (None, None) => bail!("give --trace or --closed-loop"),
    };
    let simulation = Scenario {
        traffic,
        machine: machine(&arguments.cost).context("--cost")?,
        executors: arguments.executors,
        options,
        policy: arguments.policy,
        seed: arguments.seed,
    };
    let report = simulation.run().report(arguments.max_latency);
    let policy = arguments.policy.to_string();
    println!(
        "{}",
        if arguments.json {
            report.json(&policy)
        } else {
            text(&report, &policy)
        }
    );
    Ok(())
}

/// Reads `key=number,key=number`; every key must be known.
fn numbers<const N: usize>(text: &str, known: [&str; N], mut values: [f64; N]) -> Result<[f64; N]> {
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (key, value) = part
            .split_once('=')
            .with_context(|| format!("{part:?} is not key=number"))?;
        let place = known.iter().position(|known| *known == key.trim());
        let place = place.with_context(|| format!("{key:?} is none of {}", known.join(", ")))?;
        let value: f64 = value
            .trim()
            .parse()
            .with_context(|| format!("{value:?} is not a number"))?;
        ensure!(
            value.is_finite() && value >= 0.0,
            "{key} must be at least 0"
        );
        values[place] = value;
    }
    Ok(values)
}

fn machine(text: &str) -> Result<Machine> {
    let [a_ms, b_us, noise, shift_at_ms, shift] = numbers(
        text,
        ["a_ms", "b_us", "noise", "shift_at_ms", "shift"],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    )?;
    ensure!(a_ms + b_us > 0.0, "a_ms or b_us must be above 0");
    let mut machine = Machine::new(a_ms, b_us, noise);
    if shift != 1.0 {
        machine
            .shifts
            .push((Time::from_seconds(shift_at_ms * 1e-3), shift));
    }
    Ok(machine)
}

fn closed_loop(text: &str) -> Result<ClosedLoop> {
    let known = ["callers", "think_ms", "requests", "tokens", "deadline_ms"];
    let [callers, think_ms, requests, tokens, deadline_ms] =
        numbers(text, known, [8.0, 0.3, 20_000.0, 64.0, 0.0])?;
    ensure!(
        callers >= 1.0 && requests >= 1.0,
        "callers and requests must be at least 1"
    );
    let deadline = (deadline_ms > 0.0).then(|| Duration::from_secs_f64(deadline_ms * 1e-3));
    Ok(ClosedLoop {
        callers: callers as usize,
        think: think_ms * 1e-3,
        requests: requests as usize,
        tokens,
        deadline,
    })
}

fn text(report: &Report, policy: &str) -> String {
    let all = &report.all;
    let mut text = format!(
        "{policy}: {} completed, {} refused, {} expired; {:.1}/s, {:.1}/s in time\n\
         latency ms: mean {:.3}, p50 {:.3}, p90 {:.3}, p99 {:.3}\n\
         batches: {:.2} rows, {:.0} tokens, {:.3} ms deliberate wait",
        all.completed,
        all.refused,
        all.expired,
        all.throughput_per_s,
        all.goodput_per_s,
        all.mean_ms,
        all.p50_ms,
        all.p90_ms,
        all.p99_ms,
        report.batch_rows_mean,
        report.batch_tokens_mean,
        report.deliberate_wait_ms_mean
    );
    if let Some((interactive, bulk)) = &report.by_priority {
        for (name, part) in [("interactive", interactive), ("bulk", bulk)] {
            text += &format!(
                "\n{name}: {} completed, {:.1}/s, mean {:.3} ms, p99 {:.3} ms",
                part.completed, part.throughput_per_s, part.mean_ms, part.p99_ms
            );
        }
    }
    text
}

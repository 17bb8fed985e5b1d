//! Every scenario under every policy: a table, and plots of what a table does not show.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use motet_batcher::{Options, Policy};
use motet_batcher_simulator::scenarios::{ARRIVALS, Arrivals, Lengths, machines, requests};
use motet_batcher_simulator::{ClosedLoop, Machine, PolicyKind, Recording, Scenario, Traffic};

use crate::chain::Chain;
use crate::plots;

pub(crate) const SEED: u64 = 1;
const OBJECTIVE: Duration = Duration::from_millis(200);

pub(crate) fn policies() -> Vec<PolicyKind> {
    let fixed = PolicyKind::Motet(Policy::Fixed(Duration::from_millis(5)));
    vec![
        PolicyKind::Motet(Policy::Adaptive),
        PolicyKind::Motet(Policy::Greedy),
        fixed,
        PolicyKind::BentoMl,
        PolicyKind::KServe,
        PolicyKind::MlServer,
        PolicyKind::Triton,
        PolicyKind::Aimd,
        PolicyKind::Tei,
    ]
}

pub(crate) fn play(traffic: &Traffic, machine: &Machine, policy: PolicyKind) -> Recording {
    // Windows of the peers that need one: 5 ms, as the fixed window of ours; our own rule finds its window below its usual cap.
    let ours = matches!(policy, PolicyKind::Motet(_));
    let max_queue_delay = Duration::from_millis(if ours { 20 } else { 5 });
    let options = Options {
        max_queue_delay,
        max_queue_size: 100_000,
        ..Options::default()
    };
    Scenario {
        traffic: traffic.clone(),
        machine: machine.clone(),
        executors: 1,
        options,
        policy,
        seed: SEED,
    }
    .run()
}

pub(crate) fn open(machine: &Machine, arrivals: Arrivals, lengths: Lengths, load: f64) -> Traffic {
    let rate = load * machine.saturation(32, 8192, 64.0);
    Traffic::Open(requests(
        arrivals,
        lengths,
        rate,
        (5000.0 / rate).max(5.0),
        SEED,
    ))
}

/// Writes `SIMULATION.md` and its plots.
pub(crate) fn write(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let put = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("SIMULATION.md", tables())?;
    put("latency.svg", plots::latency(1, (3.0, 50.0)).svg())?;
    put("latency-cpu.svg", plots::latency(0, (20.0, 1000.0)).svg())?;
    put("burst.svg", plots::burst().svg())
}

fn tables() -> String {
    let mut text = String::from(
        "# The batcher in simulation\n\nWritten by `cargo run --release -p motet-batcher --example simulate -- --suite`; the seed is fixed, so a change of \
         the batcher shows here as a change of these numbers.\nLoad is a share of what the machine can do with full batches of 32 rows of 64 tokens. Every window that has to be \
         set by hand is 5 ms. All hold 32 rows a batch at most, except `tei`, whose budget is tokens alone.\n\n![Latency against load, GPU encoder](latency.svg)\n\n![Latency against load, CPU encoder](latency-cpu.svg)\n\n![A burst](burst.svg)\n\n\
         ## What it shows\n\n\
         * Independent arrivals: waiting buys nothing, and the adaptive rule hardly ever waits; it is greedy to within noise. Every fixed window costs its own length at low load.\n\
         * Requests that come together (fan-out) on a machine whose batches cost much the same whatever their size (GPU encoder): it waits a moment and gathers them.\n\
         * The same where time is mostly tokens (CPU encoder, cross-encoder): there is nothing to gather for, but everybody in a batch waits for its end, so a queue is answered \
         sooner in several short batches. It takes as many rows as pay, more the busier it is, and all there are near saturation.\n\
         * Closed-loop callers on a GPU: it keeps them in one cohort, where greedy splits them in two; a fixed window does as well only where its length happens to fit the number of callers.\n\
         * Overload: refusing early what would be late keeps the machine busy with work that counts; deadlines that differ do not matter to it.\n\
         * Where it gains nothing: independent arrivals on a GPU, tiny models, and anything near saturation. With one common deadline under overload it is at what the machine can \
         do, and so is every policy that refuses in time; BentoML loses to it about the half tick of 1 ms that its dispatcher sleeps for each batch.\n",
    );
    let title = "Open loop: mean latency (and 99th percentile) in ms";
    table(
        &mut text,
        title,
        |rows| {
            for (name, machine) in machines() {
                for (kind, arrivals) in ARRIVALS {
                    for load in [0.1, 0.6, 0.95] {
                        rows.push((
                            format!("{name}, {kind}, {load}"),
                            open(&machine, arrivals, Lengths::HeavyTailed, load),
                            machine.clone(),
                        ));
                    }
                }
            }
        },
        |run| {
            let all = run.report(None).all;
            format!("{:.2} ({:.1})", all.mean_ms, all.p99_ms)
        },
    );
    table(
        &mut text,
        "Closed loop: answers a second",
        |rows| {
            for (name, machine) in machines() {
                for (callers, think) in [(1, 0.3), (8, 0.3), (32, 0.3), (128, 0.3), (32, 20.0)] {
                    let closed = ClosedLoop {
                        callers,
                        think: think * 1e-3,
                        requests: 5000,
                        tokens: 64.0,
                        deadline: None,
                    };
                    rows.push((
                        format!("{name}, {callers} callers, think {think} ms"),
                        Traffic::Closed(closed),
                        machine.clone(),
                    ));
                }
            }
        },
        |run| format!("{:.0}", run.report(None).all.throughput_per_s),
    );
    overload(&mut text, "200 ms", |_| OBJECTIVE);
    overload(&mut text, "50, 100, 150 or 200 ms", |number| {
        OBJECTIVE * (1 + (number * 7 % 4) as u32) / 4
    });
    chains(&mut text);
    text
}

/// Adds the table of requests that come twice, with and without saying so.
fn chains(text: &mut String) {
    let _ = write!(
        text,
        "\n## Requests that come twice: mean latency in ms\n\nA row, and about 1 or 2 ms later eight more of the same request, as when a pipeline embeds a query while it \
         splits documents. `announced`: the first call says that the others will come (`motet.sequel_rows`), which a gateway can know. The learnt window finds most of it; on a CPU \
         there is nothing to find.\n\n| scenario | adaptive, announced | adaptive | greedy |\n|---|---:|---:|---:|\n",
    );
    for (name, machine) in &machines()[..2] {
        for (callers, think) in [(1, 20.0), (8, 50.0), (8, 0.3), (32, 200.0)] {
            for between in [1.0, 2.0] {
                let chain = Chain {
                    callers,
                    think: think * 1e-3,
                    between: between * 1e-3,
                };
                let mean = |policy, announce| chain.mean_ms(machine, policy, announce);
                let _ = writeln!(
                    text,
                    "| {name}, {callers} callers, think {think} ms, {between} ms between | {:.2} | {:.2} | {:.2} |",
                    mean(Policy::Adaptive, true),
                    mean(Policy::Adaptive, false),
                    mean(Policy::Greedy, false),
                );
            }
        }
    }
}

/// Adds the table of one kind of overload, in which request `number` has the deadline that `of` gives.
fn overload(text: &mut String, deadline: &str, of: impl Fn(usize) -> Duration) {
    table(
        text,
        &format!("Overload, deadline {deadline}: answers in time a second"),
        |rows| {
            for (name, machine) in machines() {
                for load in [1.2, 2.0, 4.0] {
                    let Traffic::Open(mut requests) =
                        open(&machine, Arrivals::Poisson, Lengths::Even, load)
                    else {
                        continue;
                    };
                    for (number, request) in requests.iter_mut().enumerate() {
                        request.deadline = Some(of(number));
                    }
                    rows.push((
                        format!("{name}, {load}"),
                        Traffic::Open(requests),
                        machine.clone(),
                    ));
                }
            }
        },
        |run| format!("{:.0}", run.report(None).all.goodput_per_s),
    );
}

/// Adds one table: a row for each scenario, a column for each policy.
fn table(
    text: &mut String,
    title: &str,
    scenarios: impl Fn(&mut Vec<(String, Traffic, Machine)>),
    cell: impl Fn(&Recording) -> String,
) {
    let overload = title.starts_with("Overload");
    let mut rows = Vec::new();
    scenarios(&mut rows);
    let names: Vec<String> = policies().iter().map(ToString::to_string).collect();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n## {title}\n\n| scenario | {} |\n|---|{}\n",
        names.join(" | "),
        "---:|".repeat(names.len())
    );
    for (name, traffic, machine) in rows {
        let cells: Vec<String> = policies()
            .into_iter()
            .map(|policy| {
                if !overload {
                    return cell(&play(&traffic, &machine, policy));
                }
                let options = Options {
                    max_latency: Some(OBJECTIVE),
                    max_queue_delay: Duration::from_millis(5),
                    ..Options::default()
                };
                cell(
                    &Scenario {
                        traffic: traffic.clone(),
                        machine: machine.clone(),
                        executors: 1,
                        options,
                        policy,
                        seed: SEED,
                    }
                    .run(),
                )
            })
            .collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
}

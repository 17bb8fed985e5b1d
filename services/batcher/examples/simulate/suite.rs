//! Every scenario under every policy: tables, and plots over load and time.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use motet_batcher::{Options, Policy};
use motet_batcher_simulator::scenarios::{ARRIVALS, Arrivals, Lengths, machines, requests};
use motet_batcher_simulator::{ClosedLoop, Machine, PolicyKind, Recording, Scenario, Traffic};

use crate::chain::Chain;
use crate::plots;

/// Seed of all scenarios.
pub(crate) const SEED: u64 = 1;
/// Mean tokens of a request.
pub(crate) const MEAN_TOKENS: f64 = 64.0;
/// Most rows of a batch under the policies of other servers: those that the limit of tokens holds
/// in the mean.
const PEER_ROWS: usize = 128;
/// The text before the tables.
const INTRODUCTION: &str = include_str!("introduction.md");
/// The latency objective, and the longest deadline, under overload.
const OBJECTIVE: Duration = Duration::from_millis(200);

/// The policies that are compared, in the order of the columns.
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

/// Returns the limits of a batch under a policy.
fn limits_of(policy: PolicyKind) -> Options {
    let ours = matches!(policy, PolicyKind::Motet(_));
    Options {
        max_batch_size: (!ours).then_some(PEER_ROWS),
        ..Options::default()
    }
}

/// Runs one scenario.
pub(crate) fn play(traffic: &Traffic, machine: &Machine, policy: PolicyKind) -> Recording {
    // Other servers wait 5 ms where they need a window, as our fixed window does; the adaptive
    // policy finds its own, within the default limit.
    let ours = matches!(policy, PolicyKind::Motet(_));
    let max_queue_delay = Duration::from_millis(if ours { 20 } else { 5 });
    let options = Options {
        max_queue_delay,
        max_queue_size: 100_000,
        ..limits_of(policy)
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

/// Returns open-loop requests at a share of the machine's saturation.
pub(crate) fn open(machine: &Machine, arrivals: Arrivals, lengths: Lengths, load: f64) -> Traffic {
    let rate = load * machine.saturation(&Options::default(), MEAN_TOKENS);
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
    let mut text = INTRODUCTION.to_owned();
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

/// Adds the table of requests that come twice, announced or not.
fn chains(text: &mut String) {
    let _ = write!(
        text,
        "\n## Requests that come twice: mean latency in ms\n\n\
         A row, and about 1 or 2 ms later eight more of the same request, as when a pipeline\n\
         embeds a query while it splits documents. `announced`: the first call says that the\n\
         others will come (`motet.sequel_rows`), which a gateway can know. The learnt window\n\
         gains most of it; on a CPU there is nothing to gain.\n\n\
         | scenario | adaptive, announced | adaptive | greedy |\n|---|---:|---:|---:|\n",
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
                    "| {name}, {callers} callers, think {think} ms, {between} ms between \
                     | {:.2} | {:.2} | {:.2} |",
                    mean(Policy::Adaptive, true),
                    mean(Policy::Adaptive, false),
                    mean(Policy::Greedy, false),
                );
            }
        }
    }
}

/// Adds the table of one kind of overload; `of` gives the deadline of a request by its number.
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
                    ..limits_of(policy)
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

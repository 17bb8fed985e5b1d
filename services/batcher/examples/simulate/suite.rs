//! Every scenario under every policy: a table, and plots of what a table does not show.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use motet_batcher::simulator::scenarios::{
    ARRIVALS, Arrivals, Lengths, machines, requests, with_deadline,
};
use motet_batcher::simulator::{ClosedLoop, Machine, Policies, Request, Run, Simulation, Traffic};
use motet_batcher::{Options, Policy, Time};

use crate::plot::{Axis, Plot};

const SEED: u64 = 1;
const OBJECTIVE: Duration = Duration::from_millis(200);

fn policies() -> Vec<Policies> {
    let fixed = Policies::Motet(Policy::Fixed(Duration::from_millis(5)));
    vec![
        Policies::Motet(Policy::Adaptive),
        Policies::Motet(Policy::Greedy),
        fixed,
        Policies::BentoMl,
        Policies::KServe,
        Policies::MlServer,
        Policies::Triton,
        Policies::Aimd,
        Policies::Tei,
    ]
}

fn play(traffic: &Traffic, machine: &Machine, policy: Policies) -> Run {
    // Windows of the peers that need one: 5 ms, as the fixed window of ours; our own rule finds its window below its usual cap.
    let ours = matches!(policy, Policies::Motet(_));
    let max_queue_delay = Duration::from_millis(if ours { 20 } else { 5 });
    let options = Options {
        max_queue_delay,
        max_queue_size: 100_000,
        ..Options::default()
    };
    Simulation {
        traffic: traffic.clone(),
        machine: machine.clone(),
        executors: 1,
        options,
        policy,
        seed: SEED,
    }
    .run()
}

fn open(machine: &Machine, arrivals: Arrivals, lengths: Lengths, load: f64) -> Traffic {
    let rate = load * machine.saturation(32, 8192, 64.0);
    Traffic::Open(requests(
        arrivals,
        lengths,
        rate,
        (5000.0 / rate).max(5.0),
        SEED,
    ))
}

/// Writes `SIMULATION.md`, `latency.svg` and `burst.svg`.
pub(crate) fn write(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let put = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("SIMULATION.md", tables())?;
    put("latency.svg", latency_plot().svg())?;
    put("burst.svg", burst_plot().svg())
}

fn tables() -> String {
    let mut text = String::from(
        "# The batcher in simulation\n\nWritten by `cargo run --release -p motet-batcher --example simulate -- --suite`; the seed is fixed, so a change of \
         the batcher shows here as a change of these numbers.\nLoad is a share of what the machine can do with full batches of 32 rows of 64 tokens. Every window that has to be \
         set by hand is 5 ms. All hold 32 rows a batch at most, except `tei`, whose budget is tokens alone.\n\n![Latency against load](latency.svg)\n\n![A burst](burst.svg)\n\n\
         ## What it shows\n\n\
         * Independent arrivals: waiting buys nothing, and the adaptive rule hardly ever waits; it is greedy to within noise. Every fixed window costs its own length at low load.\n\
         * Requests that come together (fan-out) on a machine whose batches cost much the same whatever their size: it gathers them. Where time is all tokens (CPU encoder), there is nothing to gather for.\n\
         * Closed-loop callers on such a machine: it keeps them in one cohort, where greedy splits them in two; a fixed window does as well only where its length happens to fit the number of callers.\n\
         * Overload: refusing early what would be late keeps the machine busy with work that counts.\n\
         * What it does not do: a CPU encoder answers small groups sooner one by one than as one batch (see `triton`, which cuts them to four); it always runs what is there.\n",
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
    table(
        &mut text,
        "Overload, deadline 200 ms: answers in time a second",
        |rows| {
            for (name, machine) in machines() {
                for load in [1.2, 2.0, 4.0] {
                    let Traffic::Open(requests) =
                        open(&machine, Arrivals::Poisson, Lengths::Even, load)
                    else {
                        continue;
                    };
                    rows.push((
                        format!("{name}, {load}"),
                        Traffic::Open(with_deadline(requests, OBJECTIVE)),
                        machine.clone(),
                    ));
                }
            }
        },
        |run| format!("{:.0}", run.report(None).all.goodput_per_s),
    );
    text
}

/// Adds one table: a row for each scenario, a column for each policy.
fn table(
    text: &mut String,
    title: &str,
    scenarios: impl Fn(&mut Vec<(String, Traffic, Machine)>),
    cell: impl Fn(&Run) -> String,
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
                    &Simulation {
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

/// Mean latency against load on the GPU encoder, requests fanned out by eight.
fn latency_plot() -> Plot {
    let (_, machine) = &machines()[1];
    let loads = [
        0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95,
    ];
    let lines = policies().into_iter().map(|policy| {
        let mean = |load: f64| {
            play(
                &open(machine, Arrivals::FanOut, Lengths::Even, load),
                machine,
                policy,
            )
            .report(None)
            .all
            .mean_ms
        };
        (
            policy.to_string(),
            loads.iter().map(|load| (*load, mean(*load))).collect(),
        )
    });
    Plot {
        title: "Mean latency against load: GPU encoder, requests fanned out by 8".to_owned(),
        x: Axis {
            label: "load, share of saturation",
            logarithmic: false,
            range: (0.0, 1.0),
        },
        y: Axis {
            label: "mean latency, ms",
            logarithmic: true,
            range: (3.0, 50.0),
        },
        lines: lines.collect(),
    }
}

/// Rows of a batch, deliberate wait and latency over time, through a burst of fan-outs on the GPU encoder.
fn burst_plot() -> Plot {
    let (_, machine) = &machines()[1];
    let saturation = machine.saturation(32, 8192, 64.0);
    let mut all = requests(
        Arrivals::Poisson,
        Lengths::Even,
        0.02 * saturation,
        6.0,
        SEED,
    );
    let burst = requests(
        Arrivals::FanOut,
        Lengths::Even,
        0.6 * saturation,
        2.0,
        SEED + 1,
    );
    all.extend(burst.into_iter().map(|request| Request {
        arrival: request.arrival.plus_seconds(2.0),
        ..request
    }));
    all.sort_by_key(|request| request.arrival);
    let run = play(
        &Traffic::Open(all),
        machine,
        Policies::Motet(Policy::Adaptive),
    );
    let step = 0.1;
    let mean = |value: &dyn Fn(&motet_batcher::simulator::RanBatch) -> f64| {
        let bins = (0..60).filter_map(|bin| {
            let from = f64::from(bin) * step;
            let (from_time, to_time) = (Time::from_seconds(from), Time::from_seconds(from + step));
            let inside: Vec<f64> = run
                .batches
                .iter()
                .filter(|batch| (from_time..to_time).contains(&batch.started))
                .map(value)
                .collect();
            (!inside.is_empty()).then(|| {
                (
                    from + step / 2.0,
                    inside.iter().sum::<f64>() / inside.len() as f64,
                )
            })
        });
        bins.collect::<Vec<_>>()
    };
    let latency = (0..60).map(|bin| {
        let from = f64::from(bin) * step;
        (
            from + step / 2.0,
            run.between(Time::from_seconds(from), Time::from_seconds(from + step))
                .mean_ms,
        )
    });
    Plot {
        title: "Adaptive through a burst, 2 s to 4 s: GPU encoder".to_owned(),
        x: Axis {
            label: "seconds",
            logarithmic: false,
            range: (0.0, 6.0),
        },
        y: Axis {
            label: "rows, ms",
            logarithmic: true,
            range: (0.01, 50.0),
        },
        lines: vec![
            (
                "rows of a batch".to_owned(),
                mean(&|batch| batch.rows as f64),
            ),
            (
                "window, ms".to_owned(),
                mean(&|batch| (batch.deliberate_wait.as_secs_f64() * 1e3).max(0.01)),
            ),
            ("mean latency, ms".to_owned(), latency.collect()),
        ],
    }
}

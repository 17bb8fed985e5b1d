//! The plots that the suite writes.

use motet_batcher::{Options, Policy, Time};
use motet_batcher_simulator::scenarios::{Arrivals, Lengths, machines, requests};
use motet_batcher_simulator::{PolicyKind, Request, Traffic};

use crate::plot::{Axis, Plot};
use crate::suite::{MEAN_TOKENS, SEED, open, play, policies};

/// Mean latency in milliseconds, within `range`, against load on one of the machines, requests
/// fanned out by eight.
pub(crate) fn latency(machine: usize, range: (f64, f64)) -> Plot {
    let (name, machine) = &machines()[machine];
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
        title: format!("Mean latency against load: {name}, requests fanned out by 8"),
        x: Axis {
            label: "load, share of saturation",
            logarithmic: false,
            range: (0.0, 1.0),
        },
        y: Axis {
            label: "mean latency, ms",
            logarithmic: true,
            range,
        },
        lines: lines.collect(),
    }
}

/// Rows of a batch, deliberate wait and latency over time, through a burst of fan-outs on the GPU
/// encoder.
pub(crate) fn burst() -> Plot {
    let (_, machine) = &machines()[1];
    let saturation = machine.saturation(&Options::default(), MEAN_TOKENS);
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
        PolicyKind::Motet(Policy::Adaptive),
    );
    let step = 0.1;
    let mean = |value: &dyn Fn(&motet_batcher_simulator::RecordedBatch) -> f64| {
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

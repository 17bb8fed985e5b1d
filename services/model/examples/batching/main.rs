//! Measures the adaptive policy on the built-in encoder against greedy and a fixed window of 5 ms,
//! for open-loop, bursty and closed-loop callers. Prints a table and asserts nothing.
//!
//!     cargo run --release -p motet-service --example batching -- [--seconds 2] [--rounds 3]
//!
//! `--seconds` is the length of a slice. In each round each policy has a slice of each kind of
//! traffic, in turn and with the same arrivals, so that disturbances of the machine affect all
//! policies: compare the ratios, not the times. Texts have 5 to 150 words and are tokenized
//! beforehand; a call has one row and goes to the batcher directly, without gRPC. Loads are shares
//! of the throughput of 64 greedy callers at the start of the round. Requests of the first fifth of
//! a slice are not timed, since the batcher still adapts to the slice. The p99 of few requests (see
//! their column) means little: a slow machine needs longer slices.

mod outcome;
mod subject;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use motet_batcher::Policy;

use outcome::{Outcome, print};
use subject::subjects;
use traffic::TRAFFIC;

type Failure = Box<dyn std::error::Error + Send + Sync>;
/// The token ids of a text, which are a row.
type Ids = Arc<[u32]>;

const POLICIES: [(&str, Policy); 3] = [
    ("adaptive", Policy::Adaptive),
    ("greedy", Policy::Greedy),
    ("fixed 5ms", Policy::Fixed(Duration::from_millis(5))),
];
/// The index of the policy that the others are compared with.
const GREEDY: usize = 1;
/// Number of callers that measure saturation.
const SATURATING: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (seconds, rounds) = arguments(std::env::args().skip(1))?;
    let subjects = subjects().await?;
    let mut outcomes: Vec<[Outcome; 3]> = TRAFFIC.iter().map(|_| Default::default()).collect();
    for round in 0..rounds {
        let full = subjects[GREEDY].closed(SATURATING, seconds, 7).await;
        let saturation = full.throughput();
        if !saturation.is_finite() {
            return Err("no row was answered".into());
        }
        eprintln!("round {}: {saturation:.0} rows/s", round + 1);
        for (at, (_, traffic)) in TRAFFIC.into_iter().enumerate() {
            let seed = (round * TRAFFIC.len() + at) as u64 * 1000;
            for turn in 0..subjects.len() {
                // Another policy goes first in each round.
                let policy = (turn + round) % subjects.len();
                let subject = &subjects[policy];
                let before = subject.stats();
                let slice = subject.run(traffic, saturation, seconds, seed).await?;
                let after = subject.stats();
                outcomes[at][policy].add(slice, seconds, &before, &after);
            }
        }
    }
    for ((name, _), subject) in POLICIES.iter().zip(&subjects) {
        let stats = subject.stats();
        let (a, b) = (
            1e3 * stats.cost_fixed_seconds,
            1e6 * stats.cost_token_seconds,
        );
        eprintln!("{name}: estimated cost of a batch {a:.2} ms + {b:.1} us for each token");
    }
    outcomes.iter_mut().flatten().for_each(Outcome::sort);
    print(&outcomes);
    Ok(())
}

/// Returns the seconds of a slice and the number of rounds.
fn arguments(mut given: impl Iterator<Item = String>) -> Result<(f64, usize), Failure> {
    const USAGE: &str = "usage: batching [--seconds S] [--rounds N], S from 0.1, N from 1";
    let (mut seconds, mut rounds) = (2.0, 3);
    while let Some(flag) = given.next() {
        let value = given.next().ok_or(USAGE)?;
        match &*flag {
            "--seconds" => seconds = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    if rounds == 0 || !(0.1..=3600.0).contains(&seconds) {
        return Err(USAGE.into());
    }
    Ok((seconds, rounds))
}

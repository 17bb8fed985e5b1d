//! The outcomes of requests, and the table of them.

use std::time::Duration;

use motet_batcher::Stats;

use crate::traffic::TRAFFIC;
use crate::{GREEDY, POLICIES};

/// Share of a slice, from its start, whose requests are not timed.
const SETTLING: f64 = 0.2;

/// One request, answered when the last of its rows is; times are seconds from the start of the
/// slice.
pub(crate) struct Answered {
    pub(crate) began: f64,
    pub(crate) ended: f64,
    pub(crate) rows: usize,
}

#[derive(Default)]
pub(crate) struct Slice {
    answered: Vec<Answered>,
    refused: usize,
}

impl Slice {
    fn rows(&self) -> usize {
        self.answered.iter().map(|request| request.rows).sum()
    }

    /// Seconds until the last response, which can be later than the end of the slice.
    fn seconds(&self) -> f64 {
        let ends = self.answered.iter().map(|request| request.ended);
        ends.fold(0.0, f64::max)
    }

    /// Rows per second.
    pub(crate) fn throughput(&self) -> f64 {
        self.rows() as f64 / self.seconds()
    }

    pub(crate) fn extend(&mut self, requests: impl IntoIterator<Item = Option<Answered>>) {
        for request in requests {
            match request {
                Some(answered) => self.answered.push(answered),
                None => self.refused += 1,
            }
        }
    }
}

/// The outcome of one policy and one kind of traffic over all rounds.
#[derive(Default)]
pub(crate) struct Outcome {
    milliseconds: Vec<f64>,
    rows: usize,
    seconds: f64,
    refused: usize,
    batches: u64,
    rows_batched: u64,
    waited: Duration,
}

impl Outcome {
    pub(crate) fn add(&mut self, slice: Slice, seconds: f64, before: &Stats, after: &Stats) {
        self.refused += slice.refused;
        self.seconds += slice.seconds();
        self.rows += slice.rows();
        let timed = slice.answered.iter();
        let timed = timed.filter(|request| request.began >= SETTLING * seconds);
        let times = timed.map(|request| (request.ended - request.began) * 1e3);
        self.milliseconds.extend(times);
        self.batches += after.batches_started - before.batches_started;
        self.rows_batched += after.rows_answered - before.rows_answered;
        self.waited += after.deliberate_wait - before.deliberate_wait;
    }

    fn throughput(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    fn mean(&self) -> f64 {
        self.milliseconds.iter().sum::<f64>() / self.milliseconds.len() as f64
    }

    pub(crate) fn sort(&mut self) {
        self.milliseconds.sort_by(f64::total_cmp);
    }

    /// Returns a quantile; the times must be sorted.
    fn quantile(&self, share: f64) -> f64 {
        let last = self.milliseconds.len().checked_sub(1);
        last.map_or(f64::NAN, |last| {
            self.milliseconds[(share * last as f64).round() as usize]
        })
    }
}

/// Prints the table of all outcomes in Markdown, with `-` where nothing was timed.
pub(crate) fn print(outcomes: &[[Outcome; 3]]) {
    let heads = [
        "traffic",
        "policy",
        "requests",
        "rows/s",
        "mean ms",
        "p50 ms",
        "p99 ms",
        "rows/batch",
        "waited ms/batch",
        "rows/s : greedy",
        "mean : greedy",
        "p99 : greedy",
    ];
    println!("| {} |", heads.join(" | "));
    println!("|---|---|{}", "--:|".repeat(heads.len() - 2));
    let cell = |number: f64, digits: usize| match number.is_finite() {
        true => format!("{number:.digits$}"),
        false => "-".to_owned(),
    };
    for ((traffic, _), of_policies) in TRAFFIC.iter().zip(outcomes) {
        let greedy = &of_policies[GREEDY];
        for ((policy, _), outcome) in POLICIES.iter().zip(of_policies) {
            let batches = outcome.batches as f64;
            let cells = [
                cell(outcome.milliseconds.len() as f64, 0),
                cell(outcome.throughput(), 1),
                cell(outcome.mean(), 1),
                cell(outcome.quantile(0.5), 1),
                cell(outcome.quantile(0.99), 1),
                cell(outcome.rows_batched as f64 / batches, 1),
                cell(outcome.waited.as_secs_f64() * 1e3 / batches, 2),
                cell(outcome.throughput() / greedy.throughput(), 3),
                cell(outcome.mean() / greedy.mean(), 3),
                cell(outcome.quantile(0.99) / greedy.quantile(0.99), 3),
            ];
            println!("| {traffic} | {policy} | {} |", cells.join(" | "));
        }
    }
    let refused: usize = outcomes.iter().flatten().map(|o| o.refused).sum();
    if refused > 0 {
        println!("\n{refused} requests were refused or failed; they are in no column.");
    }
}

//! Latency and throughput of a run.

use std::time::Duration;

use motet_batcher::{Priority, Time};

use crate::simulation::{Recording, RequestOutcome};
use crate::traffic::Request;

/// Numbers about some of the requests of a run. Latencies are those of answered requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Requests answered, in time or not.
    pub completed: usize,
    /// Requests refused at once.
    pub refused: usize,
    /// Requests given up in the queue.
    pub expired: usize,
    /// Requests answered per second.
    pub throughput_per_s: f64,
    /// Requests answered within their deadline per second.
    pub goodput_per_s: f64,
    /// Mean latency.
    pub mean_ms: f64,
    /// Median latency.
    pub p50_ms: f64,
    /// 90th percentile of latency.
    pub p90_ms: f64,
    /// 99th percentile of latency.
    pub p99_ms: f64,
}

/// Numbers about a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// All requests.
    pub all: Summary,
    /// Interactive and bulk requests, where there are both.
    pub by_priority: Option<(Summary, Summary)>,
    /// Mean rows of a batch.
    pub batch_rows_mean: f64,
    /// Mean tokens of a batch.
    pub batch_tokens_mean: f64,
    /// Mean over batches of the time for which an executor was free with requests queued.
    pub deliberate_wait_ms_mean: f64,
    /// Seconds from the first arrival to the last answer.
    pub seconds: f64,
}

impl Recording {
    /// Returns the numbers of the whole run; requests without a deadline of their own have
    /// `default_deadline`.
    pub fn report(&self, default_deadline: Option<Duration>) -> Report {
        let first = self
            .requests
            .iter()
            .map(|request| request.arrival)
            .min()
            .unwrap_or_default();
        let last = self
            .outcomes
            .iter()
            .filter_map(|outcome| {
                if let RequestOutcome::Answered(time) = outcome {
                    Some(*time)
                } else {
                    None
                }
            })
            .max()
            .unwrap_or(first);
        let seconds = last.seconds_since(first).max(1e-9);
        let of = |priority: Priority| {
            self.summary(default_deadline, seconds, |request| {
                request.priority == priority
            })
        };
        let has = |priority: Priority| {
            self.requests
                .iter()
                .any(|request| request.priority == priority)
        };
        let batches = self.batches.len().max(1) as f64;
        Report {
            all: self.summary(default_deadline, seconds, |_| true),
            by_priority: (has(Priority::Interactive) && has(Priority::Bulk))
                .then(|| (of(Priority::Interactive), of(Priority::Bulk))),
            batch_rows_mean: self
                .batches
                .iter()
                .map(|batch| batch.rows as f64)
                .sum::<f64>()
                / batches,
            batch_tokens_mean: self
                .batches
                .iter()
                .map(|batch| batch.tokens as f64)
                .sum::<f64>()
                / batches,
            deliberate_wait_ms_mean: self
                .batches
                .iter()
                .map(|batch| batch.deliberate_wait.as_secs_f64() * 1e3)
                .sum::<f64>()
                / batches,
            seconds,
        }
    }

    /// Returns the numbers of the requests that arrive from `from` until `to`.
    pub fn between(&self, from: Time, to: Time) -> Summary {
        self.summary(None, to.seconds_since(from).max(1e-9), |request| {
            (from..to).contains(&request.arrival)
        })
    }

    /// Returns the numbers of some of the requests.
    pub fn of(&self, wanted: impl Fn(&Request) -> bool) -> Summary {
        let last = self.rows.last().map_or(0.0, |(time, _)| time.as_seconds());
        self.summary(None, last.max(1e-9), wanted)
    }

    fn summary(
        &self,
        default_deadline: Option<Duration>,
        seconds: f64,
        wanted: impl Fn(&Request) -> bool,
    ) -> Summary {
        let mut summary = Summary::default();
        let (mut latencies, mut in_time) = (Vec::new(), 0);
        for (request, outcome) in self
            .requests
            .iter()
            .zip(&self.outcomes)
            .filter(|(request, _)| wanted(request))
        {
            match outcome {
                RequestOutcome::Answered(time) => {
                    let latency = time.since(request.arrival);
                    in_time += usize::from(
                        request
                            .deadline
                            .or(default_deadline)
                            .is_none_or(|deadline| latency <= deadline),
                    );
                    latencies.push(latency.as_secs_f64() * 1e3);
                }
                RequestOutcome::Refused => summary.refused += 1,
                RequestOutcome::Expired => summary.expired += 1,
                RequestOutcome::Unknown => {}
            }
        }
        latencies.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let rank = (q * latencies.len() as f64).ceil() as usize;
            latencies
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        summary.completed = latencies.len();
        summary.throughput_per_s = latencies.len() as f64 / seconds;
        summary.goodput_per_s = f64::from(u32::try_from(in_time).unwrap_or(u32::MAX)) / seconds;
        summary.mean_ms = latencies.iter().sum::<f64>() / latencies.len().max(1) as f64;
        (summary.p50_ms, summary.p90_ms, summary.p99_ms) =
            (quantile(0.5), quantile(0.9), quantile(0.99));
        summary
    }
}

impl Summary {
    fn fields(&self) -> String {
        let Summary {
            completed,
            refused,
            expired,
            ..
        } = self;
        format!(
            "\"completed\": {completed}, \"refused\": {refused}, \"expired\": {expired}, \
             \"throughput_per_s\": {:.4}, \"goodput_per_s\": {:.4}, \
             \"mean_ms\": {:.5}, \"p50_ms\": {:.5}, \"p90_ms\": {:.5}, \"p99_ms\": {:.5}",
            self.throughput_per_s,
            self.goodput_per_s,
            self.mean_ms,
            self.p50_ms,
            self.p90_ms,
            self.p99_ms
        )
    }
}

impl Report {
    /// Returns the report as one JSON object.
    pub fn json(&self, policy: &str) -> String {
        let priorities = self.by_priority.as_ref().map(|(interactive, bulk)| {
            format!(
                ", \"interactive\": {{{}}}, \"bulk\": {{{}}}",
                interactive.fields(),
                bulk.fields()
            )
        });
        format!(
            "{{\"policy\": \"{policy}\", {}, \"batch_rows_mean\": {:.4}, \
             \"batch_tokens_mean\": {:.3}, \"deliberate_wait_ms_mean\": {:.5}{}}}",
            self.all.fields(),
            self.batch_rows_mean,
            self.batch_tokens_mean,
            self.deliberate_wait_ms_mean,
            priorities.unwrap_or_default()
        )
    }
}

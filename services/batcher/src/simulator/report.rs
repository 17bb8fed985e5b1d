//! What a run amounts to.

use std::time::Duration;

use super::{Fate, Run};
use crate::{Priority, Time};

/// Numbers about some of the requests of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Answered, in time or not.
    pub completed: usize,
    /// Refused at once.
    pub refused: usize,
    /// Given up in the queue.
    pub expired: usize,
    /// Answered a second.
    pub throughput_per_s: f64,
    /// Answered within the deadline a second.
    pub goodput_per_s: f64,
    /// Mean latency of those answered.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
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
    /// Mean over batches of the time that an executor was free with requests queued.
    pub deliberate_wait_ms_mean: f64,
    /// Seconds from the first arrival to the last answer.
    pub seconds: f64,
}

impl Run {
    /// The numbers of the whole run; requests without a deadline of their own have `default_deadline`.
    pub fn report(&self, default_deadline: Option<Duration>) -> Report {
        let first = self
            .requests
            .iter()
            .map(|request| request.arrival)
            .min()
            .unwrap_or_default();
        let last = self
            .fates
            .iter()
            .filter_map(|fate| {
                if let Fate::Answered(time) = fate {
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

    /// The numbers of the requests that arrive in a span of time.
    pub fn between(&self, from: Time, to: Time) -> Summary {
        self.summary(None, to.seconds_since(from).max(1e-9), |request| {
            (from..to).contains(&request.arrival)
        })
    }

    fn summary(
        &self,
        default_deadline: Option<Duration>,
        seconds: f64,
        wanted: impl Fn(&super::Request) -> bool,
    ) -> Summary {
        let mut summary = Summary::default();
        let (mut latencies, mut in_time) = (Vec::new(), 0);
        for (request, fate) in self
            .requests
            .iter()
            .zip(&self.fates)
            .filter(|(request, _)| wanted(request))
        {
            match fate {
                Fate::Answered(time) => {
                    let latency = time.since(request.arrival);
                    in_time += usize::from(
                        request
                            .deadline
                            .or(default_deadline)
                            .is_none_or(|deadline| latency <= deadline),
                    );
                    latencies.push(latency.as_secs_f64() * 1e3);
                }
                Fate::Refused => summary.refused += 1,
                Fate::Expired => summary.expired += 1,
                Fate::Unknown => {}
            }
        }
        latencies.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let place = (q * latencies.len() as f64).ceil() as usize;
            latencies
                .get(place.saturating_sub(1))
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
            "\"completed\": {completed}, \"refused\": {refused}, \"expired\": {expired}, \"throughput_per_s\": {:.4}, \"goodput_per_s\": {:.4}, \
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
    /// One JSON object.
    pub fn json(&self, policy: &str) -> String {
        let priorities = self.by_priority.as_ref().map(|(interactive, bulk)| {
            format!(
                ", \"interactive\": {{{}}}, \"bulk\": {{{}}}",
                interactive.fields(),
                bulk.fields()
            )
        });
        format!(
            "{{\"policy\": \"{policy}\", {}, \"batch_rows_mean\": {:.4}, \"batch_tokens_mean\": {:.3}, \"deliberate_wait_ms_mean\": {:.5}{}}}",
            self.all.fields(),
            self.batch_rows_mean,
            self.batch_tokens_mean,
            self.deliberate_wait_ms_mean,
            priorities.unwrap_or_default()
        )
    }
}

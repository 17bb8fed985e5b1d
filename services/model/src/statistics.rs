//! The totals of a model, for the protocol's statistics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use motet_batcher::Stats;
use motet_proto::inference::{
    InferBatchStatistics, InferStatistics, ModelStatistics, StatisticDuration,
};

use crate::call_cost::CallCost;

/// A count of events and their total duration.
#[derive(Debug, Default)]
struct Total {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Total {
    fn add(&self, duration: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos(duration), Ordering::Relaxed);
    }

    fn read(&self) -> StatisticDuration {
        StatisticDuration {
            count: self.count.load(Ordering::Relaxed),
            ns: self.nanos.load(Ordering::Relaxed),
        }
    }
}

/// The running totals of one model.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    success: Total,
    fail: Total,
    queue: Total,
    compute_input: Total,
    compute_infer: Total,
    compute_output: Total,
    rows: AtomicU64,
    last_inference_ms: AtomicU64,
}

impl Statistics {
    /// Counts a request that was answered.
    pub(crate) fn succeeded(&self, elapsed: Duration, cost: &CallCost) {
        self.success.add(elapsed);
        self.queue.add(cost.queue);
        self.compute_input.add(cost.input);
        self.compute_infer.add(cost.infer);
        self.compute_output.add(cost.output);
        self.rows.fetch_add(cost.rows as u64, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_millis() as u64);
        self.last_inference_ms.fetch_max(now, Ordering::Relaxed);
    }

    /// Counts a request that failed or whose caller went away.
    pub(crate) fn failed(&self, elapsed: Duration) {
        self.fail.add(elapsed);
    }

    /// Returns the protocol's message. `batches` are the totals of the model's batcher, if it has
    /// one; without one every request is an execution.
    pub(crate) fn read(
        &self,
        (name, version): (&str, &str),
        batches: Option<&Stats>,
    ) -> ModelStatistics {
        let success = self.success.read();
        let by_rows = batches.map(|stats| &stats.batches_by_rows);
        let executions = by_rows.map(|sizes| sizes.values().map(|size| size.batches).sum());
        ModelStatistics {
            name: name.to_owned(),
            version: version.to_owned(),
            last_inference: self.last_inference_ms.load(Ordering::Relaxed),
            inference_count: self.rows.load(Ordering::Relaxed),
            execution_count: executions.unwrap_or(success.count),
            inference_stats: Some(InferStatistics {
                success: Some(success),
                fail: Some(self.fail.read()),
                queue: Some(self.queue.read()),
                compute_input: Some(self.compute_input.read()),
                compute_infer: Some(self.compute_infer.read()),
                compute_output: Some(self.compute_output.read()),
                ..InferStatistics::default()
            }),
            batch_stats: by_rows
                .into_iter()
                .flatten()
                .map(|(rows, totals)| InferBatchStatistics {
                    batch_size: *rows as u64,
                    compute_infer: Some(StatisticDuration {
                        count: totals.batches,
                        ns: nanos(totals.compute_time),
                    }),
                    ..InferBatchStatistics::default()
                })
                .collect(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

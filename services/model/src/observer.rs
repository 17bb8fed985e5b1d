//! The events and gauges of a model's batcher, as metrics and health.

use motet_batcher::{Batcher, Event, Observer};
use motet_runtime::metrics::{BatcherState, ModelMetrics, Watch};

use crate::model_health::ModelHealth;

/// Counts the events of one model's batcher, and marks the model as not serving once its last
/// executor has died.
#[derive(Debug)]
pub(crate) struct ModelObserver {
    metrics: ModelMetrics,
    health: ModelHealth,
}

impl ModelObserver {
    /// Returns an observer for a model's batcher.
    pub(crate) fn new(metrics: ModelMetrics, health: ModelHealth) -> Self {
        Self { metrics, health }
    }
}

impl Observer for ModelObserver {
    fn observe(&self, event: &Event) {
        match event {
            Event::BatchRan(batch) => {
                let tokens = usize::try_from(batch.tokens).unwrap_or(usize::MAX);
                let metrics = &self.metrics;
                metrics.batch(batch.rows, tokens, batch.compute_time);
                metrics.batch_started(batch.cause.as_str(), batch.deliberate_wait);
                if let Some(window) = &batch.window {
                    let (expected, arrived) = (window.expected_rows, window.actual_rows);
                    metrics.window(window.chosen, expected, arrived);
                }
                let waits = batch.queue_times.iter();
                waits.for_each(|wait| metrics.queue_wait(*wait));
            }
            Event::Refused { refusal, rows } => self.metrics.refused(refusal.reason(), *rows),
            Event::Expired { rows } => self.metrics.expired(*rows),
            Event::Cancelled { rows } => self.metrics.cancelled(*rows),
            Event::Bisected { .. } => self.metrics.bisected(),
            Event::MemorySplit { .. } => self.metrics.memory_split(),
            Event::RowsFailed { rows } => self.metrics.rows_failed(*rows),
            Event::ExecutorCrashed { .. } => self.metrics.executor_crashed(),
            Event::ExecutorDied { left: 0, .. } | Event::Stuck { is_last: true, .. } => {
                self.health.set(false);
            }
            Event::Recovered => self.health.set(true),
            // Events without a metric.
            _ => {}
        }
    }
}

/// Registers the gauges of a batcher, such as its queue's length. Dropping the returned handle
/// removes them.
pub(crate) fn register_gauges<R, O>(metrics: &ModelMetrics, batcher: &Batcher<R, O>) -> Watch
where
    R: Send + Sync + 'static,
    O: Send + 'static,
{
    let batcher = batcher.clone();
    metrics.watch(move || {
        let stats = batcher.stats();
        BatcherState {
            rows_queued: stats.rows_queued,
            executors: stats.executors.saturating_sub(stats.executors_stuck),
            rows_per_second: stats.rows_per_second,
            cost_batch_seconds: stats.cost_fixed_seconds,
            cost_token_seconds: stats.cost_token_seconds,
            cost_error: stats.cost_error,
        }
    })
}

//! What a model's batcher does, as metrics and health.

use std::sync::atomic::{AtomicUsize, Ordering};

use motet_batcher::{Event, Observer};
use motet_runtime::health::Health;
use motet_runtime::metrics::ModelMetrics;

/// Tells the metrics and the health of one model what its batcher does.
#[derive(Debug)]
pub(crate) struct ModelObserver {
    model: String,
    metrics: ModelMetrics,
    health: Health,
    executors: AtomicUsize,
}

impl ModelObserver {
    /// For a batcher of `executors` executors.
    pub(crate) fn new(
        model: &str,
        metrics: ModelMetrics,
        health: Health,
        executors: usize,
    ) -> Self {
        Self {
            model: model.to_owned(),
            metrics,
            health,
            executors: AtomicUsize::new(executors),
        }
    }

    /// Without the last one, the model answers nothing.
    fn executor_died(&self) {
        if self.executors.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.health.set(&self.model, false);
        }
    }
}

impl Observer for ModelObserver {
    fn observe(&self, event: &Event) {
        match event {
            Event::BatchRan(batch) => {
                let tokens = usize::try_from(batch.tokens).unwrap_or(usize::MAX);
                self.metrics.batch(batch.rows, tokens, batch.compute_time);
                let waits = batch.queue_times.iter();
                waits.for_each(|wait| self.metrics.queue_wait(*wait));
                self.metrics.queue_depth(batch.queue_depth);
            }
            Event::Refused { reason, rows } => self.metrics.refused(reason.reason(), *rows),
            Event::Expired { rows } => self.metrics.expired(*rows),
            Event::Cancelled { rows } => self.metrics.cancelled(*rows),
            Event::ExecutorDied { .. } => self.executor_died(),
            // What goes wrong in a batch is logged by the batcher and answered to its callers.
            _ => {}
        }
    }
}

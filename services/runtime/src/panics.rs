//! Panics that were caught: logged and counted in one place.

use std::any::Any;

use crate::metrics::ServerMetrics;

/// The text of a panic.
pub(crate) fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}

/// Logs a panic of `task` (`handler`, `call` or `connection`) and counts it.
pub(crate) fn report(
    task: &'static str,
    payload: &(dyn Any + Send),
    metrics: Option<&ServerMetrics>,
) {
    tracing::error!(panic = text(payload), "a {task} panicked");
    if let Some(metrics) = metrics {
        metrics.panicked(task);
    }
}

//! Progress and reports of a batch.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use motet_batch::{Plan, Progress, Snapshot, Status, Success};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Time between two states of the line on a terminal.
const REDRAW: Duration = Duration::from_millis(500);
/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the progress of a worker on standard error: one line of a terminal, or lines of JSON.
pub(super) struct Showing {
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl Showing {
    pub(super) fn begin(progress: Arc<Progress>) -> Self {
        let ended = CancellationToken::new();
        let is_terminal = std::io::stderr().is_terminal();
        let task = tokio::spawn(show(progress, ended.clone(), is_terminal));
        Self { ended, task }
    }

    /// Ends it, and leaves the terminal's line empty.
    pub(super) async fn end(self) {
        self.ended.cancel();
        let _ = self.task.await;
    }
}

async fn show(progress: Arc<Progress>, ended: CancellationToken, is_terminal: bool) {
    let every = if is_terminal { REDRAW } else { LINE_EVERY };
    loop {
        let is_over = tokio::time::timeout(every, ended.cancelled()).await.is_ok();
        let snapshot = progress.snapshot();
        let mut err = std::io::stderr().lock();
        // Who closes standard error wants no progress.
        let _ = match (is_terminal, is_over) {
            (true, true) => write!(err, "\r\x1b[K"),
            (true, false) => write!(err, "\r\x1b[K{}", line(&snapshot)).and_then(|()| err.flush()),
            (false, true) => Ok(()),
            (false, false) => writeln!(err, "{}", numbers(&snapshot)),
        };
        if is_over {
            return;
        }
    }
}

/// Returns the line of a terminal.
fn line(now: &Snapshot) -> String {
    let mut line = format!(
        "{}/{} rows, {:.0} rows/s, {} errors, {} in flight",
        now.rows,
        now.rows_asked,
        now.rate(),
        now.errors,
        now.in_flight
    );
    if let Some(left) = now.left() {
        let left = Duration::from_secs(left.as_secs());
        let _ = write!(line, ", {} left", humantime::format_duration(left));
    }
    line
}

/// Returns a snapshot in JSON.
fn numbers(now: &Snapshot) -> Value {
    let mut value = json!(now);
    value["rows_per_second"] = json!((now.rate() * 10.0).round() / 10.0);
    value["seconds_left"] = json!(now.left().map(|left| left.as_secs()));
    value
}

/// Report of a worker.
pub(super) struct Report<'r> {
    pub(super) progress: Snapshot,
    /// Outcome of the finish, if there was one.
    pub(super) success: Option<&'r Success>,
    pub(super) cost_per_hour: Option<f64>,
}

impl Report<'_> {
    pub(super) fn text(&self) -> String {
        let now = &self.progress;
        let mut text = format!(
            "{} rows in {:.1} s ({:.1} rows/s): {} errors, {} degraded, {} tokens, {} calls tried \
             again or failed\n{} units written",
            now.rows,
            now.seconds,
            now.rate(),
            now.errors,
            now.degraded,
            now.tokens,
            now.failed_calls,
            now.units
        );
        if now.lost_units > 0 {
            let _ = write!(text, ", {} by other workers", now.lost_units);
        }
        text.push('\n');
        if let Some(row) = now.repeated_row {
            let _ = writeln!(
                text,
                "{} rows have an id that an earlier one has; the first is row {row}, counted \
                 from 0",
                now.repeated_ids
            );
        }
        if let Some(cost) = self.cost_per_1000() {
            let _ = writeln!(text, "1,000 rows cost {cost:.6}");
        }
        if let Some(success) = self.success {
            text.push_str(&self::success(success));
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let mut value = numbers(&self.progress);
        value["finished"] = json!(self.success);
        if let Some(cost) = self.cost_per_1000() {
            value["cost_per_1000_rows"] = json!(cost);
        }
        value
    }

    fn cost_per_1000(&self) -> Option<f64> {
        let hours = self.progress.seconds / 3600.0;
        let rows = (self.progress.rows > 0).then_some(self.progress.rows as f64)?;
        Some(self.cost_per_hour? * hours / rows * 1000.0)
    }
}

/// Returns what is finished.
pub(super) fn success(success: &Success) -> String {
    format!(
        "complete: {} rows, {} answers, {} errors, {} files\n",
        success.rows,
        success.answers,
        success.errors,
        success.outputs.len()
    )
}

/// Returns what a plan has.
pub(super) fn plan(plan: &Plan) -> String {
    format!(
        "pipeline {}: {} rows of {} files in {} units\n",
        plan.pipeline.name,
        plan.rows(),
        plan.inputs(),
        plan.units()
    )
}

/// Returns how far a batch is.
pub(super) fn status(status: &Status) -> String {
    let mut text = format!(
        "pipeline {}: {} of {} units, {} of {} rows, {} errors; {}\n",
        status.pipeline,
        status.units_written,
        status.units,
        status.rows_written,
        status.rows,
        status.errors,
        match (
            status.is_finished,
            status.workers.iter().any(|w| w.is_alive)
        ) {
            (true, _) => "finished",
            (false, true) => "running",
            (false, false) => "nobody works on it",
        }
    );
    for worker in &status.workers {
        let state = if worker.is_alive {
            "runs"
        } else {
            "was killed"
        };
        let _ = write!(text, "  process {} {state}", worker.process);
        if let Some(now) = &worker.progress {
            let _ = write!(text, ": {}", line(now));
        }
        text.push('\n');
    }
    text
}

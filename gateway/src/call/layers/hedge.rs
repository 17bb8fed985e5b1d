//! `hedge`: a second attempt while the first is slow. The first answer counts; the other attempts
//! are dropped, which cancels them down to their rows in the batcher's queue.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use motet_config::schema::{object, percent};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Span, Spanned, values};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::RepeatMetrics;
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::at_most;
use super::breaker::{is_circuit_open, lock};
use super::deadline::{DEADLINE_RANGE, Limit};
use crate::call::{CallRecorder, Layer, RequestOf, ResponseOf};
use crate::policy::bucket::{Rates, TokenBucket};
use crate::policy::latency::LatencyWindow;

/// Latest latencies of which the percentile is taken.
const LATENCY_WINDOW: usize = 256;
/// Least number of latencies of which a percentile is meaningful.
const LATENCIES_MIN: usize = 20;
/// Largest burst of hedges.
const BURST: f64 = 10.0;

/// `hedge`: a slow call is made a second time, and the first answer is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedge {
    /// When a call counts as slow.
    pub after: HedgeAfter,
    /// Most additional calls.
    pub max: u32,
    /// Share (0 to 1) of calls that may be hedged.
    pub budget: f64,
}

impl Hedge {
    /// Default of `max`.
    pub const MAX_DEFAULT: u32 = 1;
    /// Largest `max` that a file may ask for.
    pub const MAX_LIMIT: u32 = 3;
    /// Default of `budget`.
    pub const BUDGET_DEFAULT: f64 = 0.1;
    /// Default of `after`: slower than 95% of the calls.
    pub const AFTER_DEFAULT: HedgeAfter = HedgeAfter::Percentile(0.95);
}

/// When a call counts as slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HedgeAfter {
    /// After this long.
    Duration(Duration),
    /// When it is slower than this share (0 to 1) of the node's latest calls.
    Percentile(f64),
}

/// `hedge` as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HedgeSpec {
    /// Where `hedge` is written.
    pub span: Span,
    /// Where `after` is written; the key where it is not.
    pub after_span: Span,
    /// The settings.
    pub hedge: Hedge,
}

/// Reads `hedge: { after, max, budget }`.
pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<HedgeSpec> {
    let mut map = MapReader::new(&entry.node, "`hedge`", entry.key.span, diagnostics)?;
    let after = map.get("after");
    let after = match after {
        Some(e) => hedge_after(e, diagnostics),
        None => Some(Spanned::new(Hedge::AFTER_DEFAULT, entry.key.span)),
    };
    let max = map.get("max").map_or(Some(Hedge::MAX_DEFAULT), |e| {
        at_most(e, Hedge::MAX_LIMIT, "`hedge`", diagnostics)
    });
    let budget = map.get("budget").map_or(Some(Hedge::BUDGET_DEFAULT), |e| {
        values::percent(e, 0.1..=100.0, diagnostics).map(|p| p.value)
    });
    map.finish(diagnostics);
    let after = after?;
    Some(HedgeSpec {
        span: entry.key.span,
        after_span: after.span,
        hedge: Hedge {
            after: after.value,
            max: max?,
            budget: budget?,
        },
    })
}

/// `50ms` or `p95`.
fn hedge_after(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<HedgeAfter>> {
    const HELP: &str =
        "write a duration such as `50ms`, or a percentile of the latest calls such as `p95`";
    let percentile = entry
        .node
        .as_str()
        .and_then(|t| t.strip_prefix('p'))
        .and_then(|t| t.parse::<f64>().ok());
    if let Some(percentile) = percentile {
        if (50.0..100.0).contains(&percentile) {
            let after = HedgeAfter::Percentile(percentile / 100.0);
            return Some(Spanned::new(after, entry.node.span));
        }
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!("`after` is p{percentile}, but must be at least p50 and less than p100"),
            )
            .note("below the median most calls would be made twice"),
        );
        return None;
    }
    let is_duration = entry
        .node
        .as_str()
        .is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()));
    if !is_duration {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                "`after` must be a duration or a percentile",
            )
            .help(HELP),
        );
        return None;
    }
    let duration = values::duration(entry, DEADLINE_RANGE.0..=DEADLINE_RANGE.1, diagnostics)?;
    Some(duration.map(HedgeAfter::Duration))
}

/// Returns the schema of `hedge`.
pub(super) fn schema() -> Value {
    object(json!({
        "after": {
            "type": "string",
            "description": "such as 50ms, or a percentile of the latest calls such as p95",
        },
        "max": {
            "type": "integer",
            "minimum": 1,
            "maximum": Hedge::MAX_LIMIT,
            "default": Hedge::MAX_DEFAULT,
        },
        "budget": percent(),
    }))
}

/// Reports a hedge whose delay is not shorter than the time of the node. `deadline` is that of the
/// node, `max` the longest time of a request, with its place in the file if it is written.
pub(crate) fn check(
    hedge: &HedgeSpec,
    deadline: Option<&Spanned<Limit>>,
    max: (Duration, Option<Span>),
) -> Option<Diagnostic> {
    let HedgeAfter::Duration(after) = hedge.hedge.after else {
        return None;
    };
    let (limit, span) = match deadline {
        Some(deadline) => match deadline.value {
            Limit::Duration(limit) => (limit.min(max.0), Some(deadline.span)),
            Limit::Share(share) => (max.0.mul_f64(share), Some(deadline.span)),
        },
        None => max,
    };
    if after < limit {
        return None;
    }
    let shown = humantime::format_duration;
    let diagnostic = Diagnostic::error(
        hedge.after_span,
        format!(
            "a second call after {} never comes: the node has at most {}",
            shown(after),
            shown(limit)
        ),
    )
    .help("write a shorter time, or a percentile such as `p95`");
    Some(match span {
        Some(span) => diagnostic.also(span, "its time"),
        None => diagnostic,
    })
}

/// Layer that sends a request again while it is slow.
#[derive(Debug)]
pub(crate) struct Hedging<L> {
    /// `None` if the node does not hedge.
    pub(super) hedges: Option<Hedges>,
    pub(super) metrics: RepeatMetrics,
    pub(super) inner: L,
}

/// Hedges of the calls of one node: settings, latest latencies, and budget.
#[derive(Debug)]
pub(super) struct Hedges {
    settings: Hedge,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    latencies: LatencyWindow,
    budget: TokenBucket,
}

impl Hedges {
    pub(super) fn new(settings: Hedge, now: Instant) -> Self {
        let rates = Rates {
            capacity: BURST,
            per_call: settings.budget,
            per_second: 0.0,
        };
        Self {
            settings,
            state: Mutex::new(State {
                latencies: LatencyWindow::new(LATENCY_WINDOW),
                budget: TokenBucket::new(rates, now),
            }),
        }
    }

    /// Records a call. Returns the time after which it counts as slow; `None` while too few
    /// latencies are known.
    fn record_call(&self, now: Instant) -> Option<Duration> {
        let mut state = lock(&self.state);
        state.budget.record_call(now);
        match self.settings.after {
            HedgeAfter::Duration(after) => Some(after),
            HedgeAfter::Percentile(_) if state.latencies.len() < LATENCIES_MIN => None,
            HedgeAfter::Percentile(share) => state.latencies.percentile(share),
        }
    }

    fn take_token(&self, now: Instant) -> bool {
        lock(&self.state).budget.take(now)
    }

    fn record_latency(&self, took: Duration) {
        lock(&self.state).latencies.record(took);
    }
}

impl<L: Layer> Layer for Hedging<L> {
    type Upstream = L::Upstream;

    fn upstream(&self) -> &L::Upstream {
        self.inner.upstream()
    }

    async fn call(
        &self,
        request: RequestOf<L>,
        deadline: Deadline,
        recorder: &CallRecorder,
    ) -> Result<ResponseOf<L>, Status> {
        match &self.hedges {
            Some(hedges) => self.hedge(hedges, request, deadline, recorder).await,
            None => self.inner.call(request, deadline, recorder).await,
        }
        .inspect_err(|error| {
            if is_circuit_open(error) {
                recorder.circuit_open();
            }
        })
    }
}

impl<L: Layer> Hedging<L> {
    async fn hedge(
        &self,
        hedges: &Hedges,
        request: RequestOf<L>,
        deadline: Deadline,
        recorder: &CallRecorder,
    ) -> Result<ResponseOf<L>, Status> {
        let started = Instant::now();
        let after = hedges.record_call(started);
        let attempt = |nth: u32, request| {
            let attempt = self.inner.call(request, deadline, recorder);
            attempt.map(move |result| (nth, result))
        };
        let mut attempts = FuturesUnordered::new();
        attempts.push(attempt(0, request.clone()));
        let mut left = after.map_or(0, |_| hedges.settings.max);
        let after = after.unwrap_or_default();
        let mut slow_at = started + after;
        let mut made = 0;
        let mut first_error = None;
        loop {
            tokio::select! {
                biased;
                Some((nth, result)) = attempts.next() => match result {
                    Ok(answer) => {
                        hedges.record_latency(started.elapsed());
                        if nth > 0 {
                            self.metrics.hedge_won();
                            recorder.hedge_won();
                        }
                        return Ok(answer);
                    }
                    Err(error) => {
                        let error = first_error.take().unwrap_or(error);
                        // An attempt in flight may still succeed, unless the request is at fault.
                        if attempts.is_empty() || !is_transient(&error) {
                            return Err(error);
                        }
                        first_error = Some(error);
                    }
                },
                () = tokio::time::sleep_until(slow_at), if left > 0 => {
                    let now = Instant::now();
                    if hedges.take_token(now) {
                        self.metrics.hedged();
                        recorder.hedged();
                        made += 1;
                        left -= 1;
                        slow_at = now + after;
                        attempts.push(attempt(made, request.clone()));
                    } else {
                        self.metrics.hedge_refused();
                        left = 0;
                    }
                }
            }
        }
    }
}

/// Returns whether another attempt at the same request may succeed.
fn is_transient(error: &Status) -> bool {
    matches!(
        error.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unknown
    )
}

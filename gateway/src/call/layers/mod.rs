//! The policies of a node: one file for each, with its settings, how a file states them, their
//! check, their schema and the [`Layer`] that applies them.
//!
//! The layers of a call, from the outside in: `retry` around `hedge` around `breaker` around the
//! upstream; the order is `Stack`. `deadline` and `priority` are applied by the executor when it
//! starts a node, `cache` by the client of a model, around this stack.
//!
//! A new policy is a file, a field of [`Policies`] and of [`PolicySpecs`] with its line in `read`,
//! `written` and `schema`, and its place in `Stack`.

pub mod breaker;
pub mod cache;
pub mod deadline;
pub mod hedge;
pub mod priority;
pub mod retry;

use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Span, Spanned, values};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::Metrics;
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Status;

use super::{CallRecorder, Layer, Upstream};
use breaker::Breaking;
use cache::{Cache, CacheSettings};
use deadline::Limit;
use hedge::{Hedge, HedgeSpec, Hedges, Hedging};
use retry::{Retry, Retrying};

/// The policies of a node as written, each with its place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicySpecs {
    /// Deadline of the node itself.
    pub deadline: Option<Spanned<Limit>>,
    /// Retries of failed calls.
    pub retry: Option<Spanned<Retry>>,
    /// Hedging of slow calls.
    pub hedge: Option<HedgeSpec>,
    /// Caching of answers, row by row.
    pub cache: Option<Spanned<CacheSettings>>,
    /// Priority of the node's calls, in place of the request's.
    pub priority: Option<Spanned<i64>>,
}

impl PolicySpecs {
    /// Reads the policies of a node from its map. Mistakes are reported.
    pub(crate) fn read(map: &mut MapReader<'_>, diagnostics: &mut Diagnostics) -> Self {
        Self {
            deadline: map
                .get("deadline")
                .and_then(|e| deadline::read(e, diagnostics)),
            retry: map.get("retry").and_then(|e| retry::read(e, diagnostics)),
            hedge: map.get("hedge").and_then(|e| hedge::read(e, diagnostics)),
            priority: map
                .get("priority")
                .and_then(|e| priority::read(e, diagnostics)),
            cache: map.get("cache").and_then(|e| cache::read(e, diagnostics)),
        }
    }

    /// Returns the keys and places of the policies that only some kinds of nodes support.
    pub(crate) fn written(&self) -> Vec<(&'static str, Span)> {
        let written = [
            ("retry", self.retry.as_ref().map(|r| r.span)),
            ("hedge", self.hedge.map(|h| h.span)),
            ("cache", self.cache.map(|c| c.span)),
            ("priority", self.priority.map(|p| p.span)),
        ];
        let written = written.into_iter();
        written
            .filter_map(|(key, span)| Some((key, span?)))
            .collect()
    }
}

/// Returns the schema of the keys of all policies.
pub(crate) fn schema() -> Value {
    json!({
        "deadline": deadline::schema(),
        "retry": retry::schema(),
        "hedge": hedge::schema(),
        "cache": cache::schema(),
        "priority": priority::schema(),
    })
}

/// The policies of one node, defaults filled in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policies {
    /// Deadline of the node itself.
    pub deadline: Option<Limit>,
    /// Retries of failed calls.
    pub retry: Option<Retry>,
    /// Hedging of slow calls.
    pub hedge: Option<Hedge>,
    /// Caching of answers, row by row.
    pub cache: Option<Cache>,
    /// Priority of the node's calls, in place of the request's.
    pub priority: Option<i64>,
}

/// The layers around the calls of an upstream, from the outside in.
type Stack<U> = Retrying<Hedging<Breaking<U>>>;

/// An upstream as one node calls it: under the policies of the node, with the statistics that they
/// learn from.
#[derive(Debug)]
pub struct PolicyClient<U>(Stack<U>);

impl<U: Upstream> PolicyClient<U> {
    /// Returns the client with which `node` of `pipeline` calls `upstream`.
    pub fn new(
        upstream: U,
        pipeline: &str,
        node: &str,
        policies: &Policies,
        metrics: &Metrics,
    ) -> Self {
        let repeats = metrics.repeats(pipeline, node);
        let circuit = metrics.circuit(upstream.label());
        upstream.limits().show(upstream.label(), &circuit);
        let breaking = Breaking {
            metrics: circuit,
            upstream,
        };
        let hedging = Hedging {
            hedges: policies.hedge.map(|h| Hedges::new(h, Instant::now())),
            metrics: repeats.clone(),
            inner: breaking,
        };
        Self(Retrying {
            settings: policies.retry.clone(),
            metrics: repeats,
            inner: hedging,
        })
    }

    /// Returns the upstream.
    pub fn upstream(&self) -> &U {
        self.0.upstream()
    }

    /// Makes one call under the node's policies. It never continues past the deadline.
    ///
    /// # Errors
    /// As [`Upstream::send`]; UNAVAILABLE while the circuit is open.
    pub async fn call(
        &self,
        request: U::Request,
        deadline: Deadline,
        recorder: &CallRecorder,
    ) -> Result<U::Response, Status> {
        self.0.call(request, deadline, recorder).await
    }
}

/// Reads a maximum from 1 to `most`. With 0 the policy `what` would do nothing.
pub(super) fn at_most(
    entry: &Entry,
    most: u32,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    if matches!(entry.node.value, motet_config::Value::Int(0)) {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!("{what} with `max: 0` does nothing"),
            )
            .help(format!("leave {what} out, or allow 1 to {most}")),
        );
        return None;
    }
    let max = values::count(entry, 1..=most as usize, diagnostics)?;
    u32::try_from(max.value).ok()
}

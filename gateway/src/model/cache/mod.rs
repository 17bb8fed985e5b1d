//! Answers kept row by row: only rows that nobody knows are sent, as one call.
//!
//! A row is known when it is kept and young enough, or when another call has it on its way. A
//! request whose rows are all known calls nobody.

mod lru;
mod rows;
mod shared;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use motet_proto::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::CacheMetrics;
use motet_runtime::status::{self, Reason};
use prost::Message;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::ModelClient;
use crate::call::CallStats;
use crate::check::Node;
use crate::compute::{compute, copying};
use crate::policy::settings::Cache;
use rows::{Row, RowLayout, SplitRequest};
pub use shared::SharedCache;
use shared::{FetchLease, FetchOutcome, Reservation, Waiter};

/// The cache of one node: a claim on what all nodes of a model share.
#[derive(Debug)]
pub(super) struct Cached {
    layout: Arc<RowLayout>,
    ttl: Duration,
    reservation: Reservation,
    metrics: CacheMetrics,
}

impl Cached {
    pub(super) fn new(
        cache: &Cache,
        node: &Node,
        shared: &Arc<SharedCache>,
        metrics: CacheMetrics,
    ) -> Self {
        let used = |name: &str| node.outputs.iter().any(|o| o.used && o.name == name);
        Self {
            layout: Arc::new(RowLayout::new(cache, used)),
            ttl: cache.ttl,
            reservation: shared.reserve(cache.max_bytes, &metrics),
            metrics,
        }
    }
}

/// An inference of which only the rows that are not known are sent.
pub(super) async fn infer(
    upstream: &ModelClient,
    cached: &Cached,
    message: ModelInferRequest,
    deadline: Deadline,
    stats: &mut CallStats,
) -> Result<ModelInferResponse, Status> {
    let split = split(cached, message).await?;
    let mut found: Vec<Option<Arc<Row>>> = vec![None; split.len()];
    let mut parameters = HashMap::new();
    let (mut hits, mut joined) = (0, 0);
    // After another's call has failed, rows are fetched without waiting for anybody.
    let mut join = true;
    loop {
        let unknown = (0..split.len()).filter(|row| found[*row].is_none());
        let shared = cached.reservation.cache();
        let lookup = shared.look_up(split.keys(), unknown, cached.ttl, join, Instant::now());
        hits += lookup.hits.len();
        for (row, value) in lookup.hits {
            found[row] = Some(value);
        }
        let own = fetch(upstream, cached, &split, lookup.lease, deadline, stats);
        let others = async {
            let waited = deadline.run(async { Ok(wait(lookup.waits).await) }).await;
            waited.map_err(|e| status::annotate(&e, [("model", upstream.backend().model())]))
        };
        let (own, others) = futures::try_join!(own, others)?;
        if let Some(own) = own {
            if own.asked.len() == split.len() {
                cached.metrics.rows(0, 0, split.len());
                return Ok(own.response);
            }
            parameters = own.response.parameters;
            for (row, value) in own.asked.into_iter().zip(own.rows) {
                found[row] = Some(value);
            }
        }
        joined += others.rows.len();
        for (row, value) in others.rows {
            found[row] = Some(value);
        }
        join &= !others.failed;
        if let Some(rows) = found.iter().cloned().collect::<Option<Vec<_>>>() {
            cached
                .metrics
                .rows(hits, joined, split.len() - hits - joined);
            stats.cache_hits = u32::try_from(hits).unwrap_or(u32::MAX);
            stats.cache_joined = u32::try_from(joined).unwrap_or(u32::MAX);
            return assemble(cached, rows, parameters).await;
        }
    }
}

/// Operations that taking a message apart into rows, or putting one together, takes for each row.
const ROW_WORK: u64 = 256;

/// Takes a request apart into rows.
async fn split(cached: &Cached, message: ModelInferRequest) -> Result<SplitRequest, Status> {
    let rows = message
        .inputs
        .iter()
        .filter_map(|input| input.shape.first());
    let rows = rows.max().map_or(0, |rows| rows.unsigned_abs());
    let work = copying(message.encoded_len()).saturating_add(rows.saturating_mul(ROW_WORK));
    let layout = cached.layout.clone();
    compute(work, move |_| SplitRequest::new(&layout, message)).await?
}

/// Takes an answer to `count` rows apart.
async fn rows_of(
    cached: &Cached,
    response: ModelInferResponse,
    count: usize,
) -> Result<(ModelInferResponse, Result<Vec<Arc<Row>>, String>), Status> {
    let bytes = response.raw_output_contents.iter().map(Bytes::len).sum();
    let work = copying(bytes).saturating_add((count as u64).saturating_mul(ROW_WORK));
    let layout = cached.layout.clone();
    compute(work, move |_| {
        let rows = layout.rows(&response, count);
        (response, rows)
    })
    .await
}

/// Makes an answer of rows.
async fn assemble(
    cached: &Cached,
    rows: Vec<Arc<Row>>,
    parameters: HashMap<String, InferParameter>,
) -> Result<ModelInferResponse, Status> {
    let bytes = rows
        .iter()
        .flat_map(|row| row.iter())
        .map(|part| part.len());
    let work = copying(bytes.sum()).saturating_add((rows.len() as u64).saturating_mul(ROW_WORK));
    let layout = cached.layout.clone();
    compute(work, move |_| layout.answer(&rows, parameters)).await?
}

/// What an own call brought.
struct Fetched {
    /// The rows asked for, by their place in the request.
    asked: Vec<usize>,
    /// What they came to.
    rows: Vec<Arc<Row>>,
    response: ModelInferResponse,
}

/// Makes the one call for the rows that nobody knows, and tells those who wait for them.
async fn fetch(
    upstream: &ModelClient,
    cached: &Cached,
    split: &SplitRequest,
    lease: Option<FetchLease>,
    deadline: Deadline,
    stats: &mut CallStats,
) -> Result<Option<Fetched>, Status> {
    let Some(lease) = lease else {
        return Ok(None);
    };
    let asked = lease.asked().to_vec();
    let message = split.message(&asked)?;
    let response = match upstream.calls.call(message, deadline, stats).await {
        Ok(response) => response,
        // That this caller ran out of time is nothing to those who wait: one of them calls.
        Err(error) if matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            return Err(error);
        }
        Err(error) => {
            lease.fail();
            return Err(error);
        }
    };
    let (response, rows) = rows_of(cached, response, asked.len()).await?;
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => {
            lease.fail();
            let model = upstream.backend().model();
            let error = status::internal(format!("model {model} gave a wrong answer: {why}"));
            return Err(error.reason(Reason::BadAnswer).model(model).into());
        }
    };
    lease.complete(&response.model_version, &rows, &cached.metrics);
    Ok(Some(Fetched {
        asked,
        rows,
        response,
    }))
}

/// What calls of others brought.
#[derive(Default)]
struct Waited {
    rows: Vec<(usize, Arc<Row>)>,
    /// Whether one of them failed: waiting for another could go on like that.
    failed: bool,
}

/// Waits for rows that others have on their way. Those of a call that was given up stay unknown.
async fn wait(waiters: Vec<(usize, Waiter)>) -> Waited {
    let mut waited = Waited::default();
    for (row, mut waiter) in waiters {
        match waiter.outcome().await {
            Some(FetchOutcome::Fetched(rows)) => {
                waited
                    .rows
                    .extend(rows.get(waiter.at).map(|r| (row, r.clone())));
            }
            Some(FetchOutcome::Failed) => waited.failed = true,
            None => {}
        }
    }
    waited
}

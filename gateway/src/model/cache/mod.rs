//! A cache of the answers of a model, row by row.
//!
//! A row is a hit if it is in the cache and young enough. A row that another call is fetching is
//! awaited. The other rows of a request are fetched together, in one call; where there are none,
//! the model is not called.
//!
//! * `rows`: splits requests into rows with their keys, and joins rows to an answer.
//! * `shared`: the rows that all nodes of one model share, and those in flight.
//! * `lru`: the bounded map in which rows are kept.

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
use crate::call::CallRecorder;
use crate::call::layers::cache::Cache;
use crate::check::Node;
use crate::compute::{compute, copying};
use rows::{Row, RowLayout, SplitRequest};
pub use shared::SharedCache;
use shared::{FetchLease, FetchOutcome, Reservation, Waiter};

/// The cache of one node: its settings, and its share in the cache of the model.
#[derive(Debug)]
pub(super) struct NodeCache {
    layout: Arc<RowLayout>,
    ttl: Duration,
    reservation: Reservation,
    metrics: CacheMetrics,
}

impl NodeCache {
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

/// Answers a request from the cache, fetching the rows that are missing.
pub(super) async fn infer(
    client: &ModelClient,
    cache: &NodeCache,
    message: ModelInferRequest,
    deadline: Deadline,
    recorder: &CallRecorder,
) -> Result<ModelInferResponse, Status> {
    let split = split(cache, message).await?;
    let mut found: Vec<Option<Arc<Row>>> = vec![None; split.len()];
    let mut parameters = HashMap::new();
    let (mut hits, mut joined) = (0, 0);
    // After the call of another request has failed, rows are fetched without waiting.
    let mut join = true;
    loop {
        let unknown = (0..split.len()).filter(|row| found[*row].is_none());
        let shared = cache.reservation.cache();
        let lookup = shared.look_up(split.keys(), unknown, cache.ttl, join, Instant::now());
        hits += lookup.hits.len();
        for (row, value) in lookup.hits {
            found[row] = Some(value);
        }
        let own = fetch(client, cache, &split, lookup.lease, deadline, recorder);
        let others = async {
            let waited = deadline.run(async { Ok(wait(lookup.waits).await) }).await;
            waited.map_err(|e| status::annotate(&e, [("model", client.backend().model())]))
        };
        let (own, others) = futures::try_join!(own, others)?;
        if let Some(own) = own {
            if own.asked.len() == split.len() {
                cache.metrics.rows(0, 0, split.len());
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
            cache
                .metrics
                .rows(hits, joined, split.len() - hits - joined);
            recorder.cached(hits, joined);
            return assemble(cache, rows, parameters).await;
        }
    }
}

/// Operations per row of splitting a message, or of joining rows to one.
const ROW_WORK: u64 = 256;

/// Splits a request into rows.
async fn split(cache: &NodeCache, message: ModelInferRequest) -> Result<SplitRequest, Status> {
    let rows = message
        .inputs
        .iter()
        .filter_map(|input| input.shape.first());
    let rows = rows.max().map_or(0, |rows| rows.unsigned_abs());
    let work = copying(message.encoded_len()).saturating_add(rows.saturating_mul(ROW_WORK));
    let layout = cache.layout.clone();
    compute(work, move |_| SplitRequest::new(&layout, message)).await?
}

/// Splits an answer to `count` rows. Returns the answer, and its rows or what is wrong with it.
async fn rows_of(
    cache: &NodeCache,
    response: ModelInferResponse,
    count: usize,
) -> Result<(ModelInferResponse, Result<Vec<Arc<Row>>, String>), Status> {
    let bytes = response.raw_output_contents.iter().map(Bytes::len).sum();
    let work = copying(bytes).saturating_add((count as u64).saturating_mul(ROW_WORK));
    let layout = cache.layout.clone();
    compute(work, move |_| {
        let rows = layout.rows(&response, count);
        (response, rows)
    })
    .await
}

/// Joins rows to an answer.
async fn assemble(
    cache: &NodeCache,
    rows: Vec<Arc<Row>>,
    parameters: HashMap<String, InferParameter>,
) -> Result<ModelInferResponse, Status> {
    let bytes = rows
        .iter()
        .flat_map(|row| row.iter())
        .map(|part| part.len());
    let work = copying(bytes.sum()).saturating_add((rows.len() as u64).saturating_mul(ROW_WORK));
    let layout = cache.layout.clone();
    compute(work, move |_| layout.answer(&rows, parameters)).await?
}

/// Rows that this request fetched.
struct Fetched {
    /// Positions of the rows in the request.
    asked: Vec<usize>,
    /// The rows, in the same order.
    rows: Vec<Arc<Row>>,
    response: ModelInferResponse,
}

/// Fetches the rows of a lease in one call, and passes them to all that wait for them.
async fn fetch(
    client: &ModelClient,
    cache: &NodeCache,
    split: &SplitRequest,
    lease: Option<FetchLease>,
    deadline: Deadline,
    recorder: &CallRecorder,
) -> Result<Option<Fetched>, Status> {
    let Some(lease) = lease else {
        return Ok(None);
    };
    let asked = lease.asked().to_vec();
    let message = split.message(&asked)?;
    let response = match client.calls.call(message, deadline, recorder).await {
        Ok(response) => response,
        // The deadline of this request is not that of the waiting ones: one of them fetches.
        Err(error) if matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            return Err(error);
        }
        Err(error) => {
            lease.fail();
            return Err(error);
        }
    };
    let (response, rows) = rows_of(cache, response, asked.len()).await?;
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => {
            lease.fail();
            let model = client.backend().model();
            let error = status::internal(format!("model {model} gave a wrong answer: {why}"));
            return Err(error.reason(Reason::BadAnswer).model(model).into());
        }
    };
    lease.complete(&response.model_version, &rows, &cache.metrics);
    Ok(Some(Fetched {
        asked,
        rows,
        response,
    }))
}

/// Rows that other requests fetched.
#[derive(Default)]
struct Joined {
    rows: Vec<(usize, Arc<Row>)>,
    /// `true` if one of their calls failed; waiting for the next might fail in the same way.
    failed: bool,
}

/// Waits for rows that other requests are fetching. Rows of an abandoned call stay missing.
async fn wait(waiters: Vec<(usize, Waiter)>) -> Joined {
    let mut joined = Joined::default();
    for (row, mut waiter) in waiters {
        match waiter.outcome().await {
            Some(FetchOutcome::Fetched(rows)) => {
                joined
                    .rows
                    .extend(rows.get(waiter.at).map(|r| (row, r.clone())));
            }
            Some(FetchOutcome::Failed) => joined.failed = true,
            None => {}
        }
    }
    joined
}

//! What all nodes that cache calls of one model share: the rows that are kept, and those that are
//! on their way.
//!
//! A lock is held for the look-up of a request's rows, never while anything is awaited. Rows on
//! their way are those of requests in flight, which admission bounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use motet_runtime::metrics::CacheMetrics;
use tokio::sync::watch;
use tokio::time::Instant;

use super::lru::RowStore;
use super::rows::Row;
use crate::call::limits::lock;

/// The rows of one model's answers, shared by all nodes that cache its calls.
#[derive(Debug)]
pub struct Segment(Mutex<State>);

#[derive(Debug)]
struct State {
    store: RowStore<Kept>,
    /// The version of the model that answered last. Rows of another are not used.
    version: Arc<str>,
    flights: HashMap<Arc<[u8]>, Ticket>,
    /// What each node allows; the largest holds.
    claims: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Kept {
    version: Arc<str>,
    row: Arc<Row>,
}

/// How a call for rows ended.
#[derive(Debug, Clone)]
pub(super) enum Landing {
    /// The rows, in the order in which they were asked for.
    Landed(Arc<[Arc<Row>]>),
    /// It failed.
    Failed,
}

/// A row that somebody's call has on its way.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    flight: watch::Receiver<Option<Landing>>,
    /// Its place among the rows of that call.
    pub at: usize,
}

impl Ticket {
    /// How the call ended; `None` when its caller gave it up.
    pub(super) async fn landing(&mut self) -> Option<Landing> {
        let landing = self.flight.wait_for(Option::is_some).await;
        landing.ok().and_then(|landing| landing.clone())
    }
}

/// The rows of a request, sorted by who knows them.
#[derive(Debug)]
pub(super) struct Sorted {
    /// Rows that are kept.
    pub hits: Vec<(usize, Arc<Row>)>,
    /// Rows that are on their way.
    pub waits: Vec<(usize, Ticket)>,
    /// The duty to fetch those that nobody knows.
    pub leader: Option<Leader>,
}

impl Default for Segment {
    /// Keeps nothing until somebody claims room.
    fn default() -> Self {
        Self(Mutex::new(State {
            store: RowStore::new(0),
            version: Arc::from(""),
            flights: HashMap::new(),
            claims: Vec::new(),
        }))
    }
}

impl Segment {
    /// Allows so many bytes for as long as the claim lives.
    pub(super) fn claim(self: &Arc<Self>, bytes: usize, metrics: &CacheMetrics) -> Claim {
        let mut state = lock(&self.0);
        state.claims.push(bytes);
        state.resize(metrics);
        Claim {
            segment: self.clone(),
            bytes,
            metrics: metrics.clone(),
        }
    }

    /// Sorts rows by who knows them. Those that nobody does are on their way from now on, by the
    /// leader that is given. Without `join`, rows on their way count as unknown.
    pub(super) fn sort(
        self: &Arc<Self>,
        keys: &[Arc<[u8]>],
        rows: impl Iterator<Item = usize>,
        ttl: Duration,
        join: bool,
        now: Instant,
    ) -> Sorted {
        let (landing, flight) = watch::channel(None);
        let mut leader = Leader {
            segment: self.clone(),
            landing,
            keys: Vec::new(),
            asked: Vec::new(),
        };
        let (mut hits, mut waits) = (Vec::new(), Vec::new());
        let mut guard = lock(&self.0);
        let state = &mut *guard;
        for row in rows {
            let key = &keys[row];
            let kept = state.store.get(key, ttl, now);
            if let Some(kept) = kept.filter(|kept| kept.version == state.version) {
                hits.push((row, kept.row));
            } else if let Some(ticket) = state.flights.get(key).filter(|_| join) {
                waits.push((row, ticket.clone()));
            } else {
                let at = leader.keys.len();
                leader.keys.push(key.clone());
                leader.asked.push(row);
                let flight = flight.clone();
                let flights = &mut state.flights;
                flights.entry(key.clone()).or_insert(Ticket { flight, at });
            }
        }
        // A leader that is dropped takes the lock.
        drop(guard);
        Sorted {
            hits,
            waits,
            leader: (!leader.asked.is_empty()).then_some(leader),
        }
    }
}

impl State {
    fn resize(&mut self, metrics: &CacheMetrics) {
        let most = self.claims.iter().copied().max().unwrap_or(0);
        let evicted = self.store.resize(most);
        metrics.kept(self.store.bytes(), evicted);
    }
}

/// A share in a segment: it keeps at least as much as this claim allows, while it lives.
#[derive(Debug)]
pub(super) struct Claim {
    segment: Arc<Segment>,
    bytes: usize,
    metrics: CacheMetrics,
}

impl Claim {
    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = lock(&self.segment.0);
        if let Some(at) = state.claims.iter().position(|b| *b == self.bytes) {
            state.claims.swap_remove(at);
        }
        state.resize(&self.metrics);
    }
}

/// The duty to fetch rows that others may wait for. Dropped, it tells them that nobody does.
#[derive(Debug)]
pub(super) struct Leader {
    segment: Arc<Segment>,
    landing: watch::Sender<Option<Landing>>,
    keys: Vec<Arc<[u8]>>,
    asked: Vec<usize>,
}

impl Leader {
    /// The rows to fetch, by their place in the request.
    pub(super) fn asked(&self) -> &[usize] {
        &self.asked
    }

    /// The rows are there, from this version of the model.
    pub(super) fn land(self, version: &str, rows: &[Arc<Row>], metrics: &CacheMetrics) {
        let now = Instant::now();
        {
            let mut state = lock(&self.segment.0);
            if *state.version != *version {
                state.version = Arc::from(version);
            }
            let mut evicted = 0;
            for (key, row) in self.keys.iter().zip(rows) {
                let kept = Kept {
                    version: state.version.clone(),
                    row: row.clone(),
                };
                let bytes = row.iter().map(|output| output.len()).sum();
                evicted += state.store.put(key.clone(), kept, bytes, now);
            }
            metrics.kept(state.store.bytes(), evicted);
        }
        self.landing
            .send_replace(Some(Landing::Landed(rows.into())));
    }

    /// The call failed.
    pub(super) fn fail(self) {
        self.landing.send_replace(Some(Landing::Failed));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut state = lock(&self.segment.0);
        for key in &self.keys {
            // Not those of another call for the same row.
            let own = state
                .flights
                .get(key)
                .is_some_and(|t| self.landing.subscribe().same_channel(&t.flight));
            if own {
                state.flights.remove(key);
            }
        }
    }
}

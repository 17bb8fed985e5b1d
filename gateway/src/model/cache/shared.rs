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

use super::lru::LruRows;
use super::rows::Row;
use crate::call::limits::lock;

/// The rows of one model's answers, shared by all nodes that cache its calls.
#[derive(Debug)]
pub struct SharedCache(Mutex<State>);

#[derive(Debug)]
struct State {
    rows: LruRows<Entry>,
    /// The version of the model that answered last. Rows of another are not used.
    version: Arc<str>,
    in_flight: HashMap<Arc<[u8]>, Waiter>,
    /// What each node allows; the largest holds.
    reservations: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    version: Arc<str>,
    row: Arc<Row>,
}

/// How a call for rows ended.
#[derive(Debug, Clone)]
pub(super) enum FetchOutcome {
    /// The rows, in the order in which they were asked for.
    Fetched(Arc<[Arc<Row>]>),
    /// It failed.
    Failed,
}

/// A row that somebody's call has on its way.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    receiver: watch::Receiver<Option<FetchOutcome>>,
    /// Its place among the rows of that call.
    pub at: usize,
}

impl Waiter {
    /// How the call ended; `None` when its caller gave it up.
    pub(super) async fn outcome(&mut self) -> Option<FetchOutcome> {
        let outcome = self.receiver.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone())
    }
}

/// The rows of a request, sorted by who knows them.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Rows that are kept.
    pub hits: Vec<(usize, Arc<Row>)>,
    /// Rows that are on their way.
    pub waits: Vec<(usize, Waiter)>,
    /// The duty to fetch those that nobody knows.
    pub lease: Option<FetchLease>,
}

impl Default for SharedCache {
    /// Keeps nothing until somebody reserves room.
    fn default() -> Self {
        Self(Mutex::new(State {
            rows: LruRows::new(0),
            version: Arc::from(""),
            in_flight: HashMap::new(),
            reservations: Vec::new(),
        }))
    }
}

impl SharedCache {
    /// Allows so many bytes for as long as the claim lives.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize, metrics: &CacheMetrics) -> Reservation {
        let mut state = lock(&self.0);
        state.reservations.push(bytes);
        state.resize(metrics);
        Reservation {
            cache: self.clone(),
            bytes,
            metrics: metrics.clone(),
        }
    }

    /// Sorts rows by who knows them. Those that nobody does are on their way from now on, by the
    /// leader that is given. Without `join`, rows on their way count as unknown.
    pub(super) fn look_up(
        self: &Arc<Self>,
        keys: &[Arc<[u8]>],
        rows: impl Iterator<Item = usize>,
        ttl: Duration,
        join: bool,
        now: Instant,
    ) -> Lookup {
        let (sender, receiver) = watch::channel(None);
        let mut lease = FetchLease {
            cache: self.clone(),
            sender,
            keys: Vec::new(),
            asked: Vec::new(),
        };
        let (mut hits, mut waits) = (Vec::new(), Vec::new());
        let mut guard = lock(&self.0);
        let state = &mut *guard;
        for row in rows {
            let key = &keys[row];
            let entry = state.rows.get(key, ttl, now);
            if let Some(entry) = entry.filter(|entry| entry.version == state.version) {
                hits.push((row, entry.row));
            } else if let Some(waiter) = state.in_flight.get(key).filter(|_| join) {
                waits.push((row, waiter.clone()));
            } else {
                let at = lease.keys.len();
                lease.keys.push(key.clone());
                lease.asked.push(row);
                let waiter = Waiter {
                    receiver: receiver.clone(),
                    at,
                };
                state.in_flight.entry(key.clone()).or_insert(waiter);
            }
        }
        // A leader that is dropped takes the lock.
        drop(guard);
        Lookup {
            hits,
            waits,
            lease: (!lease.asked.is_empty()).then_some(lease),
        }
    }
}

impl State {
    fn resize(&mut self, metrics: &CacheMetrics) {
        let most = self.reservations.iter().copied().max().unwrap_or(0);
        let evicted = self.rows.resize(most);
        metrics.kept(self.rows.bytes(), evicted);
    }
}

/// A share in a segment: it keeps at least as much as this claim allows, while it lives.
#[derive(Debug)]
pub(super) struct Reservation {
    cache: Arc<SharedCache>,
    bytes: usize,
    metrics: CacheMetrics,
}

impl Reservation {
    pub(super) fn cache(&self) -> &Arc<SharedCache> {
        &self.cache
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = lock(&self.cache.0);
        if let Some(at) = state.reservations.iter().position(|b| *b == self.bytes) {
            state.reservations.swap_remove(at);
        }
        state.resize(&self.metrics);
    }
}

/// The duty to fetch rows that others may wait for. Dropped, it tells them that nobody does.
#[derive(Debug)]
pub(super) struct FetchLease {
    cache: Arc<SharedCache>,
    sender: watch::Sender<Option<FetchOutcome>>,
    keys: Vec<Arc<[u8]>>,
    asked: Vec<usize>,
}

impl FetchLease {
    /// The rows to fetch, by their place in the request.
    pub(super) fn asked(&self) -> &[usize] {
        &self.asked
    }

    /// The rows are there, from this version of the model.
    pub(super) fn complete(self, version: &str, rows: &[Arc<Row>], metrics: &CacheMetrics) {
        let now = Instant::now();
        {
            let mut state = lock(&self.cache.0);
            if *state.version != *version {
                state.version = Arc::from(version);
            }
            let mut evicted = 0;
            for (key, row) in self.keys.iter().zip(rows) {
                let entry = Entry {
                    version: state.version.clone(),
                    row: row.clone(),
                };
                let bytes = row.iter().map(|output| output.len()).sum();
                evicted += state.rows.put(key.clone(), entry, bytes, now);
            }
            metrics.kept(state.rows.bytes(), evicted);
        }
        self.sender
            .send_replace(Some(FetchOutcome::Fetched(rows.into())));
    }

    /// The call failed.
    pub(super) fn fail(self) {
        self.sender.send_replace(Some(FetchOutcome::Failed));
    }
}

impl Drop for FetchLease {
    fn drop(&mut self) {
        let mut state = lock(&self.cache.0);
        for key in &self.keys {
            // Not those of another call for the same row.
            let own = state
                .in_flight
                .get(key)
                .is_some_and(|w| self.sender.subscribe().same_channel(&w.receiver));
            if own {
                state.in_flight.remove(key);
            }
        }
    }
}

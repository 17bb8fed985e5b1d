//! The cache of one model, shared by all nodes that call it: rows of answers, and rows in flight.
//!
//! The lock is held while the rows of a request are looked up, never across an `.await`. Rows in
//! flight belong to requests in flight, which admission bounds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use motet_runtime::metrics::CacheMetrics;
use tokio::sync::watch;
use tokio::time::Instant;

use super::lru::LruRows;
use super::rows::Row;
use crate::call::layers::breaker::lock;

/// Rows of the answers of one model, shared by all nodes that cache its calls.
#[derive(Debug)]
pub struct SharedCache(Mutex<State>);

#[derive(Debug)]
struct State {
    rows: LruRows<Entry>,
    /// Version of the model that answered last. Rows of another version are misses.
    version: Arc<str>,
    /// Number of times that the model was replaced.
    replacements: u64,
    /// Rows that a call is fetching.
    in_flight: HashMap<Arc<[u8]>, Waiter>,
    /// Size in bytes that each node reserves; the largest is the size of the cache.
    reservations: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    version: Arc<str>,
    row: Arc<Row>,
}

/// Outcome of a call that fetched rows.
#[derive(Debug, Clone)]
pub(super) enum FetchOutcome {
    /// The rows, in the order of the keys of its lease.
    Fetched(Arc<[Arc<Row>]>),
    /// The call failed.
    Failed,
}

/// A row that a call is fetching.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    receiver: watch::Receiver<Option<FetchOutcome>>,
    /// Position of the row in the call.
    pub at: usize,
}

impl Waiter {
    /// Waits for the end of the call. `None` if its caller abandoned it.
    pub(super) async fn outcome(&mut self) -> Option<FetchOutcome> {
        let outcome = self.receiver.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone())
    }
}

/// Result of looking up rows. A row is given by its position in the request.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Rows in the cache.
    pub hits: Vec<(usize, Arc<Row>)>,
    /// Rows that another call is fetching.
    pub waits: Vec<(usize, Waiter)>,
    /// The other rows, to be fetched by the caller.
    pub lease: Option<FetchLease>,
}

impl Default for SharedCache {
    /// Returns a cache of 0 bytes; reservations enlarge it.
    fn default() -> Self {
        Self(Mutex::new(State {
            rows: LruRows::new(0),
            version: Arc::from(""),
            replacements: 0,
            in_flight: HashMap::new(),
            reservations: Vec::new(),
        }))
    }
}

impl SharedCache {
    /// Enlarges the cache to at least `bytes` while the reservation lives.
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

    /// Forgets the rows of a model that was replaced: those in the cache, and those in flight.
    pub(crate) fn renew(&self) {
        let mut state = lock(&self.0);
        state.replacements += 1;
        state.rows.clear();
        state.in_flight.clear();
    }

    /// Looks up `rows`, positions in `keys`. Rows that are missing count as in flight from now on,
    /// until the returned lease ends. Without `join`, rows in flight count as missing.
    pub(super) fn look_up(
        self: &Arc<Self>,
        keys: &[Arc<[u8]>],
        rows: impl Iterator<Item = usize>,
        ttl: Duration,
        join: bool,
        now: Instant,
    ) -> Lookup {
        let (sender, receiver) = watch::channel(None);
        let mut guard = lock(&self.0);
        let state = &mut *guard;
        let mut lease = FetchLease {
            cache: self.clone(),
            replacements: state.replacements,
            sender,
            keys: Vec::new(),
            asked: Vec::new(),
        };
        let (mut hits, mut waits) = (Vec::new(), Vec::new());
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
        // A lease that is dropped takes the lock.
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

/// A reserved size, in bytes, of a [`SharedCache`]. Dropping it may shrink the cache.
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

/// The exclusive right to fetch some rows, on which other requests may wait. Dropping it makes them
/// look the rows up again.
#[derive(Debug)]
pub(super) struct FetchLease {
    cache: Arc<SharedCache>,
    /// Number of times that the model had been replaced when the rows were looked up.
    replacements: u64,
    sender: watch::Sender<Option<FetchOutcome>>,
    keys: Vec<Arc<[u8]>>,
    asked: Vec<usize>,
}

impl FetchLease {
    /// Returns the rows to fetch, by their position in the request.
    pub(super) fn asked(&self) -> &[usize] {
        &self.asked
    }

    /// Adds the fetched rows, of this version of the model, and wakes the waiting requests.
    pub(super) fn complete(self, version: &str, rows: &[Arc<Row>], metrics: &CacheMetrics) {
        let now = Instant::now();
        let mut state = lock(&self.cache.0);
        // A model that was replaced meanwhile may have answered.
        if state.replacements == self.replacements {
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
        drop(state);
        self.sender
            .send_replace(Some(FetchOutcome::Fetched(rows.into())));
    }

    /// Reports a failed call to the waiting requests.
    pub(super) fn fail(self) {
        self.sender.send_replace(Some(FetchOutcome::Failed));
    }
}

impl Drop for FetchLease {
    fn drop(&mut self) {
        let mut state = lock(&self.cache.0);
        for key in &self.keys {
            // Another call may be fetching the same row.
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

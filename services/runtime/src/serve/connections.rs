//! The open connections of a port: how many there are, and which makes room for another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Shutdown;
use crate::limits::ConnectionPlaces;
use crate::metrics::ServerMetrics;

/// Time that an idle connection has to close before it is cut off.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// The same for one that has had no request: nothing of it can be lost but the first.
const UNUSED_CLOSE_TIMEOUT: Duration = Duration::from_millis(20);
/// Most connections without any request that make room at once.
const UNUSED_CLOSED_MAX: usize = 16;

/// The connections of a port. Clones share them.
#[derive(Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    slots: Arc<Semaphore>,
    open: Mutex<Open>,
    metrics: Option<ServerMetrics>,
}

#[derive(Default)]
struct Open {
    last: u64,
    entries: BTreeMap<u64, Entry>,
}

/// A connection that may be asked to make room.
struct Entry {
    places: ConnectionPlaces,
    shutdown: Shutdown,
}

/// The slot of an open connection. Dropping it gives it back.
pub(super) struct Slot {
    id: u64,
    connections: Connections,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connections {
    pub(super) fn new(max: usize, metrics: Option<ServerMetrics>) -> Self {
        Self(Arc::new(Inner {
            slots: Arc::new(Semaphore::new(max)),
            open: Mutex::default(),
            metrics,
        }))
    }

    /// Waits for a slot. Where there is none, the connection that has been idle for longest makes
    /// room; where none is idle, the first that ends does.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let slot = self.0.slots.clone().acquire_owned();
            // The semaphore is never closed.
            match tokio::time::timeout(Duration::ZERO, slot).await {
                Ok(slot) => return slot.ok(),
                Err(_) => {
                    let made_room = self.make_room();
                    let slot = self.0.slots.clone().acquire_owned();
                    // Connections become idle meanwhile.
                    let wait = CLOSE_TIMEOUT * if made_room { 4 } else { 1 };
                    if let Ok(slot) = tokio::time::timeout(wait, slot).await {
                        return slot.ok();
                    }
                }
            }
        }
    }

    /// Closes the connection that has been idle for longest. Of those without any request so far,
    /// which go first, it closes several, so that many of them do not keep a new client waiting.
    /// `false` if none is idle.
    pub(super) fn make_room(&self) -> bool {
        let mut open = self.lock();
        let entries = open.entries.iter();
        let idle = entries.filter_map(|(id, entry)| Some((entry.places.idle()?, *id)));
        let mut idle: Vec<_> = idle.collect();
        idle.sort_unstable();
        let unused = idle.iter().take(UNUSED_CLOSED_MAX);
        let unused = unused.filter(|(idle, _)| !idle.was_used()).count();
        idle.truncate(unused.max(1));
        let closed: Vec<_> = idle
            .into_iter()
            .filter_map(|(idle, id)| Some((idle.was_used(), open.entries.remove(&id)?)))
            .collect();
        drop(open);
        for (was_used, entry) in &closed {
            if let Some(metrics) = &self.0.metrics {
                metrics.cut("idle_connection");
            }
            entry.shutdown.graceful.cancel();
            let forced = entry.shutdown.forced.clone();
            let timeout = match was_used {
                true => CLOSE_TIMEOUT,
                false => UNUSED_CLOSE_TIMEOUT,
            };
            tokio::spawn(async move {
                tokio::time::sleep(timeout).await;
                forced.cancel();
            });
        }
        !closed.is_empty()
    }

    /// Adds a connection.
    pub(super) fn add(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        places: ConnectionPlaces,
        shutdown: Shutdown,
    ) -> Slot {
        let mut open = self.lock();
        open.last += 1;
        let id = open.last;
        open.entries.insert(id, Entry { places, shutdown });
        if let Some(metrics) = &self.0.metrics {
            metrics.connections(1);
        }
        Slot {
            id,
            connections: self.clone(),
            _permit: permit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.lock().entries.remove(&self.id);
        if let Some(metrics) = &self.connections.0.metrics {
            metrics.connections(-1);
        }
    }
}

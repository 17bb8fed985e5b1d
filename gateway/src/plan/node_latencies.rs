//! What was learnt of how long the nodes of a graph take, and what follows for a request's time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use motet_runtime::metrics::RefusalMetrics;
use tokio::time::Instant;

use super::forecast::{Durations, Estimate, Forecast, Foreseen, Size};
use super::{Liveness, Topology};

/// A forecast holds for so long before it is made anew.
const FORECAST_KEPT: Duration = Duration::from_millis(50);
/// Of so many requests or nodes that cannot be in time, one goes on all the same: so a forecast
/// that is wrong mends itself.
const TRIED: u32 = 16;

/// A forecast, and when it was made.
type Made = (Instant, Arc<Forecast>);

/// What was learnt of how long the nodes of a graph take.
#[derive(Debug)]
pub struct NodeLatencies {
    nodes: Box<[Mutex<Durations>]>,
    /// By size.
    forecasts: Mutex<Vec<Option<Made>>>,
    hopeless: AtomicU32,
    refusals: RefusalMetrics,
}

impl NodeLatencies {
    /// Nothing is known of so many nodes.
    pub fn new(nodes: usize, refusals: RefusalMetrics) -> Self {
        let now = Instant::now();
        Self {
            nodes: (0..nodes)
                .map(|_| Mutex::new(Durations::new(now)))
                .collect(),
            forecasts: Mutex::new(vec![None; Size::COUNT]),
            hopeless: AtomicU32::new(0),
            refusals,
        }
    }

    /// A node took so long for a request of this size.
    pub(crate) fn done(&self, node: usize, size: Size, took: Duration) {
        lock(&self.nodes[node]).record(size, took, Instant::now());
    }

    /// A node was given up after so long, which says that it takes at least that.
    pub(crate) fn late(&self, node: usize, size: Size, took: Duration) {
        let now = Instant::now();
        let mut durations = lock(&self.nodes[node]);
        if took > durations.estimate(size, now).usual {
            durations.record(size, took, now);
        }
    }

    /// What is expected of a request of this size that asks for all results of the graph.
    pub(crate) fn forecast(&self, topology: &Topology, size: Size) -> Arc<Forecast> {
        let now = Instant::now();
        if let Some((made, forecast)) = &lock(&self.forecasts)[size.index()]
            && now.saturating_duration_since(*made) < FORECAST_KEPT
        {
            return forecast.clone();
        }
        let forecast = Arc::new(self.forecast_of(topology, &topology.liveness, size));
        lock(&self.forecasts)[size.index()] = Some((now, forecast.clone()));
        forecast
    }

    /// What is expected of a request of this size that asks for some of them.
    pub(crate) fn forecast_of(
        &self,
        topology: &Topology,
        liveness: &Liveness,
        size: Size,
    ) -> Forecast {
        let now = Instant::now();
        let graph: Vec<Foreseen<'_>> = (0..topology.dependents.len())
            .map(|at| Foreseen {
                estimate: match liveness.users[at] {
                    0 => Estimate::default(),
                    _ => lock(&self.nodes[at]).estimate(size, now),
                },
                dependents: &topology.dependents[at],
                spared: !liveness.forced[at],
            })
            .collect();
        Forecast::new(&graph)
    }

    /// Whether something that cannot be in time is refused, or tried all the same.
    pub(crate) fn refuses(&self) -> bool {
        let refuses = self.hopeless.fetch_add(1, Ordering::Relaxed) % TRIED != TRIED - 1;
        if refuses {
            self.refusals.refused();
        }
        refuses
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

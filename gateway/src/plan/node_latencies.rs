//! Latency statistics of the nodes of a graph, learnt over requests, and forecasts made of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use motet_runtime::metrics::RefusalMetrics;
use tokio::time::Instant;

use super::forecast::{Estimate, Forecast, ForecastNode, SizeClass, SizedLatencyWindow};
use super::{Liveness, Topology};

/// Age at which a cached forecast is computed again.
const FORECAST_TTL: Duration = Duration::from_millis(50);
/// One in this many requests or nodes that cannot finish in time runs all the same, so that a
/// forecast that is too pessimistic corrects itself.
const PROBE_EVERY: u32 = 16;

/// A forecast and the time at which it was made.
#[derive(Debug, Clone)]
struct CachedForecast {
    made: Instant,
    forecast: Arc<Forecast>,
}

/// Latency statistics of the nodes of a graph. All requests share them.
#[derive(Debug)]
pub struct NodeLatencies {
    nodes: Box<[Mutex<SizedLatencyWindow>]>,
    /// By size class.
    forecasts: Mutex<Vec<Option<CachedForecast>>>,
    /// Requests and nodes that could not finish in time, probes included.
    infeasible: AtomicU32,
    refusals: RefusalMetrics,
}

impl NodeLatencies {
    /// Returns the statistics of `nodes` nodes, without any latency yet.
    pub fn new(nodes: usize, refusals: RefusalMetrics) -> Self {
        let now = Instant::now();
        Self {
            nodes: (0..nodes)
                .map(|_| Mutex::new(SizedLatencyWindow::new(now)))
                .collect(),
            forecasts: Mutex::new(vec![None; SizeClass::COUNT]),
            infeasible: AtomicU32::new(0),
            refusals,
        }
    }

    /// Records the latency of a node for a request of class `size`.
    pub(crate) fn record(&self, node: usize, size: SizeClass, latency: Duration) {
        lock(&self.nodes[node]).record(size, latency, Instant::now());
    }

    /// Records that a node was still running after `elapsed`, a lower bound of its latency.
    pub(crate) fn record_timeout(&self, node: usize, size: SizeClass, elapsed: Duration) {
        let now = Instant::now();
        let mut window = lock(&self.nodes[node]);
        if elapsed > window.estimate(size, now).median {
            window.record(size, elapsed, now);
        }
    }

    /// Returns the forecast of a request of class `size` for all results of the graph, from the
    /// cache if it is recent.
    pub(crate) fn forecast(&self, topology: &Topology, size: SizeClass) -> Arc<Forecast> {
        let now = Instant::now();
        if let Some(cached) = &lock(&self.forecasts)[size.index()]
            && now.saturating_duration_since(cached.made) < FORECAST_TTL
        {
            return cached.forecast.clone();
        }
        let forecast = Arc::new(self.forecast_for(topology, &topology.liveness, size));
        lock(&self.forecasts)[size.index()] = Some(CachedForecast {
            made: now,
            forecast: forecast.clone(),
        });
        forecast
    }

    /// Returns the forecast of a request of class `size` for the results that `liveness` stands
    /// for.
    pub(crate) fn forecast_for(
        &self,
        topology: &Topology,
        liveness: &Liveness,
        size: SizeClass,
    ) -> Forecast {
        let now = Instant::now();
        let graph: Vec<ForecastNode<'_>> = (0..topology.dependents.len())
            .map(|at| ForecastNode {
                estimate: match liveness.ref_counts[at] {
                    0 => Estimate::default(),
                    _ => lock(&self.nodes[at]).estimate(size, now),
                },
                dependents: &topology.dependents[at],
                optional: !liveness.required[at],
            })
            .collect();
        Forecast::new(&graph)
    }

    /// Decides whether a request or a node that cannot finish in time is rejected, and counts it if
    /// so. The others run as probes.
    pub(crate) fn should_reject(&self) -> bool {
        let count = self.infeasible.fetch_add(1, Ordering::Relaxed);
        let should_reject = count % PROBE_EVERY != PROBE_EVERY - 1;
        if should_reject {
            self.refusals.refused();
        }
        should_reject
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use motet_runtime::metrics::Metrics;

    use super::*;
    use crate::plan::Edges;

    const SIZE: SizeClass = SizeClass::of(100);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn latencies(nodes: usize) -> NodeLatencies {
        NodeLatencies::new(nodes, Metrics::new("test").unwrap().refusals("p"))
    }

    /// Node 0, then node 1, both of which the results need.
    fn chain() -> Topology {
        let edges = |dependencies| Edges {
            dependencies,
            substitutes: None,
        };
        Topology {
            edges: vec![edges(vec![]), edges(vec![0])],
            dependents: vec![vec![1], vec![]],
            substitutes_for: vec![vec![], vec![]],
            liveness: Liveness {
                ref_counts: vec![1, 1],
                is_result: vec![false, true],
                result_count: 1,
                required: vec![true, true],
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_forecast_is_computed_again_when_it_is_old() {
        let (latencies, chain) = (latencies(2), chain());
        let min = || {
            latencies
                .forecast(&chain, SIZE)
                .min_if_infeasible(Duration::ZERO)
        };
        assert_eq!(min(), None);
        for node in [0, 1] {
            (0..10).for_each(|_| latencies.record(node, SIZE, ms(30)));
        }
        assert_eq!(min(), None, "the cached one");
        assert_eq!(
            latencies
                .forecast(&chain, SizeClass::of(1000))
                .min_if_infeasible(Duration::ZERO),
            Some(ms(60)),
            "another class has a forecast of its own"
        );
        tokio::time::advance(FORECAST_TTL).await;
        let found = min().unwrap();
        assert!((ms(59)..=ms(60)).contains(&found), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_that_are_not_needed_take_no_time() {
        let (latencies, mut chain) = (latencies(2), chain());
        for node in [0, 1] {
            (0..10).for_each(|_| latencies.record(node, SIZE, ms(30)));
        }
        for (ref_counts, required, min) in [
            ([1, 1], [true, true], Some(ms(60))),
            ([1, 1], [true, false], Some(ms(30))),
            ([1, 0], [true, true], Some(ms(30))),
            ([1, 1], [false, false], None),
        ] {
            chain.liveness.ref_counts = ref_counts.to_vec();
            chain.liveness.required = required.to_vec();
            let forecast = latencies.forecast_for(&chain, &chain.liveness, SIZE);
            let found = forecast.min_if_infeasible(Duration::ZERO);
            assert_eq!(found, min, "{ref_counts:?} {required:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_counts_when_it_is_longer_than_the_median() {
        let (latencies, chain) = (latencies(2), chain());
        let min = |latencies: &NodeLatencies| {
            let forecast = latencies.forecast_for(&chain, &chain.liveness, SIZE);
            forecast.min_if_infeasible(Duration::ZERO)
        };
        (0..10).for_each(|_| latencies.record(0, SIZE, ms(30)));
        latencies.record_timeout(0, SIZE, ms(10));
        assert_eq!(min(&latencies), Some(ms(30)));
        (0..100).for_each(|_| latencies.record_timeout(0, SIZE, ms(50)));
        let found = min(&latencies);
        assert_eq!(found, Some(ms(30)), "earlier latencies remain");
        (0..10).for_each(|_| latencies.record_timeout(1, SIZE, ms(50)));
        assert_eq!(min(&latencies), Some(ms(80)));
    }

    #[test]
    fn one_in_sixteen_infeasible_requests_is_a_probe() {
        let latencies = latencies(0);
        let rejected: Vec<bool> = (0..32).map(|_| latencies.should_reject()).collect();
        let probes = rejected
            .iter()
            .enumerate()
            .filter(|(_, rejected)| !**rejected);
        assert_eq!(probes.map(|(at, _)| at).collect::<Vec<_>>(), [15, 31]);
    }
}

//! Forecast of how long the rest of a graph takes: the time that a node leaves to the nodes after
//! it, and the requests that cannot finish in time.
//!
//! A forecast is made from the latest latencies of each node, each with the size class of its
//! request. For a request of some size, only the latencies of requests as large or smaller count:
//! those of small requests are a lower bound for large ones, while those of large requests say
//! nothing about small ones. So a small request with a short deadline is not rejected because
//! large ones took long.

use std::time::Duration;

use motet_runtime::deadline::Deadline;
use tokio::time::Instant;

use crate::policy::latency::nearest_rank;
use crate::policy::window::Window;

/// Latencies kept for each node.
const WINDOW: usize = 64;
/// Fewest latencies that make an estimate.
const SAMPLES_MIN: usize = 8;
/// An estimate without new latencies for this long counts half. So a node that no longer runs,
/// because requests that need it are rejected, is tried again.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// A request is rejected when it has less than this share of the smallest time seen: the next run
/// may be slightly faster than all before it.
const REJECT_SHARE: f64 = 0.8;

/// Size class of a request: the number of bits of its size in bytes, so that classes double.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeClass(u8);

impl SizeClass {
    /// Number of size classes.
    pub const COUNT: usize = 65;

    /// Returns the class of a request of `bytes` bytes.
    pub const fn of(bytes: usize) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        Self((usize::BITS - bytes.leading_zeros()) as u8)
    }

    /// Returns the index of the class, below [`SizeClass::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Expected latency of a node; zero when unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Minimum of the latest latencies.
    pub min: Duration,
    /// Median of the latest latencies.
    pub median: Duration,
}

/// The latest latencies of one node, each with the size class of its request.
#[derive(Debug, Clone)]
pub struct SizedLatencyWindow {
    window: Window<(SizeClass, Duration)>,
    /// Time of the latest sample.
    latest: Instant,
}

impl SizedLatencyWindow {
    /// Returns an empty window.
    pub const fn new(now: Instant) -> Self {
        Self {
            window: Window::new(WINDOW),
            latest: now,
        }
    }

    /// Adds the latency of a request of class `size`.
    pub fn record(&mut self, size: SizeClass, latency: Duration, now: Instant) {
        self.latest = self.latest.max(now);
        self.window.push((size, latency));
    }

    /// Returns the expected latency for a request of class `size`: zero below `SAMPLES_MIN`
    /// latencies of this class or smaller ones.
    pub fn estimate(&self, size: SizeClass, now: Instant) -> Estimate {
        let mut comparable: Vec<Duration> = self
            .window
            .iter()
            .filter(|(other, _)| *other <= size)
            .map(|(_, latency)| *latency)
            .collect();
        if comparable.len() < SAMPLES_MIN {
            return Estimate::default();
        }
        let idle = now.saturating_duration_since(self.latest);
        let decay = (-idle.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        let mut percentile = |share| {
            let latency = nearest_rank(&mut comparable, share).unwrap_or_default();
            latency.mul_f64(decay)
        };
        Estimate {
            min: percentile(0.0),
            median: percentile(0.5),
        }
    }
}

/// One node of a graph, as a forecast needs it.
#[derive(Debug, Clone, Copy)]
pub struct ForecastNode<'g> {
    /// Expected latency.
    pub estimate: Estimate,
    /// The nodes that need its results, each of which comes after it in the graph's order.
    pub dependents: &'g [usize],
    /// `true` if the request succeeds without the node, so that the node can be cut short.
    pub optional: bool,
}

impl ForecastNode<'_> {
    /// Returns the time that the request needs for this node.
    fn required(&self) -> Estimate {
        match self.optional {
            true => Estimate::default(),
            false => self.estimate,
        }
    }
}

/// Time from the end of a node to the end of the graph, along the longest path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Remaining {
    /// Minimum over the required nodes.
    min: Duration,
    /// Median over the required nodes.
    required: Duration,
    /// Median over all nodes.
    all: Duration,
}

/// Expected latencies of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    nodes: Vec<Estimate>,
    remaining: Vec<Remaining>,
    /// For each node, `true` if the request succeeds without it.
    optional: Vec<bool>,
    /// Minimum of the whole graph.
    min: Duration,
    /// Median of the whole graph, along its longest path.
    median: Duration,
}

/// Time that a node may take when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeAllowance {
    /// The node has until this deadline.
    Until(Deadline),
    /// The remaining time is too short; at least this much is needed.
    Insufficient(Duration),
}

impl Forecast {
    /// Returns the forecast of `graph`, in which each node comes before those that need it.
    pub fn new(graph: &[ForecastNode<'_>]) -> Self {
        let mut forecast = Self {
            nodes: graph.iter().map(|node| node.estimate).collect(),
            remaining: vec![Remaining::default(); graph.len()],
            optional: graph.iter().map(|node| node.optional).collect(),
            min: Duration::ZERO,
            median: Duration::ZERO,
        };
        for (at, node) in graph.iter().enumerate().rev() {
            let mut remaining = Remaining::default();
            for &next in node.dependents {
                let (own, rest) = (graph[next].required(), forecast.remaining[next]);
                remaining.min = remaining.min.max(own.min + rest.min);
                remaining.required = remaining.required.max(own.median + rest.required);
                remaining.all = remaining.all.max(graph[next].estimate.median + rest.all);
            }
            forecast.remaining[at] = remaining;
            forecast.min = forecast.min.max(node.required().min + remaining.min);
            let median = node.required().median + remaining.required;
            forecast.median = forecast.median.max(median);
        }
        forecast
    }

    /// Returns the minimum time of the whole graph if it is more than can be done in `left`.
    pub fn min_if_infeasible(&self, left: Duration) -> Option<Duration> {
        (self.min.mul_f64(REJECT_SHARE) > left).then_some(self.min)
    }

    /// Returns the median time of the whole graph, without what it can do without.
    pub const fn median(&self) -> Duration {
        self.median
    }

    /// Returns whether the request succeeds without `node`.
    pub fn is_optional(&self, node: usize) -> bool {
        self.optional.get(node).copied().unwrap_or(false)
    }

    /// Returns the time allowance of `node` when it starts at `now` in a request that ends at
    /// `until`.
    ///
    /// The median time of the nodes after it is reserved for them. When the time is too short for
    /// all, nothing is reserved for optional nodes; when it is too short for the required nodes
    /// too, each node gets a share in proportion to its median.
    pub fn allowance(&self, node: usize, now: Instant, until: Deadline) -> TimeAllowance {
        let (Some(own), Some(remaining)) = (self.nodes.get(node), self.remaining.get(node)) else {
            return TimeAllowance::Until(until);
        };
        let left = until.remaining(now);
        let min = own.min + remaining.min;
        if min.mul_f64(REJECT_SHARE) > left {
            return TimeAllowance::Insufficient(min);
        }
        let reserve = match own.median + remaining.all <= left {
            true => remaining.all,
            false => remaining.required,
        };
        if reserve.is_zero() {
            return TimeAllowance::Until(until);
        }
        let share = if own.median.is_zero() {
            // Its latency is unknown.
            0.5
        } else {
            own.median.as_secs_f64() / (own.median + reserve).as_secs_f64()
        };
        let limit = left.saturating_sub(reserve).max(left.mul_f64(share));
        TimeAllowance::Until(until.min(Deadline::after(now, limit)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: SizeClass = SizeClass::of(100);
    const LARGE: SizeClass = SizeClass::of(100_000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn known(min: u64, median: u64) -> Estimate {
        Estimate {
            min: ms(min),
            median: ms(median),
        }
    }

    #[test]
    fn size_classes_double() {
        let classes: Vec<usize> = [0, 1, 2, 3, 4, 1023, 1024, usize::MAX]
            .map(|bytes| SizeClass::of(bytes).index())
            .to_vec();
        assert_eq!(classes, [0, 1, 2, 2, 3, 10, 11, 64]);
    }

    #[test]
    fn large_requests_do_not_affect_estimates_of_small_ones() {
        let now = Instant::now();
        let mut durations = SizedLatencyWindow::new(now);
        for n in 0..SAMPLES_MIN as u64 {
            assert_eq!(
                durations.estimate(LARGE, now),
                Estimate::default(),
                "{n} known"
            );
            durations.record(LARGE, ms(100 + n), now);
        }
        assert_eq!(durations.estimate(LARGE, now), known(100, 103));
        assert_eq!(durations.estimate(SMALL, now), Estimate::default());
        for n in 0..SAMPLES_MIN as u64 {
            durations.record(SMALL, ms(10 + n), now);
        }
        assert_eq!(durations.estimate(SMALL, now), known(10, 13));
        assert_eq!(durations.estimate(LARGE, now), known(10, 17));
    }

    #[test]
    fn estimates_decay_without_new_samples_and_follow_new_ones() {
        let now = Instant::now();
        let mut durations = SizedLatencyWindow::new(now);
        (0..WINDOW).for_each(|_| durations.record(SMALL, ms(400), now));
        let later = now + HALF_LIFE;
        assert_eq!(durations.estimate(SMALL, later), known(200, 200));
        assert_eq!(
            durations.estimate(SMALL, later + HALF_LIFE),
            known(100, 100)
        );
        durations.record(SMALL, ms(4), later);
        assert_eq!(durations.estimate(SMALL, later), known(4, 400));
        (0..WINDOW).for_each(|_| durations.record(SMALL, ms(5), later));
        assert_eq!(durations.estimate(SMALL, later), known(5, 5));
    }

    /// Two parallel nodes, then one that needs both, then one that is optional.
    fn diamond(estimates: [Estimate; 4]) -> Forecast {
        let dependents: [&[usize]; 4] = [&[2], &[2], &[3], &[]];
        let graph: Vec<ForecastNode<'_>> = (0..4)
            .map(|at| ForecastNode {
                estimate: estimates[at],
                dependents: dependents[at],
                optional: at == 3,
            })
            .collect();
        Forecast::new(&graph)
    }

    #[test]
    fn time_is_reserved_for_the_nodes_that_follow() {
        let forecast = diamond([known(10, 20), known(1, 2), known(30, 60), known(100, 200)]);
        assert_eq!(
            forecast.min_if_infeasible(ms(31)),
            Some(ms(40)),
            "the last is optional"
        );
        assert_eq!(forecast.min_if_infeasible(ms(32)), None);
        let now = Instant::now();
        let until = |ms: u64| Deadline::after(now, Duration::from_millis(ms));
        for (node, left, limit) in [
            // Enough for all: the median of the nodes that follow is reserved.
            (0, 1000, Some(740)),
            (1, 1000, Some(740)),
            (2, 1000, Some(800)),
            (3, 1000, Some(1000)),
            // Too little for all: nothing is reserved for the optional node.
            (0, 140, Some(80)),
            (2, 130, Some(130)),
            // Too little for the required nodes: each gets its share.
            (0, 72, Some(18)),
            // Too little even for the minimum.
            (0, 31, None),
            (2, 23, None),
        ] {
            let wanted = match limit {
                Some(limit) => TimeAllowance::Until(until(limit)),
                None => TimeAllowance::Insufficient(ms(if node == 0 { 40 } else { 30 })),
            };
            assert_eq!(
                forecast.allowance(node, now, until(left)),
                wanted,
                "{node} of {left}"
            );
        }
        // A node without samples gets half.
        let forecast = diamond([known(0, 0), known(0, 0), known(30, 60), known(0, 0)]);
        assert_eq!(
            forecast.allowance(0, now, until(100)),
            TimeAllowance::Until(until(50))
        );
        assert_eq!(
            forecast.allowance(0, now, until(300)),
            TimeAllowance::Until(until(240))
        );
        // No node has samples.
        assert_eq!(
            Forecast::default().allowance(7, now, until(5)),
            TimeAllowance::Until(until(5))
        );
    }

    proptest! {
        /// Each node of a chain gets some of the time, and never more than is left.
        #[test]
        fn each_node_of_a_chain_gets_a_share(
            medians in prop::collection::vec(0u64..100, 1..8),
            left in 1u64..2000,
        ) {
            let next: Vec<Vec<usize>> = (0..medians.len())
                .map(|at| if at + 1 < medians.len() { vec![at + 1] } else { Vec::new() })
                .collect();
            let graph: Vec<ForecastNode<'_>> = medians
                .iter()
                .zip(&next)
                .map(|(median, next)| ForecastNode {
                    estimate: known(0, *median),
                    dependents: next,
                    optional: false,
                })
                .collect();
            let forecast = Forecast::new(&graph);
            let now = Instant::now();
            let until = Deadline::after(now, ms(left));
            for node in 0..medians.len() {
                let TimeAllowance::Until(granted) = forecast.allowance(node, now, until) else {
                    return Err(TestCaseError::fail("nothing is rejected"));
                };
                prop_assert!(granted <= until && !granted.is_past(now));
                let after: u64 = medians[node + 1..].iter().sum();
                if medians[node] + after <= left {
                    prop_assert!(granted.remaining(now) >= ms(medians[node]));
                }
            }
        }
    }
}

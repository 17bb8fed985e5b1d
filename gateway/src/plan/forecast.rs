//! How long the rest of a graph is expected to take: what is held back from a node's time for
//! the nodes after it, and what cannot be in time at all.
//!
//! Of each node the latest durations are known, each with the size of its request. For a request
//! of some size only those of requests as large or smaller count: what small ones took is a bound
//! for large ones, while what large ones took says nothing about small ones. So a small request
//! with little time is not refused because large ones took long.

use std::time::Duration;

use motet_runtime::deadline::Deadline;
use tokio::time::Instant;

use crate::policy::latency::nearest_rank;

/// Latest durations of a node that are kept.
const KEPT: usize = 64;
/// Durations that are known before anything follows from them.
const KNOWN_MIN: usize = 8;
/// What nothing new is known of for so long counts half. A node that is not tried any more, since
/// requests for it are refused, is so tried again.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// What is refused has less than this share of the least that was seen: what comes may be a little
/// quicker than all before.
const HOPELESS: f64 = 0.8;

/// The size of a request: how many bits its bytes need, so that sizes double.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u8);

impl Size {
    /// How many sizes there are.
    pub const COUNT: usize = 65;

    /// The size of a request of so many bytes.
    pub const fn of(bytes: usize) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        Self((usize::BITS - bytes.leading_zeros()) as u8)
    }

    /// The number of the size, below [`Size::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a node takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// As little as it lately took.
    pub least: Duration,
    /// What it usually takes: the median.
    pub usual: Duration,
}

/// The latest durations of one node.
#[derive(Debug, Clone)]
pub struct Durations {
    kept: Vec<(Size, Duration)>,
    next: usize,
    latest: Instant,
}

impl Durations {
    /// Nothing is known.
    pub const fn new(now: Instant) -> Self {
        Self {
            kept: Vec::new(),
            next: 0,
            latest: now,
        }
    }

    /// For a request of this size it took so long.
    pub fn record(&mut self, size: Size, took: Duration, now: Instant) {
        self.latest = self.latest.max(now);
        if self.kept.len() < KEPT {
            self.kept.push((size, took));
        } else {
            self.kept[self.next] = (size, took);
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// What a request of this size is expected to take: nothing where too little is known.
    pub fn estimate(&self, size: Size, now: Instant) -> Estimate {
        let mut comparable: Vec<Duration> = self
            .kept
            .iter()
            .filter(|(other, _)| *other <= size)
            .map(|(_, took)| *took)
            .collect();
        if comparable.len() < KNOWN_MIN {
            return Estimate::default();
        }
        let idle = now.saturating_duration_since(self.latest);
        let faded = (-idle.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        let mut at = |share| {
            let took = nearest_rank(&mut comparable, share).unwrap_or_default();
            took.mul_f64(faded)
        };
        Estimate {
            least: at(0.0),
            usual: at(0.5),
        }
    }
}

/// One node of a graph, as a forecast needs it.
#[derive(Debug, Clone, Copy)]
pub struct Foreseen<'g> {
    /// What it takes.
    pub estimate: Estimate,
    /// The nodes that need it: each stands after it in the graph's order.
    pub dependents: &'g [usize],
    /// Whether the request goes on without it, so that its time can be cut short.
    pub spared: bool,
}

impl Foreseen<'_> {
    /// What the request cannot do without.
    fn needed(&self) -> Estimate {
        match self.spared {
            true => Estimate::default(),
            false => self.estimate,
        }
    }
}

/// What follows a node, along whichever way is longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct After {
    /// The least of what the request cannot do without.
    least: Duration,
    /// What that usually takes.
    needed: Duration,
    /// What everything usually takes.
    all: Duration,
}

/// What is expected of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    nodes: Vec<Estimate>,
    after: Vec<After>,
    /// The least that the whole takes.
    least: Duration,
}

/// What a node that starts may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Until then.
    Until(Deadline),
    /// There is not enough: at least so much would be needed.
    TooLittle(Duration),
}

impl Forecast {
    /// The forecast of nodes that stand in an order in which each comes before those that need it.
    pub fn new(graph: &[Foreseen<'_>]) -> Self {
        let mut forecast = Self {
            nodes: graph.iter().map(|node| node.estimate).collect(),
            after: vec![After::default(); graph.len()],
            least: Duration::ZERO,
        };
        for (at, node) in graph.iter().enumerate().rev() {
            let mut after = After::default();
            for &next in node.dependents {
                let (own, rest) = (graph[next].needed(), forecast.after[next]);
                after.least = after.least.max(own.least + rest.least);
                after.needed = after.needed.max(own.usual + rest.needed);
                after.all = after.all.max(graph[next].estimate.usual + rest.all);
            }
            forecast.after[at] = after;
            forecast.least = forecast.least.max(node.needed().least + after.least);
        }
        forecast
    }

    /// The least that the whole graph lately took, where that cannot be done in `left`.
    pub fn too_little(&self, left: Duration) -> Option<Duration> {
        (self.least.mul_f64(HOPELESS) > left).then_some(self.least)
    }

    /// What a node that starts at `now` may take of a request that ends at `until`.
    ///
    /// It is what the nodes after it usually leave. Where there is not enough for all, those that
    /// can be spared get nothing held back; and where there is not enough for the others, each has
    /// its share.
    pub fn time(&self, node: usize, now: Instant, until: Deadline) -> Time {
        let (Some(own), Some(after)) = (self.nodes.get(node), self.after.get(node)) else {
            return Time::Until(until);
        };
        let left = until.remaining(now);
        let least = own.least + after.least;
        if least.mul_f64(HOPELESS) > left {
            return Time::TooLittle(least);
        }
        let reserve = match own.usual + after.all <= left {
            true => after.all,
            false => after.needed,
        };
        if reserve.is_zero() {
            return Time::Until(until);
        }
        let share = if own.usual.is_zero() {
            // Nothing is known of it.
            0.5
        } else {
            own.usual.as_secs_f64() / (own.usual + reserve).as_secs_f64()
        };
        let limit = left.saturating_sub(reserve).max(left.mul_f64(share));
        Time::Until(until.min(Deadline::after(now, limit)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Size = Size::of(100);
    const LARGE: Size = Size::of(100_000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn known(least: u64, usual: u64) -> Estimate {
        Estimate {
            least: ms(least),
            usual: ms(usual),
        }
    }

    #[test]
    fn sizes_double() {
        let sizes: Vec<usize> = [0, 1, 2, 3, 4, 1023, 1024, usize::MAX]
            .map(|bytes| Size::of(bytes).index())
            .to_vec();
        assert_eq!(sizes, [0, 1, 2, 2, 3, 10, 11, 64]);
    }

    #[test]
    fn large_requests_say_nothing_about_small_ones() {
        let now = Instant::now();
        let mut durations = Durations::new(now);
        for n in 0..KNOWN_MIN as u64 {
            assert_eq!(
                durations.estimate(LARGE, now),
                Estimate::default(),
                "{n} known"
            );
            durations.record(LARGE, ms(100 + n), now);
        }
        assert_eq!(durations.estimate(LARGE, now), known(100, 103));
        assert_eq!(durations.estimate(SMALL, now), Estimate::default());
        for n in 0..KNOWN_MIN as u64 {
            durations.record(SMALL, ms(10 + n), now);
        }
        assert_eq!(durations.estimate(SMALL, now), known(10, 13));
        assert_eq!(durations.estimate(LARGE, now), known(10, 17));
    }

    #[test]
    fn what_is_not_tried_any_more_fades_and_what_is_new_counts() {
        let now = Instant::now();
        let mut durations = Durations::new(now);
        (0..KEPT).for_each(|_| durations.record(SMALL, ms(400), now));
        let later = now + HALF_LIFE;
        assert_eq!(durations.estimate(SMALL, later), known(200, 200));
        assert_eq!(
            durations.estimate(SMALL, later + HALF_LIFE),
            known(100, 100)
        );
        durations.record(SMALL, ms(4), later);
        assert_eq!(durations.estimate(SMALL, later), known(4, 400));
        (0..KEPT).for_each(|_| durations.record(SMALL, ms(5), later));
        assert_eq!(durations.estimate(SMALL, later), known(5, 5));
    }

    /// Two nodes side by side, then one, then one that can be spared.
    fn diamond(estimates: [Estimate; 4]) -> Forecast {
        let dependents: [&[usize]; 4] = [&[2], &[2], &[3], &[]];
        let graph: Vec<Foreseen<'_>> = (0..4)
            .map(|at| Foreseen {
                estimate: estimates[at],
                dependents: dependents[at],
                spared: at == 3,
            })
            .collect();
        Forecast::new(&graph)
    }

    #[test]
    fn time_is_held_back_for_what_follows() {
        let forecast = diamond([known(10, 20), known(1, 2), known(30, 60), known(100, 200)]);
        assert_eq!(
            forecast.too_little(ms(31)),
            Some(ms(40)),
            "the last can be spared"
        );
        assert_eq!(forecast.too_little(ms(32)), None);
        let now = Instant::now();
        let until = |ms: u64| Deadline::after(now, Duration::from_millis(ms));
        for (node, left, limit) in [
            // Enough for all: what follows keeps what it usually takes.
            (0, 1000, Some(740)),
            (1, 1000, Some(740)),
            (2, 1000, Some(800)),
            (3, 1000, Some(1000)),
            // Too little for all: the last node has to do with what is left.
            (0, 140, Some(80)),
            (2, 130, Some(130)),
            // Too little for those that are needed: each has its share.
            (0, 72, Some(18)),
            // Not enough at the best.
            (0, 31, None),
            (2, 23, None),
        ] {
            let wanted = match limit {
                Some(limit) => Time::Until(until(limit)),
                None => Time::TooLittle(ms(if node == 0 { 40 } else { 30 })),
            };
            assert_eq!(
                forecast.time(node, now, until(left)),
                wanted,
                "{node} of {left}"
            );
        }
        // A node of which nothing is known gets half.
        let forecast = diamond([known(0, 0), known(0, 0), known(30, 60), known(0, 0)]);
        assert_eq!(forecast.time(0, now, until(100)), Time::Until(until(50)));
        assert_eq!(forecast.time(0, now, until(300)), Time::Until(until(240)));
        // Nothing is known at all.
        assert_eq!(
            Forecast::default().time(7, now, until(5)),
            Time::Until(until(5))
        );
    }

    proptest! {
        /// A chain gives each node some of the time, and never more than there is.
        #[test]
        fn shares_of_a_chain(
            usual in prop::collection::vec(0u64..100, 1..8),
            left in 1u64..2000,
        ) {
            let next: Vec<Vec<usize>> = (0..usual.len())
                .map(|at| if at + 1 < usual.len() { vec![at + 1] } else { Vec::new() })
                .collect();
            let graph: Vec<Foreseen<'_>> = usual
                .iter()
                .zip(&next)
                .map(|(usual, next)| Foreseen {
                    estimate: known(0, *usual),
                    dependents: next,
                    spared: false,
                })
                .collect();
            let forecast = Forecast::new(&graph);
            let now = Instant::now();
            let until = Deadline::after(now, ms(left));
            for node in 0..usual.len() {
                let Time::Until(handed) = forecast.time(node, now, until) else {
                    return Err(TestCaseError::fail("nothing is refused"));
                };
                prop_assert!(handed <= until && !handed.is_past(now));
                let after: u64 = usual[node + 1..].iter().sum();
                if usual[node] + after <= left {
                    prop_assert!(handed.remaining(now) >= ms(usual[node]));
                }
            }
        }
    }
}

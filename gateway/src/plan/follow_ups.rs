//! Statistics of calls of one request that reach the same model one after the other: which, how
//! soon, and with how many rows.
//!
//! A model service that expects further rows can wait for them and run them in one batch. Only
//! calls of which neither needs the results of the other can share a batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::forecast::SizeClass;
use crate::check::Node;
use crate::policy::latency::nearest_rank;
use crate::policy::window::Window;
use crate::syntax::CallTarget;

/// Latest requests kept for each pair of calls.
const WINDOW: usize = 32;
/// Fewest requests that make a prediction.
const SAMPLES_MIN: usize = 4;
/// Share of the latest requests whose rows arrived within the predicted time.
const ARRIVED_SHARE: f64 = 0.9;

/// Statistics of the calls of a graph that follow each other to the same model. All requests share
/// them.
#[derive(Debug)]
pub struct FollowUps {
    /// For each node, its siblings and how their calls followed its own.
    siblings: Vec<Vec<(usize, Mutex<FollowUpStats>)>>,
}

impl FollowUps {
    /// Returns the statistics of `nodes`, without any request yet.
    pub fn new(nodes: &[Arc<Node>]) -> Self {
        let model = |at: usize| match nodes[at].kind.target() {
            Some(CallTarget::Model(name)) => Some(name),
            _ => None,
        };
        let found = sibling_calls(nodes.len(), model, |at| &nodes[at].dependencies);
        let without_stats = |siblings: Vec<usize>| {
            let siblings = siblings.into_iter();
            siblings.map(|at| (at, Mutex::default())).collect()
        };
        Self {
            siblings: found.into_iter().map(without_stats).collect(),
        }
    }

    /// Returns whether the call of a node can share a batch with that of another node.
    pub(crate) fn has_siblings(&self, node: usize) -> bool {
        !self.siblings[node].is_empty()
    }

    /// Iterates over the nodes whose calls can share a batch with that of `node`.
    pub(crate) fn siblings(&self, node: usize) -> impl Iterator<Item = usize> {
        self.siblings[node].iter().map(|(other, _)| *other)
    }

    /// Predicts the rows that follow the call of a node that starts in a request of class `size`,
    /// over the siblings for which `may_start` is true.
    pub(crate) fn predict(
        &self,
        node: usize,
        size: SizeClass,
        may_start: impl Fn(usize) -> bool,
    ) -> Option<FollowUp> {
        let siblings = self.siblings[node].iter();
        siblings
            .filter(|(other, _)| may_start(*other))
            .filter_map(|(_, stats)| lock(stats).predict(size))
            .reduce(|a, b| FollowUp {
                rows: a.rows + b.rows,
                within: a.within.max(b.within),
            })
    }

    /// Records how the call of node `then` followed that of node `first`.
    pub(crate) fn record(&self, first: usize, then: usize, size: SizeClass, follow_up: FollowUp) {
        let pair = self.siblings[first].iter().find(|(at, _)| *at == then);
        if let Some((_, stats)) = pair {
            lock(stats).record(size, follow_up);
        }
    }
}

/// Rows that follow a call to the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowUp {
    /// Approximate number of rows.
    pub rows: usize,
    /// Time from the start of the call within which they most probably arrive.
    pub within: Duration,
}

/// How one call of a graph followed another in the latest requests.
#[derive(Debug, Clone)]
pub struct FollowUpStats(Window<(SizeClass, FollowUp)>);

impl Default for FollowUpStats {
    fn default() -> Self {
        Self(Window::new(WINDOW))
    }
}

impl FollowUpStats {
    /// Records a request of class `size`.
    pub fn record(&mut self, size: SizeClass, follow_up: FollowUp) {
        self.0.push((size, follow_up));
    }

    /// Predicts the follow-up in a request of class `size` from the latest requests of that class:
    /// the median of the rows, and the time within which `ARRIVED_SHARE` of them arrived. `None`
    /// below `SAMPLES_MIN` requests, and when no rows usually follow.
    pub fn predict(&self, size: SizeClass) -> Option<FollowUp> {
        let of_class = self.0.iter().filter(|(other, _)| *other == size);
        let (mut rows, mut gaps): (Vec<usize>, Vec<Duration>) = of_class
            .map(|(_, follow_up)| (follow_up.rows, follow_up.within))
            .unzip();
        if rows.len() < SAMPLES_MIN {
            return None;
        }
        let middle = rows.len() / 2;
        let rows = *rows.select_nth_unstable(middle).1;
        let within = nearest_rank(&mut gaps, ARRIVED_SHARE)?;
        (rows > 0).then_some(FollowUp { rows, within })
    }
}

/// Returns for each node of a graph the nodes that call the same model and neither need its results
/// nor are needed by it. `model` is the model that a node calls, `needs` the earlier nodes whose
/// results it needs.
fn sibling_calls<'g>(
    count: usize,
    model: impl Fn(usize) -> Option<&'g str>,
    needs: impl Fn(usize) -> &'g [usize],
) -> Vec<Vec<usize>> {
    let mut siblings = vec![Vec::new(); count];
    for later in 0..count {
        let Some(name) = model(later) else { continue };
        let mut same_model = (0..later)
            .filter(|other| model(*other) == Some(name))
            .peekable();
        if same_model.peek().is_none() {
            continue;
        }
        let mut is_ancestor = vec![false; later + 1];
        is_ancestor[later] = true;
        for at in (0..=later).rev() {
            if is_ancestor[at] {
                needs(at).iter().for_each(|n| is_ancestor[*n] = true);
            }
        }
        for other in same_model.filter(|other| !is_ancestor[*other]) {
            siblings[later].push(other);
            siblings[other].push(later);
        }
    }
    siblings
}

fn lock(stats: &Mutex<FollowUpStats>) -> MutexGuard<'_, FollowUpStats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: SizeClass = SizeClass::of(100);

    #[test]
    fn independent_calls_of_one_model_are_siblings() {
        // 0 calls no model; 2 needs 0 and 3 needs 2; 4 calls another model.
        let models = ["c", "m", "m", "m", "n"];
        let needs: [&[usize]; 5] = [&[], &[], &[0], &[2], &[]];
        let found = sibling_calls(5, |at| (at != 0).then_some(models[at]), |at| needs[at]);
        assert_eq!(found, [vec![], vec![2, 3], vec![1], vec![1], vec![]]);
    }

    #[test]
    fn follow_ups_are_learnt_for_each_size_class() {
        let ms = Duration::from_millis;
        let mut stats = FollowUpStats::default();
        for n in 0..10 {
            assert_eq!(
                stats.predict(SIZE).is_some(),
                n >= SAMPLES_MIN as u64,
                "{n}"
            );
            let (rows, within) = (n as usize + 1, ms(n + 1));
            stats.record(SIZE, FollowUp { rows, within });
        }
        let (rows, within) = (6, ms(9));
        assert_eq!(stats.predict(SIZE), Some(FollowUp { rows, within }));
        assert_eq!(stats.predict(SizeClass::of(10_000)), None);
        for _ in 0..WINDOW {
            let (rows, within) = (0, ms(1));
            stats.record(SIZE, FollowUp { rows, within });
        }
        assert_eq!(stats.predict(SIZE), None, "no rows follow any more");
    }
}

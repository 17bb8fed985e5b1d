//! Calls of one request that reach the same model one after the other: which, how soon, how large.
//!
//! A model service that knows of rows to come can wait for them and run them together. Only calls
//! of which none needs the other can meet.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::forecast::Size;
use crate::check::{Node, NodeKind};
use crate::policy::latency::nearest_rank;

/// Latest requests of which each pair of calls is known.
const KEPT: usize = 32;
/// Requests that are known before anything is announced.
const KNOWN_MIN: usize = 4;
/// Of so many of the latest requests the rows had come within the time that is announced.
const SHARE: f64 = 0.9;

/// What was learnt of the calls of a graph that reach the same model one after the other.
#[derive(Debug)]
pub struct FollowUps {
    /// By node: the nodes that it may meet, and how they followed it.
    companions: Vec<Vec<(usize, Mutex<FollowUpStats>)>>,
}

impl FollowUps {
    /// Nothing is known of these nodes but which may meet.
    pub fn new(nodes: &[Node]) -> Self {
        let model = |at: usize| match &nodes[at].kind {
            NodeKind::Model(name) => Some(name.as_str()),
            _ => None,
        };
        let found = companions(nodes.len(), model, |at| &nodes[at].dependencies);
        let unknown = |all: Vec<usize>| all.into_iter().map(|at| (at, Mutex::default())).collect();
        Self {
            companions: found.into_iter().map(unknown).collect(),
        }
    }

    /// Whether a node may meet another.
    pub(crate) fn meets(&self, node: usize) -> bool {
        !self.companions[node].is_empty()
    }

    /// The nodes that a node may meet.
    pub(crate) fn companions(&self, node: usize) -> impl Iterator<Item = usize> {
        self.companions[node].iter().map(|(other, _)| *other)
    }

    /// What will follow a node that starts, of those that may come.
    pub(crate) fn expect(
        &self,
        node: usize,
        size: Size,
        may_come: impl Fn(usize) -> bool,
    ) -> Option<FollowUp> {
        let coming = self.companions[node].iter();
        coming
            .filter(|(other, _)| may_come(*other))
            .filter_map(|(_, stats)| lock(stats).expect(size))
            .reduce(|a, b| FollowUp {
                rows: a.rows + b.rows,
                within: a.within.max(b.within),
            })
    }

    /// A node followed another so.
    pub(crate) fn learn(&self, first: usize, then: usize, size: Size, follow_up: FollowUp) {
        let pair = self.companions[first].iter().find(|(at, _)| *at == then);
        if let Some((_, stats)) = pair {
            lock(stats).record(size, follow_up);
        }
    }
}

/// What usually follows a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowUp {
    /// Rows, about.
    pub rows: usize,
    /// Within what time they have most probably come.
    pub within: Duration,
}

/// How one call of a graph followed another, lately.
#[derive(Debug, Clone, Default)]
pub struct FollowUpStats {
    kept: Vec<(Size, FollowUp)>,
    next: usize,
}

impl FollowUpStats {
    /// In a request of this size it followed so.
    pub fn record(&mut self, size: Size, follow_up: FollowUp) {
        if self.kept.len() < KEPT {
            self.kept.push((size, follow_up));
        } else {
            self.kept[self.next] = (size, follow_up);
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// How it will follow in a request of this size, as far as requests of this size tell.
    pub fn expect(&self, size: Size) -> Option<FollowUp> {
        let alike = self.kept.iter().filter(|(other, _)| *other == size);
        let (mut rows, mut gaps): (Vec<usize>, Vec<Duration>) = alike
            .map(|(_, follow_up)| (follow_up.rows, follow_up.within))
            .unzip();
        if rows.len() < KNOWN_MIN {
            return None;
        }
        let middle = rows.len() / 2;
        let rows = *rows.select_nth_unstable(middle).1;
        let within = nearest_rank(&mut gaps, SHARE)?;
        (rows > 0).then_some(FollowUp { rows, within })
    }
}

/// For each node of a graph, the nodes that call the same model and neither need it nor are
/// needed by it. `model` is what a node calls, `needs` the nodes before it that it needs.
pub fn companions<'g>(
    count: usize,
    model: impl Fn(usize) -> Option<&'g str>,
    needs: impl Fn(usize) -> &'g [usize],
) -> Vec<Vec<usize>> {
    let mut companions = vec![Vec::new(); count];
    for later in 0..count {
        let Some(name) = model(later) else { continue };
        let mut alike = (0..later)
            .filter(|other| model(*other) == Some(name))
            .peekable();
        if alike.peek().is_none() {
            continue;
        }
        let mut beneath = vec![false; later + 1];
        beneath[later] = true;
        for at in (0..=later).rev() {
            if beneath[at] {
                needs(at).iter().for_each(|needed| beneath[*needed] = true);
            }
        }
        for other in alike.filter(|other| !beneath[*other]) {
            companions[later].push(other);
            companions[other].push(later);
        }
    }
    companions
}

fn lock(stats: &Mutex<FollowUpStats>) -> std::sync::MutexGuard<'_, FollowUpStats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::of(100);

    #[test]
    fn calls_that_can_meet_are_companions() {
        // 0: chunks, 1: q, 2: d (needs 0), 3: of d again (needs 2), 4: another model.
        let models = ["c", "m", "m", "m", "n"];
        let needs: [&[usize]; 5] = [&[], &[], &[0], &[2], &[]];
        let found = companions(5, |at| (at != 0).then_some(models[at]), |at| needs[at]);
        assert_eq!(found, [vec![], vec![2, 3], vec![1], vec![1], vec![]]);
    }

    #[test]
    fn what_follows_is_learnt_for_each_size() {
        let ms = Duration::from_millis;
        let mut stats = FollowUpStats::default();
        for n in 0..10 {
            assert_eq!(stats.expect(SIZE).is_some(), n >= KNOWN_MIN as u64, "{n}");
            let (rows, within) = (n as usize + 1, ms(n + 1));
            stats.record(SIZE, FollowUp { rows, within });
        }
        let (rows, within) = (6, ms(9));
        assert_eq!(stats.expect(SIZE), Some(FollowUp { rows, within }));
        assert_eq!(stats.expect(Size::of(10_000)), None);
        for _ in 0..KEPT {
            let (rows, within) = (0, ms(1));
            stats.record(SIZE, FollowUp { rows, within });
        }
        assert_eq!(stats.expect(SIZE), None, "nothing comes any more");
    }
}

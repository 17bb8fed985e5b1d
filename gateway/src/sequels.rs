//! What was learnt of the calls of a graph that reach the same model one after the other.

use std::sync::{Mutex, PoisonError};

use crate::check::{Node, NodeKind};
use crate::policy::reserve::Size;
use crate::policy::sequel::{Following, Sequel, companions};

/// What was learnt of the calls of a graph that reach the same model one after the other.
#[derive(Debug)]
pub struct Sequels {
    /// By node: the nodes that it may meet, and how they followed it.
    companions: Vec<Vec<(usize, Mutex<Following>)>>,
}

impl Sequels {
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
    ) -> Option<Sequel> {
        let coming = self.companions[node].iter();
        coming
            .filter(|(other, _)| may_come(*other))
            .filter_map(|(_, following)| lock(following).expect(size))
            .reduce(|a, b| Sequel {
                rows: a.rows + b.rows,
                within: a.within.max(b.within),
            })
    }

    /// A node followed another so.
    pub(crate) fn learn(&self, first: usize, then: usize, size: Size, sequel: Sequel) {
        let pair = self.companions[first].iter().find(|(at, _)| *at == then);
        if let Some((_, following)) = pair {
            lock(following).record(size, sequel);
        }
    }
}

fn lock(following: &Mutex<Following>) -> std::sync::MutexGuard<'_, Following> {
    following.lock().unwrap_or_else(PoisonError::into_inner)
}

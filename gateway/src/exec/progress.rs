//! Which nodes may start, which are done, which nobody needs any more, and when the request is
//! decided: plain state, no tasks.
//!
//! A node is ready the moment the nodes that it needs are done. One that fails, or whose
//! arguments can no longer come, is done by its substitutes where it has some, and lost where it
//! has none or they are lost too; a lost result of the graph decides the request. What only lost
//! or finished nodes waited for is not needed any more: it is cancelled, or its results are freed.

use std::collections::VecDeque;

use tonic::Status;

use crate::check::Node;
use crate::plan::{Liveness, Topology};

/// What a node has come to.
#[derive(Debug, Clone)]
enum State {
    /// Nobody needs it, or nobody does any more.
    Unneeded,
    /// Waits for so many nodes.
    Waiting(usize),
    /// May start.
    Ready,
    /// On its way.
    Running,
    /// Failed, and waits for so many nodes behind its substitutes.
    Failed(Box<Status>, usize),
    /// Its results are there.
    Done,
    /// Its results will never be there.
    Lost,
}

/// The progress of one request through a graph.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    nodes: &'a [Node],
    topology: &'a Topology,
    states: Vec<State>,
    /// For each node, how many still wait for it.
    users: Vec<u32>,
    wanted: Vec<bool>,
    /// Results of the graph that are not there.
    left: usize,
    ready: VecDeque<usize>,
    substitutable: VecDeque<usize>,
    cancelled: Vec<usize>,
    free: Vec<usize>,
}

impl<'a> Progress<'a> {
    /// Nothing has run, and what `liveness` says is needed.
    pub(super) fn new(nodes: &'a [Node], topology: &'a Topology, liveness: &Liveness) -> Self {
        let mut progress = Self {
            nodes,
            topology,
            states: vec![State::Unneeded; nodes.len()],
            users: liveness.ref_counts.clone(),
            wanted: liveness.is_result.clone(),
            left: liveness.result_count,
            ready: VecDeque::new(),
            substitutable: VecDeque::new(),
            cancelled: Vec::new(),
            free: Vec::new(),
        };
        for (index, node) in nodes.iter().enumerate() {
            if progress.users[index] > 0 {
                progress.states[index] = State::Waiting(node.dependencies.len());
                progress.start_if_ready(index);
            }
        }
        progress
    }

    fn start_if_ready(&mut self, index: usize) {
        if matches!(self.states[index], State::Waiting(0)) {
            self.states[index] = State::Ready;
            self.ready.push_back(index);
        }
    }

    /// A node that is to start now. Its arguments are taken before anything else happens.
    pub(super) fn next_ready(&mut self) -> Option<usize> {
        loop {
            let index = self.ready.pop_front()?;
            if matches!(self.states[index], State::Ready) {
                self.states[index] = State::Running;
                return Some(index);
            }
        }
    }

    /// The arguments of a node have been taken.
    pub(super) fn started(&mut self, index: usize) {
        let nodes = self.nodes;
        self.release(nodes[index].dependencies.iter().copied());
    }

    /// Whether every result of the graph is there.
    pub(super) fn is_finished(&self) -> bool {
        self.left == 0
    }

    /// Whether the node is needed and has not started.
    pub(super) fn may_start(&self, index: usize) -> bool {
        matches!(self.states[index], State::Waiting(_) | State::Ready)
    }

    /// Whether the node is on its way.
    pub(super) fn is_running(&self, index: usize) -> bool {
        matches!(self.states[index], State::Running)
    }

    /// Nodes that were started and are not done.
    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        self.states
            .iter()
            .enumerate()
            .filter(|(_, s)| matches!(s, State::Ready | State::Running | State::Failed(..)))
            .map(|(index, _)| index)
    }

    /// Nodes on their way that nobody needs any more, each once.
    pub(super) fn take_cancelled(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.cancelled)
    }

    /// A node whose results nobody needs any more.
    pub(super) fn next_free(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// The results of a node are there.
    pub(super) fn done(&mut self, index: usize) {
        debug_assert!(matches!(
            self.states[index],
            State::Running | State::Failed(..)
        ));
        self.states[index] = State::Done;
        self.left -= usize::from(self.wanted[index]);
        let topology = self.topology;
        for &dependent in &topology.dependents[index] {
            if let State::Waiting(missing) = &mut self.states[dependent] {
                *missing -= 1;
                self.start_if_ready(dependent);
            }
        }
        for &failed in &topology.substitutes_for[index] {
            if let State::Failed(_, missing) = &mut self.states[failed] {
                *missing -= 1;
                if *missing == 0 {
                    self.substitutable.push_back(failed);
                }
            }
        }
        self.release_substitutes(index);
    }

    /// A node on its way failed.
    ///
    /// # Errors
    /// The failure itself, when a result of the graph is lost by it: the request is decided.
    pub(super) fn failed(&mut self, index: usize, error: Status) -> Result<(), Status> {
        let mut failed = vec![(index, error)];
        while let Some((index, error)) = failed.pop() {
            let nodes = self.nodes;
            let node = &nodes[index];
            if matches!(
                self.states[index],
                State::Unneeded | State::Done | State::Lost
            ) {
                continue;
            }
            if matches!(self.states[index], State::Waiting(_)) {
                // It never started, so its arguments are not taken.
                self.states[index] = State::Running;
                self.release(node.dependencies.iter().copied());
            }
            let missing = node
                .on_error
                .as_ref()
                .and_then(|o| self.missing(&o.dependencies));
            match missing {
                Some(missing) => {
                    self.states[index] = State::Failed(Box::new(error), missing);
                    if missing == 0 {
                        self.substitutable.push_back(index);
                    }
                }
                None => self.lose(index, error, &mut failed)?,
            }
        }
        Ok(())
    }

    /// How many of the nodes behind substitutes are not there yet; `None` when one never will.
    fn missing(&self, nodes: &[usize]) -> Option<usize> {
        let mut missing = 0;
        for node in nodes {
            match self.states[*node] {
                State::Done => {}
                State::Lost | State::Unneeded => return None,
                _ => missing += 1,
            }
        }
        Some(missing)
    }

    fn lose(
        &mut self,
        index: usize,
        error: Status,
        failed: &mut Vec<(usize, Status)>,
    ) -> Result<(), Status> {
        self.states[index] = State::Lost;
        if self.wanted[index] {
            return Err(error);
        }
        let topology = self.topology;
        for &other in &topology.substitutes_for[index] {
            if let State::Failed(own, _) = &self.states[other] {
                let own = (**own).clone();
                failed.push((other, own));
            }
        }
        for &dependent in &topology.dependents[index] {
            if matches!(self.states[dependent], State::Waiting(_)) {
                failed.push((dependent, error.clone()));
            }
        }
        self.release_substitutes(index);
        Ok(())
    }

    /// A failed node whose substitutes are all there, and why it failed. The caller puts the
    /// substitutes in its place and reports it done, or failed once more.
    pub(super) fn next_substitutable(&mut self) -> Option<(usize, Status)> {
        loop {
            let index = self.substitutable.pop_front()?;
            if let State::Failed(error, 0) = &self.states[index] {
                return Some((index, (**error).clone()));
            }
        }
    }

    /// What was to stand for a failed node cannot: it is lost.
    ///
    /// # Errors
    /// As [`Progress::failed`].
    pub(super) fn lost(&mut self, index: usize, error: Status) -> Result<(), Status> {
        let mut failed = Vec::new();
        self.lose(index, error, &mut failed)?;
        for (index, error) in failed {
            self.failed(index, error)?;
        }
        Ok(())
    }

    fn release_substitutes(&mut self, index: usize) {
        let nodes = self.nodes;
        if let Some(on_error) = &nodes[index].on_error {
            self.release(on_error.dependencies.iter().copied());
        }
    }

    /// One less waits for each of these nodes.
    fn release(&mut self, nodes: impl Iterator<Item = usize>) {
        let mut released: Vec<usize> = nodes.collect();
        while let Some(index) = released.pop() {
            self.users[index] = self.users[index].saturating_sub(1);
            if self.users[index] > 0 {
                continue;
            }
            let node = &self.nodes[index];
            let substitutes = node.on_error.iter().flat_map(|o| &o.dependencies);
            match self.states[index] {
                State::Done => self.free.push(index),
                State::Waiting(_) | State::Ready => {
                    self.states[index] = State::Unneeded;
                    released.extend(node.dependencies.iter().chain(substitutes));
                }
                State::Running | State::Failed(..) => {
                    if matches!(self.states[index], State::Running) {
                        self.cancelled.push(index);
                    }
                    self.states[index] = State::Unneeded;
                    released.extend(substitutes);
                }
                State::Unneeded | State::Lost => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;

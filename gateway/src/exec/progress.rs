//! Progress of a request: which nodes may start, which are done, which are no longer needed, and
//! when the request is decided. Plain state, no tasks.
//!
//! A node is ready the moment the nodes that it needs are done. One that fails, or whose
//! arguments can no longer come, is done by its substitutes where it has some, and lost where it
//! has none or they are lost too; a lost result of the graph decides the request. A node for which
//! only lost or finished nodes waited is no longer needed: it is cancelled, or its results are
//! freed.

use std::collections::VecDeque;

use tonic::Status;

use crate::plan::{Liveness, Topology};

/// State of a node.
#[derive(Debug, Clone)]
enum State {
    /// No other node needs it, or none does any longer.
    Unneeded,
    /// Waits for this number of nodes.
    Waiting(usize),
    /// May start.
    Ready,
    /// Runs.
    Running,
    /// Failed, and waits for this number of nodes that its substitutes need.
    Failed(Box<Status>, usize),
    /// Its results are there.
    Done,
    /// Its results will never be there.
    Lost,
}

/// The progress of one request through a graph.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    topology: &'a Topology,
    states: Vec<State>,
    /// For each node, the number of consumers that still need it.
    users: Vec<u32>,
    wanted: Vec<bool>,
    /// Number of results of the graph that are not there yet.
    left: usize,
    ready: VecDeque<usize>,
    substitutable: VecDeque<usize>,
    cancelled: Vec<usize>,
    free: Vec<usize>,
}

impl<'a> Progress<'a> {
    /// Returns the progress of a request of which nothing has run, and which needs the nodes of
    /// `liveness`.
    pub(super) fn new(topology: &'a Topology, liveness: &Liveness) -> Self {
        let edges = &topology.edges;
        let mut progress = Self {
            topology,
            states: vec![State::Unneeded; edges.len()],
            users: liveness.ref_counts.clone(),
            wanted: liveness.is_result.clone(),
            left: liveness.result_count,
            ready: VecDeque::new(),
            substitutable: VecDeque::new(),
            cancelled: Vec::new(),
            free: Vec::new(),
        };
        for (index, node) in edges.iter().enumerate() {
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

    /// Takes a node that may start. Its arguments must be taken before anything else happens.
    pub(super) fn next_ready(&mut self) -> Option<usize> {
        loop {
            let index = self.ready.pop_front()?;
            if matches!(self.states[index], State::Ready) {
                self.states[index] = State::Running;
                return Some(index);
            }
        }
    }

    /// Records that the arguments of a node have been taken.
    pub(super) fn started(&mut self, index: usize) {
        let edges = &self.topology.edges;
        self.release(edges[index].dependencies.iter().copied());
    }

    /// Returns `true` if every result of the graph is there.
    pub(super) fn is_finished(&self) -> bool {
        self.left == 0
    }

    /// Returns `true` if the node is needed and has not started.
    pub(super) fn may_start(&self, index: usize) -> bool {
        matches!(self.states[index], State::Waiting(_) | State::Ready)
    }

    /// Returns `true` if the node runs.
    pub(super) fn is_running(&self, index: usize) -> bool {
        matches!(self.states[index], State::Running)
    }

    /// Iterates over the nodes that were started and are not done.
    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        self.states
            .iter()
            .enumerate()
            .filter(|(_, s)| matches!(s, State::Ready | State::Running | State::Failed(..)))
            .map(|(index, _)| index)
    }

    /// Takes the nodes that run and are no longer needed, each once.
    pub(super) fn take_cancelled(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.cancelled)
    }

    /// Takes a node whose results are no longer needed.
    pub(super) fn next_free(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// Records that the results of a node are there.
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

    /// Records that a running node failed.
    ///
    /// # Errors
    /// The failure itself, when a result of the graph is lost by it: the request is decided.
    pub(super) fn failed(&mut self, index: usize, error: Status) -> Result<(), Status> {
        let mut failed = vec![(index, error)];
        while let Some((index, error)) = failed.pop() {
            let node = &self.topology.edges[index];
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
            let missing = node.substitutes.as_ref();
            let missing = missing.and_then(|substitutes| self.missing(substitutes));
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

    /// Returns the number of these nodes that are not done yet; `None` if one never will be.
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

    /// Takes a failed node whose substitutes are all there, with its error. The caller puts the
    /// substitutes in its place and reports it done, or lost.
    pub(super) fn next_substitutable(&mut self) -> Option<(usize, Status)> {
        loop {
            let index = self.substitutable.pop_front()?;
            if let State::Failed(error, 0) = &self.states[index] {
                return Some((index, (**error).clone()));
            }
        }
    }

    /// Records that the substitutes of a failed node do not fit: it is lost.
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
        if let Some(substitutes) = &self.topology.edges[index].substitutes {
            self.release(substitutes.iter().copied());
        }
    }

    /// Releases one reference to each of these nodes.
    fn release(&mut self, nodes: impl Iterator<Item = usize>) {
        let mut released: Vec<usize> = nodes.collect();
        while let Some(index) = released.pop() {
            self.users[index] = self.users[index].saturating_sub(1);
            if self.users[index] > 0 {
                continue;
            }
            let node = &self.topology.edges[index];
            let substitutes = node.substitutes.iter().flatten();
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

//! Which nodes may start, which are done, and when the request is decided: plain state, no tasks.
//!
//! A node is ready the moment the nodes that it needs are done. A node that fails and has
//! something to stand in for its results is done once the nodes behind those substitutes are;
//! any other failure decides the request.

use tonic::Status;

use crate::plan::Plan;

/// What a node has come to.
#[derive(Debug, Clone)]
enum State {
    /// Nodes that it still needs.
    Waiting(usize),
    /// Ready or running.
    Started,
    /// Failed, and waiting for its substitutes.
    Failed(Status),
    /// Its results are there.
    Done,
}

/// The progress of one request through a plan.
#[derive(Debug)]
pub(super) struct Progress {
    states: Vec<State>,
    /// Nodes that may start and have not been taken yet.
    ready: Vec<usize>,
    left: usize,
}

impl Progress {
    /// Nothing has run.
    pub(super) fn new(plan: &Plan) -> Self {
        let nodes = &plan.pipeline.nodes;
        let mut progress = Self {
            states: nodes
                .iter()
                .map(|n| State::Waiting(n.dependencies.len()))
                .collect(),
            ready: Vec::new(),
            left: nodes.len(),
        };
        for index in (0..nodes.len()).rev() {
            if nodes[index].dependencies.is_empty() {
                progress.start(index);
            }
        }
        progress
    }

    fn start(&mut self, index: usize) {
        self.states[index] = State::Started;
        self.ready.push(index);
    }

    /// A node that may start now.
    pub(super) fn next_ready(&mut self) -> Option<usize> {
        self.ready.pop()
    }

    /// Whether every node is done.
    pub(super) fn is_finished(&self) -> bool {
        self.left == 0
    }

    /// Nodes that were started and are not done.
    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        self.states
            .iter()
            .enumerate()
            .filter(|(_, s)| matches!(s, State::Started | State::Failed(_)))
            .map(|(index, _)| index)
    }

    /// The results of a node are there.
    pub(super) fn done(&mut self, plan: &Plan, index: usize) {
        debug_assert!(!matches!(
            self.states[index],
            State::Done | State::Waiting(_)
        ));
        self.states[index] = State::Done;
        self.left -= 1;
        for &dependent in &plan.dependents[index] {
            if let State::Waiting(missing) = &mut self.states[dependent] {
                *missing -= 1;
                if *missing == 0 {
                    self.start(dependent);
                }
            }
        }
    }

    /// A node failed.
    ///
    /// # Errors
    /// The failure itself, when nothing stands in for the node: the request is decided.
    pub(super) fn failed(
        &mut self,
        plan: &Plan,
        index: usize,
        error: Status,
    ) -> Result<(), Status> {
        if plan.pipeline.nodes[index].on_error.is_none() {
            return Err(error);
        }
        self.states[index] = State::Failed(error);
        Ok(())
    }

    /// A failed node whose substitutes are all there, and why it failed. The caller puts the
    /// substitutes in its place and reports it done.
    pub(super) fn next_substitutable(&self, plan: &Plan) -> Option<(usize, &Status)> {
        self.states.iter().enumerate().find_map(|(index, state)| {
            let State::Failed(error) = state else {
                return None;
            };
            let needed = &plan.pipeline.nodes[index].on_error.as_ref()?.dependencies;
            needed
                .iter()
                .all(|n| matches!(self.states[*n], State::Done))
                .then_some((index, error))
        })
    }
}

//! The elements of all maps of a request and the nodes that it runs: how many there may be.

use std::sync::atomic::{AtomicU64, Ordering};

use motet_runtime::status::{self, Reason};
use tonic::Status;

use crate::check::Source;
use crate::plan::BoundBody;

/// The most elements that the maps of one request may have in all, those of nested maps counted
/// for each element around them. A million elements of trivial nodes take about a second.
pub const REQUEST_ELEMENTS_MAX: u64 = 1 << 20;

/// The most nodes that one request may run, those of each element of its maps included: some
/// seconds of nodes that do nothing.
pub const REQUEST_RUNS_MAX: u64 = 1 << 22;

/// Counts the elements of the maps of one request, and the nodes that it runs.
#[derive(Debug, Default)]
pub(crate) struct ElementCount {
    elements: AtomicU64,
    runs: AtomicU64,
}

impl ElementCount {
    /// Counts a node that starts now.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when there were [`REQUEST_RUNS_MAX`] before it.
    pub(crate) fn start_node(&self) -> Result<(), Status> {
        if self.runs.fetch_add(1, Ordering::Relaxed) < REQUEST_RUNS_MAX {
            return Ok(());
        }
        let what = format!(
            "the request would run more than {REQUEST_RUNS_MAX} nodes, those of each element of \
             its maps included"
        );
        let error = status::resource_exhausted(what, None);
        Err(error.reason(Reason::OverLimit).into())
    }

    /// Counts the elements of a map that starts now. `expected` includes those of the maps inside
    /// it, as far as their number is known.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when that is over [`REQUEST_ELEMENTS_MAX`].
    pub(crate) fn start(&self, own: u64, expected: u64) -> Result<(), Status> {
        let before = self.elements.fetch_add(own, Ordering::Relaxed);
        let all = before.saturating_add(expected.max(own));
        if all <= REQUEST_ELEMENTS_MAX {
            return Ok(());
        }
        Err(status::resource_exhausted(
            format!(
                "the maps of this request have at least {all} elements: \
                 the limit is {REQUEST_ELEMENTS_MAX}"
            ),
            None,
        )
        .reason(Reason::OverLimit)
        .into())
    }
}

/// Shapes of the arguments of a node; `None` where one is not known yet.
pub(crate) type Shapes = Vec<Option<Vec<usize>>>;

/// Returns the number of elements of the maps that a body runs in any case, given the shapes of
/// its arguments.
pub(crate) fn expected_inside(body: &BoundBody, arguments: &Shapes) -> u64 {
    let shape = |source: &Source| match source {
        Source::Input(at) => arguments.get(*at)?.clone(),
        Source::Node { .. } | Source::Literal(_) => None,
    };
    let nodes = body.graph.nodes.iter();
    let unconditional = nodes.filter(|bound| bound.node.when.is_none());
    let elements = unconditional.map(|bound| {
        let inputs = bound.node.inputs.iter();
        let shapes = inputs.map(|input| shape(&input.source));
        bound.step.run_kind().expected_elements(&shapes.collect())
    });
    elements.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_a_request_are_counted() {
        let count = ElementCount::default();
        count.runs.store(REQUEST_RUNS_MAX - 1, Ordering::Relaxed);
        count.start_node().unwrap();
        let error = count.start_node().unwrap_err();
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
        assert!(
            error.message().contains(&REQUEST_RUNS_MAX.to_string()),
            "{error}"
        );
    }
}

//! The elements of all maps of a request: how many there may be.

use std::sync::atomic::{AtomicU64, Ordering};

use motet_runtime::status::{self, Reason};
use tonic::Status;

use crate::check::{Body, Map, NodeKind, Source};

/// The most elements that the maps of one request may have in all, those of nested maps counted
/// for each element around them. A million elements of trivial nodes take about a second.
pub const REQUEST_ELEMENTS_MAX: u64 = 1 << 20;

/// Counts the elements of the maps of one request.
#[derive(Debug, Default)]
pub(super) struct ElementCount(AtomicU64);

impl ElementCount {
    /// Counts the elements of a map that starts now. `expected` includes those of the maps inside
    /// it, as far as their number is known.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when that is over [`REQUEST_ELEMENTS_MAX`].
    pub(super) fn start(&self, own: u64, expected: u64) -> Result<(), Status> {
        let before = self.0.fetch_add(own, Ordering::Relaxed);
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
pub(super) type Shapes = Vec<Option<Vec<usize>>>;

/// Returns the number of elements of a map over arguments of these shapes, together with those of
/// the maps inside it whose lists are known before it starts.
pub(super) fn expected(map: &Map, shapes: &Shapes) -> u64 {
    let length = |at: usize| shapes.get(at)?.as_ref()?.first().copied();
    let Some(count) = length(0) else {
        return 0;
    };
    let element: Shapes = shapes
        .iter()
        .enumerate()
        .map(|(at, shape)| {
            let shape = shape.as_ref()?;
            let inner = if at < map.over { 1 } else { 0 };
            shape.get(inner..).map(<[usize]>::to_vec)
        })
        .collect();
    let each = inside(&map.body, &element).saturating_add(1);
    (count as u64).saturating_mul(each)
}

/// Elements of the maps that a body runs in any case.
fn inside(body: &Body, arguments: &Shapes) -> u64 {
    let shape = |source: &Source| match source {
        Source::Input(at) => arguments.get(*at)?.clone(),
        Source::Node { .. } | Source::Literal(_) => None,
    };
    let maps = body.nodes.iter().filter(|node| node.when.is_none());
    maps.map(|node| match &node.kind {
        NodeKind::Map(map) => {
            let shapes: Shapes = node.inputs.iter().map(|i| shape(&i.source)).collect();
            expected(map, &shapes)
        }
        _ => 0,
    })
    .fold(0, u64::saturating_add)
}

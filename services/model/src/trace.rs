//! The spans of a call in the batcher: `queue` until its first batch starts, and `compute` for each
//! batch that has rows of it.
//!
//! A batch has rows of many calls, so it is a trace of its own that links to each of them. In the
//! trace of a call, `compute` represents the batch and links to it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Span;

/// The spans of one call, shared by its rows.
#[derive(Debug)]
pub(crate) struct CallTrace {
    call: Span,
    queue: Mutex<Option<Span>>,
}

impl CallTrace {
    /// Opens `queue` as a child of the current span.
    pub(crate) fn queue() -> Arc<Self> {
        let call = Span::current();
        let queue = (!call.is_disabled()).then(|| tracing::info_span!(parent: &call, "queue"));
        Arc::new(Self {
            call,
            queue: Mutex::new(queue),
        })
    }

    /// Ends `queue` and opens `compute` for the calls of these rows, once each. The current span is
    /// the batch's; dropping the returned spans ends `compute`.
    pub(crate) fn compute<'a>(rows: impl Iterator<Item = &'a Arc<Self>>) -> Vec<Span> {
        let batch = Span::current();
        let mut seen = HashSet::new();
        rows.filter(|trace| !trace.call.is_disabled() && seen.insert(Arc::as_ptr(trace)))
            .map(|trace| {
                let queue = trace.queue.lock();
                drop(queue.unwrap_or_else(PoisonError::into_inner).take());
                let compute = tracing::info_span!(parent: &trace.call, "compute");
                compute.follows_from(&batch);
                compute
            })
            .collect()
    }
}

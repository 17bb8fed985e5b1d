//! The spans of a call's way through the batcher: `queue` until its first batch starts, `compute` for each batch that carries it.
//!
//! A batch carries many calls, so it has a trace of its own that links to each of them; in a call's own trace, `compute` stands for
//! the batch and links to it.

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
    /// Begins to queue, within the current span.
    pub(crate) fn queued() -> Arc<Self> {
        let call = Span::current();
        let queue = (!call.is_disabled()).then(|| tracing::info_span!(parent: &call, "queue"));
        Arc::new(Self {
            call,
            queue: Mutex::new(queue),
        })
    }

    /// The calls of these rows start to be computed within the current span (the batch's); dropping what this returns ends it.
    pub(crate) fn started<'a>(rows: impl Iterator<Item = &'a Arc<Self>>) -> Vec<Span> {
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

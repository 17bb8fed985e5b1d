//! Which of the queued rows run together.

use crate::queue::{Queue, is_expired};
use crate::{Layout, Priority, Row, Time};

/// The caps that hold for the next batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) rows: usize,
    pub(crate) tokens: u64,
    pub(crate) layout: Layout,
}

/// A batch being put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) rows: Vec<Row>,
    pub(crate) sum: u64,
    pub(crate) longest: u32,
}

impl Draft {
    /// Tokens that the draft computes.
    pub(crate) fn tokens(&self, layout: Layout) -> u64 {
        layout.tokens(self.rows.len(), self.sum, self.longest)
    }

    /// Tokens that it would compute with one more row.
    pub(crate) fn tokens_with(&self, row: &Row, layout: Layout) -> u64 {
        layout.tokens(
            self.rows.len() + 1,
            self.sum + u64::from(row.tokens),
            self.longest.max(row.tokens),
        )
    }

    /// Whether one more row keeps the caps. The first row always does: it runs alone.
    pub(crate) fn has_room(&self, row: &Row, caps: &Caps) -> bool {
        self.rows.is_empty()
            || (self.rows.len() < caps.rows && self.tokens_with(row, caps.layout) <= caps.tokens)
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.sum += u64::from(row.tokens);
        self.longest = self.longest.max(row.tokens);
        self.rows.push(row);
    }
}

/// The next batch: most urgent first, interactive before bulk, up to the caps. Empty only if the queue is.
///
/// It stops at the first row that does not fit: looking further would fill a batch a little better and let long rows be passed over.
pub(crate) fn form(queue: &Queue, caps: &Caps, now: Time) -> Draft {
    let mut draft = Draft::default();
    for priority in [Priority::Interactive, Priority::Bulk] {
        for row in queue
            .lane(priority)
            .iter()
            .filter(|row| !is_expired(row, now))
        {
            if !draft.has_room(row, caps) {
                return draft;
            }
            draft.push(*row);
        }
    }
    draft
}

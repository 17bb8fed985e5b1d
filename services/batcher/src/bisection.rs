//! Batches that failed, on their way to the row that is to blame.

use std::collections::VecDeque;

use crate::{CallId, Row, Time, queue::is_expired};

/// Halves of failed batches, to be run before anything from the queue.
///
/// Each failure halves the suspects: with one bad row among n, at most 2 log2 n extra runs find it and answer all others.
#[derive(Debug, Default)]
pub(crate) struct Halves {
    waiting: VecDeque<Vec<Row>>,
}

impl Halves {
    /// Splits what is left of a failed batch.
    pub(crate) fn split(&mut self, mut rows: Vec<Row>) {
        let second = rows.split_off(rows.len() / 2);
        for half in [second, rows] {
            if !half.is_empty() {
                self.waiting.push_front(half);
            }
        }
    }

    /// The next half to run, and rows that expired while they waited.
    pub(crate) fn next(&mut self, now: Time) -> (Option<Vec<Row>>, Vec<Row>) {
        let mut expired = Vec::new();
        while let Some(rows) = self.waiting.pop_front() {
            let (late, alive): (Vec<Row>, Vec<Row>) =
                rows.into_iter().partition(|row| is_expired(row, now));
            expired.extend(late);
            if !alive.is_empty() {
                return (Some(alive), expired);
            }
        }
        (None, expired)
    }

    /// Takes out the rows of a call; returns how many there were.
    pub(crate) fn cancel(&mut self, call: CallId) -> usize {
        let before = self.len();
        for rows in &mut self.waiting {
            rows.retain(|row| row.call != call);
        }
        self.waiting.retain(|rows| !rows.is_empty());
        before - self.len()
    }

    /// Rows that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.iter().map(Vec::len).sum()
    }

    /// Tokens that wait.
    pub(crate) fn tokens(&self) -> u64 {
        self.waiting
            .iter()
            .flatten()
            .map(|row| u64::from(row.tokens))
            .sum()
    }
}

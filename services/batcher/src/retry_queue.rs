//! Halves of failed batches, which run again to find the row at fault.

use std::collections::VecDeque;

use crate::row::{CallId, Row, Work};
use crate::time::Time;

/// Halves of failed batches, to run before anything from the queue.
///
/// Each failure halves the suspects: with one bad row among n, at most 2 log2 n extra runs find it
/// and answer all others.
#[derive(Debug, Default)]
pub(crate) struct RetryQueue {
    halves: VecDeque<Vec<Row>>,
}

impl RetryQueue {
    /// Splits the remaining rows of a failed batch.
    pub(crate) fn split(&mut self, mut rows: Vec<Row>) {
        let second = rows.split_off(rows.len() / 2);
        for half in [second, rows] {
            if !half.is_empty() {
                self.halves.push_front(half);
            }
        }
    }

    /// Takes out the next half to run.
    pub(crate) fn pop(&mut self) -> Option<Vec<Row>> {
        self.halves.pop_front()
    }

    /// Takes out the rows whose deadline has come.
    pub(crate) fn take_expired(&mut self, now: Time) -> Vec<Row> {
        self.take(|row| row.is_expired(now))
    }

    /// Takes out the rows of a call.
    pub(crate) fn take_call(&mut self, call: CallId) -> Vec<Row> {
        self.take(|row| row.call == call)
    }

    fn take(&mut self, leaves: impl Fn(&Row) -> bool) -> Vec<Row> {
        let mut taken = Vec::new();
        for half in &mut self.halves {
            taken.extend(half.extract_if(.., |row| leaves(row)));
        }
        self.halves.retain(|half| !half.is_empty());
        taken
    }

    /// Number of rows that wait.
    pub(crate) fn len(&self) -> usize {
        self.halves.iter().map(Vec::len).sum()
    }

    /// The work that waits.
    pub(crate) fn work(&self) -> Work {
        self.halves.iter().flatten().map(|row| row.tokens).collect()
    }
}

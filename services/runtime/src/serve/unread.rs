//! Answers of a connection that were handed to HTTP/2 and of which the client takes nothing.
//!
//! A small answer is over for its call once HTTP/2 has it: the call's own time-out (`reader`)
//! cannot end it. So a connection with such an answer is ended as a whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The answers of one connection, by the period in which their client last took something.
#[derive(Debug, Default)]
pub(super) struct Unread(Mutex<Periods>);

#[derive(Debug, Default)]
struct Periods {
    now: usize,
    /// Answers that are not taken, by the parity of the period.
    answers: [usize; 2],
}

/// One answer. All its pieces share it.
#[derive(Debug)]
pub(super) struct UnreadAnswer {
    unread: Arc<Unread>,
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// Those that HTTP/2 has.
    handed: usize,
    /// The parity under which the answer is counted, where `handed` is not 0.
    period: usize,
}

impl Unread {
    /// Waits until an answer has been with HTTP/2 for longer than `limit` and the client took
    /// nothing of it. Looks every `limit`.
    pub(super) async fn stalled(&self, limit: Duration) {
        while !self.next_period() {
            tokio::time::sleep(limit).await;
        }
    }

    /// Begins the next period. `true` if something of the period before this one is left.
    fn next_period(&self) -> bool {
        let mut periods = self.lock();
        periods.now = 1 - periods.now;
        periods.answers[periods.now] > 0
    }

    fn lock(&self) -> MutexGuard<'_, Periods> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnreadAnswer {
    pub(super) fn new(unread: Arc<Unread>) -> Self {
        Self {
            unread,
            pieces: Mutex::default(),
        }
    }

    /// Counts a piece that HTTP/2 gets.
    pub(super) fn handed(&self) {
        let mut pieces = self.lock();
        pieces.handed += 1;
        if pieces.handed == 1 {
            let mut periods = self.unread.lock();
            pieces.period = periods.now;
            periods.answers[pieces.period] += 1;
        }
    }

    /// Counts a piece that the client took.
    pub(super) fn taken(&self) {
        let mut pieces = self.lock();
        pieces.handed -= 1;
        let mut periods = self.unread.lock();
        periods.answers[pieces.period] -= 1;
        if pieces.handed > 0 {
            pieces.period = periods.now;
            periods.answers[pieces.period] += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_stalled_when_nothing_of_it_is_taken_for_a_whole_period() {
        let unread = Arc::new(Unread::default());
        let answer = UnreadAnswer::new(unread.clone());
        assert!(!unread.next_period() && !unread.next_period());
        for _ in 0..3 {
            answer.handed();
        }
        assert!(!unread.next_period(), "it is of the period that ends");
        answer.taken();
        assert!(!unread.next_period(), "some of it was taken");
        assert!(unread.next_period());
        answer.taken();
        answer.taken();
        assert!(!unread.next_period() && !unread.next_period());
    }
}

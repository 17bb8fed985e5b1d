//! One message in flight.

use super::Time;
use super::lanes::LaneId;
use super::position::Position;

/// A message in flight. A later one has a greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(super) u64);

/// Content that is stored of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// Its answer.
    Answer,
    /// Itself, with the error.
    Dead,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Another one of its lane runs.
    Waiting,
    /// It may run, and waits for its chunk.
    Ready,
    /// An attempt is under way.
    Running,
    /// It waits for its next attempt.
    Delayed,
    /// Its letter is being stored.
    Storing(Letter),
    /// It waits until storing is tried again.
    StoreDelayed(Letter),
    /// Its letter is stored; the source is being told.
    Acknowledging,
    /// It waits until the source is told again.
    AcknowledgeDelayed,
}

impl State {
    /// Returns whether the message can be given back to the source: nothing of it is under way or
    /// stored.
    pub(super) const fn can_leave(self) -> bool {
        matches!(self, Self::Waiting | Self::Ready | Self::Delayed)
    }
}

/// A message in flight.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) position: Position,
    pub(super) lane: Option<LaneId>,
    pub(super) state: State,
    /// Attempts that failed by no one else's fault, with those of earlier deliveries.
    pub(super) attempts: u32,
    /// Attempts that failed while the pipeline was away and answered others.
    pub(super) suspicions: u32,
    /// Failures in a row, of whatever kind: they lengthen the time to the next attempt.
    pub(super) failures: u32,
    /// Answers of others before the current attempt.
    pub(super) answers_before: u64,
    /// `true` if it runs alone, since a chunk that it was in failed.
    pub(super) alone: bool,
    /// `true` if it ends here only if it does so by what is under way: its partition is given back,
    /// or the stream drains.
    pub(super) leaves: bool,
    /// Messages of its current attempt.
    pub(super) company: usize,
    /// The times at which it is looked at, by timer.
    pub(super) timers: [Option<Time>; 2],
}

//! Messages that are ready, and the chunks that they make.

use std::collections::VecDeque;

use super::Time;
use super::message::MessageId;
use super::options::Chunk;

/// Messages that may run. Without chunks each runs at once.
#[derive(Debug)]
pub(super) struct Gather {
    chunk: Option<Chunk>,
    /// Those that run alone.
    alone: VecDeque<MessageId>,
    /// Those that wait for company, with the times since when.
    waiting: VecDeque<(Time, MessageId)>,
}

impl Gather {
    pub(super) const fn new(chunk: Option<Chunk>) -> Self {
        Self {
            chunk,
            alone: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, now: Time, id: MessageId, alone: bool) {
        match alone || self.chunk.is_none() {
            true => self.alone.push_back(id),
            false => self.waiting.push_back((now, id)),
        }
    }

    /// Takes the messages of the next attempt, if one is due.
    pub(super) fn take(&mut self, now: Time) -> Option<Vec<MessageId>> {
        if let Some(id) = self.alone.pop_front() {
            return Some(vec![id]);
        }
        let max = self.chunk?.max;
        if self.waiting.len() < max && self.due().is_none_or(|due| now < due) {
            return None;
        }
        let count = self.waiting.len().min(max);
        Some(self.waiting.drain(..count).map(|(_, id)| id).collect())
    }

    /// Keeps some of them.
    pub(super) fn retain(&mut self, keep: impl Fn(MessageId) -> bool) {
        self.alone.retain(|id| keep(*id));
        self.waiting.retain(|(_, id)| keep(*id));
    }

    /// Returns the time at which the messages that wait run, with however many there are.
    pub(super) fn due(&self) -> Option<Time> {
        let (since, _) = self.waiting.front()?;
        Some(*since + self.chunk?.within)
    }
}

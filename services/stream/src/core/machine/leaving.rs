//! Messages that are given back to their source, or taken back by it.

use std::time::Duration;

use super::{Action, Core};
use crate::core::Time;
use crate::core::message::{Message, MessageId, State};

impl Core {
    /// Takes no more messages. Those of which nothing is under way are given back, the others end
    /// as they would.
    pub fn drain(&mut self) {
        self.drains = true;
        self.give_back(|_| true);
    }

    /// Gives a partition back: its messages of which nothing is under way at once, the others end
    /// as they would, but have no further attempts. It is given up when the stream
    /// [holds](Core::holds) none of it.
    pub fn revoke(&mut self, partition: u32) {
        self.give_back(|message| message.position.partition == partition);
    }

    /// Returns whether messages of a partition are in flight.
    pub fn holds(&self, partition: u32) -> bool {
        let mut messages = self.messages.values();
        messages.any(|message| message.position.partition == partition)
    }

    /// Forgets the messages of a partition that is lost, whatever is under way. Returns them.
    pub fn abandon(&mut self, partition: u32) -> Vec<MessageId> {
        let messages = self.messages.iter();
        let of_it = messages.filter(|(_, message)| message.position.partition == partition);
        let lost: Vec<MessageId> = of_it.map(|(id, _)| *id).collect();
        for id in &lost {
            self.forget(*id);
        }
        self.lanes.forget(partition);
        let messages = &self.messages;
        self.gather.retain(|id| messages.contains_key(&id));
        let is_lost = |id: &MessageId| lost.contains(id);
        self.actions.retain(|action| match action {
            Action::Store(id, _) | Action::Acknowledge(id) | Action::Progress(id) => !is_lost(id),
            Action::Attempt(_) | Action::Release(..) => true,
        });
        lost
    }

    /// The source took a message back whose letter was to be stored: it has none here.
    pub fn taken_back(&mut self, now: Time, id: MessageId) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        if !matches!(message.state, State::Storing(_)) {
            return;
        }
        if let Some(lane) = message.lane.take() {
            let next = self.lanes.leave(lane, id);
            next.into_iter().for_each(|next| self.ready(now, next));
        }
        self.forget(id);
    }

    fn give_back(&mut self, of_these: impl Fn(&Message) -> bool) {
        let mut leaving = Vec::new();
        for (id, message) in &mut self.messages {
            if of_these(message) {
                message.leaves = true;
                if message.state.can_leave() {
                    leaving.push((message.position, *id));
                }
            }
        }
        let messages = &self.messages;
        self.gather
            .retain(|id| messages.get(&id).is_some_and(|message| !message.leaves));
        // In their order, in which the source delivers them again.
        leaving.sort_unstable();
        for (_, id) in leaving {
            self.release(id, Duration::ZERO);
        }
    }

    /// Gives a message back that leaves, and goes on with it otherwise.
    pub(super) fn leave_or(
        &mut self,
        id: MessageId,
        delay: Duration,
        go_on: impl FnOnce(&mut Self),
    ) {
        let leaves = self.messages.get(&id).is_some_and(|message| message.leaves);
        match leaves {
            true => self.release(id, delay),
            false => go_on(self),
        }
    }

    /// Gives a message back to the source.
    pub(super) fn release(&mut self, id: MessageId, after: Duration) {
        let Some(message) = self.messages.get(&id) else {
            return;
        };
        if let Some(lane) = message.lane {
            debug_assert!(message.leaves, "an order does not outlive its messages");
            match self.lanes.is_running(lane, id) {
                // Those that follow are given back, too.
                true => drop(self.lanes.leave(lane, id)),
                false => self.lanes.remove_waiting(lane, message.position),
            }
        }
        self.forget(id);
        self.actions.push_back(Action::Release(id, after));
    }
}

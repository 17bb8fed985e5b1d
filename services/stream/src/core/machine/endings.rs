//! Consequences of what has ended.

use std::time::Duration;

use super::{Action, Core, OUTAGE_RETRY_MOST};
use crate::core::Time;
use crate::core::failure::{Failure, Fault};
use crate::core::message::{Letter, MessageId, State};
use crate::core::options::Order;

impl Core {
    /// The pipeline answered a message of an attempt.
    pub fn answered(&mut self, id: MessageId) {
        if self.is_running(id) {
            self.answers += 1;
            self.store(id, Letter::Answer);
        }
    }

    /// A message of an attempt has no answer.
    pub fn failed(&mut self, now: Time, id: MessageId, failure: Failure) {
        if !self.is_running(id) {
            return;
        }
        self.stats.failed += 1;
        let answers = self.answers;
        let (after, suspicious) = (self.options.after, self.options.suspicious());
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let by_company =
            matches!(failure.fault, Fault::Message | Fault::Attempt) && message.company > 1;
        if by_company {
            // One of them is at fault: each has an attempt of its own, which counts.
            message.alone = true;
            self.leave_or(id, Duration::ZERO, |core| core.ready(now, id));
            return;
        }
        message.failures += 1;
        match failure.fault {
            Fault::Message | Fault::Attempt => message.attempts += 1,
            Fault::Service if answers > message.answers_before => message.suspicions += 1,
            Fault::Service | Fault::Overload => {}
        }
        let is_dead = match failure.fault {
            Fault::Message => true,
            Fault::Attempt => message.attempts >= after,
            Fault::Service => message.suspicions >= suspicious,
            Fault::Overload => false,
        };
        if is_dead {
            self.store(id, Letter::Dead);
            return;
        }
        let most = match failure.fault {
            Fault::Message | Fault::Attempt => self.options.retry_most,
            Fault::Service | Fault::Overload => OUTAGE_RETRY_MOST,
        };
        let delay = self.delay(id, most);
        let delay = delay.max(failure.retry_after.unwrap_or_default());
        let at_source = self.options.delays
            && self.options.order == Order::None
            && failure.fault == Fault::Attempt;
        match at_source {
            true => self.release(id, delay),
            false => self.leave_or(id, delay, |core| {
                core.delay_until(id, State::Delayed, now + delay)
            }),
        }
    }

    /// A letter was stored, or could not be: it is tried again. `acknowledged` if the source was
    /// told in the same step.
    pub fn stored(&mut self, now: Time, id: MessageId, stored: bool, acknowledged: bool) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        let State::Storing(letter) = message.state else {
            return;
        };
        if !stored {
            message.failures += 1;
            let delay = self.delay(id, OUTAGE_RETRY_MOST);
            self.delay_until(id, State::StoreDelayed(letter), now + delay);
            return;
        }
        match letter {
            Letter::Answer => self.stats.answered += 1,
            Letter::Dead => self.stats.dead += 1,
        }
        message.failures = 0;
        message.state = State::Acknowledging;
        if let Some(lane) = message.lane.take() {
            let next = self.lanes.leave(lane, id);
            next.into_iter().for_each(|next| self.ready(now, next));
        }
        match acknowledged {
            true => self.forget(id),
            false => self.actions.push_back(Action::Acknowledge(id)),
        }
    }

    /// The answer of a message cannot be stored, ever: the message becomes a dead letter.
    pub fn unstorable(&mut self, id: MessageId) {
        let state = self.messages.get(&id).map(|message| message.state);
        if state == Some(State::Storing(Letter::Answer)) {
            self.store(id, Letter::Dead);
        }
    }

    /// The source was told that a message is done, or could not be: it is told again.
    pub fn acknowledged(&mut self, now: Time, id: MessageId, told: bool) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        if message.state != State::Acknowledging {
            return;
        }
        if told {
            self.forget(id);
            return;
        }
        message.failures += 1;
        let delay = self.delay(id, OUTAGE_RETRY_MOST);
        self.delay_until(id, State::AcknowledgeDelayed, now + delay);
    }
}

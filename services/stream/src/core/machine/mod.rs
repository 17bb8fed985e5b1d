//! All messages in flight.
//!
//! * `endings`: what follows when something that was under way has ended.
//! * `leaving`: messages that are given back to their source, or taken back by it.

mod endings;
mod leaving;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::core::Time;
use crate::core::backoff;
use crate::core::gather::Gather;
use crate::core::lanes::{LaneId, Lanes};
use crate::core::message::{Letter, Message, MessageId, State};
use crate::core::options::{Options, Order};
use crate::core::position::Position;

/// Most time until something is tried again that was away.
const OUTAGE_RETRY_MOST: Duration = Duration::from_secs(10);

/// A message that the source delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its place in the source.
    pub position: Position,
    /// The hash of its key, if it has one.
    pub key: Option<u64>,
    /// Number of deliveries by the source, this one included.
    pub deliveries: u32,
}

/// Outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It is in flight from now on.
    Taken(MessageId),
    /// It is in flight already: only what acknowledges it is newer.
    Again(MessageId),
    /// There is no place for it, or the stream drains: it stays with the source.
    Left,
}

/// An action that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run the pipeline for these messages. Each is [answered](Core::answered) or
    /// [failed](Core::failed) by itself.
    Attempt(Vec<MessageId>),
    /// Store the answer of a message, or the message itself as a dead letter.
    Store(MessageId, Letter),
    /// Tell the source that a message is done.
    Acknowledge(MessageId),
    /// Tell the source that a message is in progress.
    Progress(MessageId),
    /// Give a message back to the source, which delivers it again after this time. It is no longer
    /// in flight.
    Release(MessageId, Duration),
}

/// Counts of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages in flight.
    pub in_flight: usize,
    /// Messages whose answer was stored.
    pub answered: u64,
    /// Messages that were stored as dead letters.
    pub dead: u64,
    /// Deliveries of messages that had been delivered before.
    pub redelivered: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// The reason for which a message is looked at again at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Resume = 0,
    Progress = 1,
}

/// All messages in flight.
#[derive(Debug)]
pub struct Core {
    options: Options,
    messages: HashMap<MessageId, Message>,
    by_position: HashMap<Position, MessageId>,
    lanes: Lanes,
    gather: Gather,
    actions: VecDeque<Action>,
    timers: BTreeSet<(Time, MessageId, Timer)>,
    last_id: u64,
    drains: bool,
    /// Answers of the pipeline, stored or not.
    answers: u64,
    stats: Stats,
}

impl Core {
    /// Returns a stream that holds nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            gather: Gather::new(options.chunk),
            options,
            messages: HashMap::new(),
            by_position: HashMap::new(),
            lanes: Lanes::default(),
            actions: VecDeque::new(),
            timers: BTreeSet::new(),
            last_id: 0,
            drains: false,
            answers: 0,
            stats: Stats::default(),
        }
    }

    /// Returns how many messages may be asked for.
    pub fn room(&self) -> usize {
        match self.drains {
            true => 0,
            false => self.options.in_flight.saturating_sub(self.messages.len()),
        }
    }

    /// Takes a message that the source delivered.
    pub fn arrived(&mut self, now: Time, arrival: Arrival) -> Arrived {
        if arrival.deliveries > 1 {
            self.stats.redelivered += 1;
        }
        if let Some(id) = self.by_position.get(&arrival.position) {
            let id = *id;
            self.delivered_again(id);
            return Arrived::Again(id);
        }
        if self.room() == 0 {
            return Arrived::Left;
        }
        self.last_id += 1;
        let id = MessageId(self.last_id);
        let lane = match self.options.order {
            Order::None => None,
            Order::Key => arrival
                .key
                .map(|key| LaneId::Key(arrival.position.partition, key)),
            Order::Partition => Some(LaneId::Partition(arrival.position.partition)),
        };
        let may_run = lane.is_none_or(|lane| self.lanes.enter(lane, arrival.position, id));
        self.by_position.insert(arrival.position, id);
        let message = Message {
            position: arrival.position,
            lane,
            state: State::Waiting,
            attempts: arrival.deliveries.saturating_sub(1),
            suspicions: 0,
            failures: 0,
            answers_before: 0,
            alone: false,
            leaves: false,
            company: 1,
            timers: [None; 2],
        };
        self.messages.insert(id, message);
        self.set_timer(id, Timer::Progress, now + self.options.ack_wait / 2);
        if may_run {
            self.ready(now, id);
        }
        Arrived::Taken(id)
    }

    /// The source delivered a message that is in flight. One that is done it did not hear of.
    fn delivered_again(&mut self, id: MessageId) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        if message.state == State::AcknowledgeDelayed {
            message.state = State::Acknowledging;
            self.actions.push_back(Action::Acknowledge(id));
        }
    }

    /// Lets a message run, or makes it a dead letter if its deliveries never ended.
    fn ready(&mut self, now: Time, id: MessageId) {
        let suspicious = self.options.suspicious();
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        if message.failures == 0 && message.attempts >= suspicious {
            self.store(id, Letter::Dead);
            return;
        }
        message.state = State::Ready;
        let alone = message.alone;
        self.gather.push(now, id, alone);
    }

    /// Returns whether the stream drains.
    pub const fn drains(&self) -> bool {
        self.drains
    }

    /// Returns whether the stream drains and holds nothing.
    pub fn is_drained(&self) -> bool {
        self.drains && self.messages.is_empty() && self.actions.is_empty()
    }

    /// Returns what is to be done now, if there is something. Ask until there is not.
    pub fn next(&mut self, now: Time) -> Option<Action> {
        self.pass(now);
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let ids = self.gather.take(now)?;
        for id in &ids {
            if let Some(message) = self.messages.get_mut(id) {
                message.state = State::Running;
                message.answers_before = self.answers;
                message.company = ids.len();
            }
        }
        Some(Action::Attempt(ids))
    }

    /// Returns the time at which there will be something to do, if nothing happens before.
    pub fn wake_at(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(at, ..)| *at);
        timer.into_iter().chain(self.gather.due()).min()
    }

    /// Returns how many attempts of a message failed, with those of earlier deliveries.
    pub fn attempts(&self, id: MessageId) -> u32 {
        self.messages.get(&id).map_or(0, |message| message.attempts)
    }

    /// Returns the counts.
    pub fn stats(&self) -> Stats {
        Stats {
            in_flight: self.messages.len(),
            ..self.stats
        }
    }

    /// Lets time pass.
    fn pass(&mut self, now: Time) {
        while let Some((at, id, timer)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let Some(message) = self.messages.get_mut(&id) else {
                continue;
            };
            match (timer, message.state) {
                (Timer::Progress, _) => {
                    self.actions.push_back(Action::Progress(id));
                    let next = now + self.options.ack_wait / 2;
                    self.set_timer(id, Timer::Progress, next);
                }
                (Timer::Resume, State::Delayed) => self.ready(now, id),
                (Timer::Resume, State::StoreDelayed(letter)) => self.store(id, letter),
                (Timer::Resume, State::AcknowledgeDelayed) => {
                    message.state = State::Acknowledging;
                    self.actions.push_back(Action::Acknowledge(id));
                }
                // Something else happened meanwhile.
                (Timer::Resume, _) => {}
            }
        }
    }

    fn is_running(&self, id: MessageId) -> bool {
        let message = self.messages.get(&id);
        message.is_some_and(|message| message.state == State::Running)
    }

    /// Returns the time until something of a message is tried again.
    fn delay(&self, id: MessageId, most: Duration) -> Duration {
        let failures = self.messages.get(&id).map_or(1, |message| message.failures);
        let most = most.min(self.options.retry_most);
        backoff::delay(self.options.retry_first, most, failures)
    }

    fn delay_until(&mut self, id: MessageId, state: State, at: Time) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.state = state;
            self.set_timer(id, Timer::Resume, at);
        }
    }

    /// Looks at a message at this time, and not at the time that was set before.
    fn set_timer(&mut self, id: MessageId, timer: Timer, at: Time) {
        if let Some(message) = self.messages.get_mut(&id)
            && let Some(before) = message.timers[timer as usize].replace(at)
        {
            self.timers.remove(&(before, id, timer));
        }
        self.timers.insert((at, id, timer));
    }

    fn store(&mut self, id: MessageId, letter: Letter) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.state = State::Storing(letter);
            self.actions.push_back(Action::Store(id, letter));
        }
    }

    /// Ends a message.
    fn forget(&mut self, id: MessageId) {
        if let Some(message) = self.messages.remove(&id) {
            self.by_position.remove(&message.position);
            for timer in [Timer::Resume, Timer::Progress] {
                if let Some(at) = message.timers[timer as usize] {
                    self.timers.remove(&(at, id, timer));
                }
            }
        }
    }
}

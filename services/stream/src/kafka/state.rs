//! Facts that the threads of a session share: the partitions, and messages on their way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::records::{self, Place};
use crate::broker::{BrokerError, Inbox};
use crate::core::{Offsets, Seen};
use crate::message::Delivery;

/// Time that a pull waits for messages.
const PULL_WAIT: Duration = Duration::from_secs(1);
/// Most bytes of messages that wait to be pulled.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Partitions that this process took so far, in all its sessions.
static TURNS: AtomicU64 = AtomicU64::new(1);

/// Facts that the threads of a session share.
pub(super) struct State {
    facts: Mutex<Facts>,
    /// Held while messages are handed on: what is given up comes after them.
    handing: Mutex<()>,
    /// Is told when there is something to pull.
    arrived: Notify,
    /// Most messages that wait to be pulled.
    waiting_most: usize,
}

/// A partition that this process has.
struct Partition {
    /// Tells it from the same partition at another time.
    turn: u64,
    offsets: Offsets,
}

#[derive(Default)]
struct Facts {
    /// Partitions that this process has.
    partitions: BTreeMap<u32, Partition>,
    /// Messages that wait to be pulled.
    waiting: VecDeque<Delivery>,
    waiting_bytes: usize,
    /// Takes messages, once they were pulled for the first time.
    inbox: Option<Inbox>,
    /// Trouble of the consumer, until it is over.
    trouble: Option<String>,
    /// The session is of no use any more.
    broken: Option<String>,
    /// Another process has the name of this one's transactions.
    is_fenced: bool,
    /// The threads end.
    stops: bool,
}

impl State {
    pub(super) fn new(waiting_most: usize) -> Self {
        Self {
            facts: Mutex::default(),
            handing: Mutex::default(),
            arrived: Notify::new(),
            waiting_most,
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` from the time on from which the threads end.
    pub(super) fn stops(&self) -> bool {
        self.facts().stops
    }

    pub(super) fn stop(&self) {
        self.facts().stops = true;
    }

    /// Returns the trouble that there is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.facts().trouble.clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        self.facts().trouble = trouble;
        self.arrived.notify_one();
    }

    /// Ends the session for a reason. What is in flight is lost.
    pub(super) fn breaks(&self, reason: String) {
        self.facts().broken.get_or_insert(reason);
        self.stop();
        self.give_up(self.partitions(), Duration::ZERO);
        self.arrived.notify_one();
    }

    /// Takes note that another process has the name of this one's transactions.
    pub(super) fn set_fenced(&self) {
        self.facts().is_fenced = true;
    }

    pub(super) fn is_fenced(&self) -> bool {
        self.facts().is_fenced
    }

    /// Returns the reason for which the session is of no use.
    pub(super) fn broken(&self) -> Option<String> {
        self.facts().broken.clone()
    }

    /// Returns the partitions that this process has.
    pub(super) fn partitions(&self) -> Vec<u32> {
        self.facts().partitions.keys().copied().collect()
    }

    /// Takes a partition.
    pub(super) fn take(&self, partition: u32, offsets: Offsets) {
        let turn = TURNS.fetch_add(1, Ordering::Relaxed);
        self.facts()
            .partitions
            .insert(partition, Partition { turn, offsets });
    }

    /// Gives partitions up, when the stream holds no message of them any more. Blocks until then,
    /// or for `within`.
    pub(super) fn give_up(&self, partitions: Vec<u32>, within: Duration) {
        let ours = |facts: &Facts| -> Vec<u32> {
            let ours = partitions.iter().copied();
            ours.filter(|partition| facts.partitions.contains_key(partition))
                .collect()
        };
        let (held, inbox) = {
            let _handing = self.handing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut facts = self.facts();
            let held = ours(&facts);
            facts
                .waiting
                .retain(|waiting| !held.contains(&waiting.position.partition));
            let bytes = facts.waiting.iter().map(size);
            facts.waiting_bytes = bytes.sum();
            (held, facts.inbox.clone())
        };
        if let (Some(inbox), false) = (inbox, held.is_empty()) {
            let done = inbox.revoke(held.clone(), within);
            // A stream that has ended holds nothing.
            let _ = done.blocking_recv();
        }
        let mut facts = self.facts();
        for partition in held {
            facts.partitions.remove(&partition);
        }
    }

    /// Takes a record that the consumer got.
    pub(super) fn arrives(&self, record: &BorrowedMessage<'_>) {
        let Ok(partition) = u32::try_from(record.partition()) else {
            return;
        };
        let mut facts = self.facts();
        let Some(of) = facts.partitions.get_mut(&partition) else {
            return;
        };
        let deliveries = match of.offsets.arrives(records::offset(record)) {
            Seen::New => 1,
            Seen::Before => 2,
            Seen::Done => return,
        };
        let place = Place {
            partition,
            offset: records::offset(record),
            turn: of.turn,
        };
        let delivery = records::delivery(record, place, deliveries);
        facts.waiting_bytes += size(&delivery);
        facts.waiting.push_back(delivery);
        drop(facts);
        self.arrived.notify_one();
    }

    /// Returns whether as many messages wait as may (`true`), or few (`false`).
    pub(super) fn is_full(&self) -> Option<bool> {
        let facts = self.facts();
        let (count, bytes) = (facts.waiting.len(), facts.waiting_bytes);
        if count >= self.waiting_most || bytes >= WAITING_BYTES_MAX {
            return Some(true);
        }
        let is_low = count <= self.waiting_most / 2 && bytes <= WAITING_BYTES_MAX / 2;
        is_low.then_some(false)
    }

    /// Hands messages on as they come.
    pub(super) async fn pull(&self, max: usize, inbox: &Inbox) -> Result<(), BrokerError> {
        let until = Instant::now() + PULL_WAIT;
        loop {
            let arrived = self.arrived.notified();
            if self.hand(max, inbox)? > 0 || timeout_at(until, arrived).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Hands messages on that wait. Returns how many.
    fn hand(&self, max: usize, inbox: &Inbox) -> Result<usize, BrokerError> {
        let _handing = self.handing.lock().unwrap_or_else(PoisonError::into_inner);
        let deliveries: Vec<Delivery> = {
            let mut facts = self.facts();
            if let Some(trouble) = facts.broken.as_ref().or(facts.trouble.as_ref()) {
                return Err(BrokerError(trouble.clone()));
            }
            facts.inbox.get_or_insert_with(|| inbox.clone());
            let count = max.min(facts.waiting.len());
            facts.waiting.drain(..count).collect()
        };
        let bytes: usize = deliveries.iter().map(size).sum();
        let count = deliveries.len();
        for delivery in deliveries {
            // The inbox has places for as many as are asked for.
            inbox.try_deliver(delivery);
        }
        self.facts().waiting_bytes -= bytes;
        Ok(count)
    }

    /// Changes what is known of a partition, if this process has it, and since this turn.
    pub(super) fn with<T>(
        &self,
        partition: u32,
        turn: u64,
        change: impl FnOnce(&mut Offsets) -> T,
    ) -> Option<T> {
        let mut facts = self.facts();
        let of = facts.partitions.get_mut(&partition)?;
        (of.turn == turn).then(|| change(&mut of.offsets))
    }

    /// Returns the partitions, each with the offset after all that the consumer got.
    pub(super) fn next_offsets(&self) -> Vec<(u32, u64)> {
        let facts = self.facts();
        let partitions = facts.partitions.iter();
        partitions
            .map(|(partition, of)| (*partition, of.offsets.next()))
            .collect()
    }

    /// Returns how many messages wait.
    pub(super) fn waiting(&self) -> usize {
        self.facts().waiting.len()
    }
}

fn size(delivery: &Delivery) -> usize {
    let headers = delivery.message.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    delivery.message.payload.len() + headers
}

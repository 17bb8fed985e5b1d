//! A worker of the group: what it holds, and its steps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

use motet_stream::core::{
    Action, Arrival, Arrived, Core, Fault, Letter, Mark, MessageId, Offsets, Options, Order,
    Position, Seen,
};

use super::{CHAOS, GroupSetting, JOB, Kind, World};

/// Messages of a partition that a worker gets at a time.
const FETCH: usize = 4;

/// A partition as a worker has it.
pub(super) struct Owned {
    pub(super) offsets: Offsets,
    pub(super) generation: u64,
    /// The next offset that it gets.
    pub(super) fetch: usize,
    /// It is given up: at this time at the latest.
    pub(super) leaves: Option<Duration>,
}

/// A transaction under way.
pub(super) struct Transaction {
    pub(super) ends: Duration,
    pub(super) letters: Vec<(u32, u64, MessageId, bool)>,
    pub(super) marks: Vec<(u32, u64, Mark)>,
}

/// A process.
pub(super) struct Worker {
    pub(super) core: Core,
    pub(super) places: HashMap<MessageId, (u32, u64)>,
    pub(super) owned: BTreeMap<u32, Owned>,
    pub(super) attempts: BinaryHeap<Reverse<(Duration, MessageId)>>,
    /// Letters that wait, with whether they are dead letters.
    pub(super) letters: BTreeMap<(u32, u64), (MessageId, bool)>,
    pub(super) transaction: Option<Transaction>,
}

impl Worker {
    pub(super) fn new(setting: &GroupSetting) -> Self {
        let order = match setting.is_ordered {
            true => Order::Key,
            false => Order::None,
        };
        Self {
            core: Core::new(Options {
                order,
                in_flight: setting.in_flight,
                after: 3,
                retry_first: Duration::from_millis(100),
                retry_most: Duration::from_secs(5),
                delays: false,
                ..Options::default()
            }),
            places: HashMap::new(),
            owned: BTreeMap::new(),
            attempts: BinaryHeap::new(),
            letters: BTreeMap::new(),
            transaction: None,
        }
    }

    /// Forgets a partition, whatever is under way.
    pub(super) fn forget(&mut self, partition: u32) {
        for id in self.core.abandon(partition) {
            self.places.remove(&id);
        }
        self.owned.remove(&partition);
        self.letters.retain(|(of, _), _| *of != partition);
    }
}

impl World<'_> {
    pub(super) fn fetch(&mut self, worker: usize) {
        let Worker {
            core,
            places,
            owned,
            ..
        } = &mut self.workers[worker];
        for (partition, owned) in owned {
            if owned.leaves.is_some() {
                continue;
            }
            let messages = &self.setting.partitions[*partition as usize];
            for _ in 0..FETCH.min(core.room()) {
                let Some((key, _)) = messages.get(owned.fetch) else {
                    break;
                };
                let offset = owned.fetch as u64;
                owned.fetch += 1;
                let deliveries = match owned.offsets.arrives(offset) {
                    Seen::New => 1,
                    Seen::Before => 2,
                    Seen::Done => continue,
                };
                let arrival = Arrival {
                    position: Position {
                        partition: *partition,
                        place: offset,
                        sub: 0,
                    },
                    key: Some(*key),
                    deliveries,
                };
                match core.arrived(self.now, arrival) {
                    Arrived::Taken(id) => drop(places.insert(id, (*partition, offset))),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    pub(super) fn act(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        while let Some(action) = worker.core.next(self.now) {
            match action {
                Action::Attempt(ids) => {
                    for id in ids {
                        let at = self.now + self.random.up_to(JOB);
                        worker.attempts.push(Reverse((at, id)));
                    }
                }
                Action::Store(id, letter) => {
                    let is_dead = letter == Letter::Dead;
                    worker.letters.insert(worker.places[&id], (id, is_dead));
                }
                Action::Release(id, _) => {
                    let place = worker.places.get(&id).copied();
                    let owned = place.and_then(|(of, _)| worker.owned.get_mut(&of));
                    if let (Some((_, offset)), Some(owned)) = (place, owned) {
                        owned.offsets.give_back(offset);
                    }
                }
                Action::Progress(_) => {}
                Action::Acknowledge(id) => panic!("{id:?} is acknowledged by its transaction"),
            }
        }
    }

    pub(super) fn end_attempts(&mut self, worker: usize) {
        while let Some(Reverse((at, id))) = self.workers[worker].attempts.peek().copied()
            && at <= self.now
        {
            let of = &mut self.workers[worker];
            of.attempts.pop();
            let Some(place) = of.places.get(&id).copied() else {
                continue;
            };
            let attempts = self.attempts.entry(place).or_default();
            *attempts += 1;
            let (_, kind) = self.setting.partitions[place.0 as usize][place.1 as usize];
            match kind {
                Kind::Flaky(times) if *attempts <= times => {
                    of.core.failed(self.now, id, Fault::Attempt.into());
                }
                Kind::Good | Kind::Flaky(_) => of.core.answered(id),
                Kind::Poison => of.core.failed(self.now, id, Fault::Attempt.into()),
                Kind::Broken => of.core.failed(self.now, id, Fault::Message.into()),
            }
        }
    }

    pub(super) fn begin_transaction(&mut self, worker: usize) {
        let ends = self.now + self.random.up_to(JOB);
        let worker = &mut self.workers[worker];
        if worker.transaction.is_some() {
            return;
        }
        let mut transaction = Transaction {
            ends,
            letters: Vec::new(),
            marks: Vec::new(),
        };
        for (partition, owned) in &worker.owned {
            let waiting = worker.letters.range((*partition, 0)..(*partition + 1, 0));
            let waiting: Vec<u64> = waiting.map(|((_, offset), _)| *offset).collect();
            let plan = owned.offsets.plan(&waiting, self.setting.note_most);
            assert!(plan.done.is_empty(), "what is done is forgotten");
            for offset in plan.stuck {
                let (id, _) = worker.letters[&(*partition, offset)];
                worker.letters.remove(&(*partition, offset));
                worker.core.taken_back(self.now, id);
            }
            for offset in plan.stored {
                let letter = worker.letters.remove(&(*partition, offset));
                let (id, is_dead) = letter.expect("it waits");
                transaction.letters.push((*partition, offset, id, is_dead));
            }
            let mark = plan.mark.map(|mark| (*partition, owned.generation, mark));
            transaction.marks.extend(mark);
        }
        if !transaction.letters.is_empty() {
            worker.transaction = Some(transaction);
        }
    }

    pub(super) fn end_transaction(&mut self, worker: usize) {
        let ends = self.workers[worker].transaction.as_ref().map(|of| of.ends);
        if ends.is_none_or(|ends| self.now < ends) {
            return;
        }
        let Some(transaction) = self.workers[worker].transaction.take() else {
            return;
        };
        let chaos = self.setting.lossy && self.now < CHAOS;
        let is_aborted = chaos && self.random.one_of(4);
        let is_unknown = chaos && self.random.one_of(8);
        let is_committed = !is_aborted && self.commit(&transaction);
        if is_unknown {
            // The session ends: others, or it, find out.
            let worker = &mut self.workers[worker];
            let owned = std::mem::take(&mut worker.owned);
            owned.keys().for_each(|partition| worker.forget(*partition));
            self.free_all(owned);
            return;
        }
        let worker = &mut self.workers[worker];
        for (partition, offset, id, _) in transaction.letters {
            if is_committed && let Some(owned) = worker.owned.get_mut(&partition) {
                owned.offsets.end(&[offset]);
            }
            worker.core.stored(self.now, id, is_committed, is_committed);
        }
    }
}

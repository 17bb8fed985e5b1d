//! Two workers of a group, over partitions that go from one to the other, with transactions that
//! are committed, aborted, or of an unknown end.
//!
//! * `worker`: a worker, and its steps.

mod worker;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use motet_stream::core::{Mark, Offsets};

use super::random::Random;
use super::{CHAOS, Kind};
use worker::{Owned, Transaction, Worker};

/// Time by which everything must have ended.
const END: Duration = Duration::from_secs(3600);
/// Workers of the group.
const WORKERS: usize = 2;
/// Most time of an attempt, or of a transaction.
const JOB: Duration = Duration::from_secs(3);
/// Time in which what is under way may end, of a partition that goes.
const END_WAIT: Duration = Duration::from_secs(2);

/// One simulation.
#[derive(Debug, Clone)]
pub(crate) struct GroupSetting {
    /// Messages of each partition, with their keys.
    pub(crate) partitions: Vec<Vec<(u64, Kind)>>,
    pub(crate) is_ordered: bool,
    pub(crate) in_flight: usize,
    /// Most bytes of notes; 0 for a broker that keeps none.
    pub(crate) note_most: usize,
    pub(crate) crashes: u32,
    pub(crate) drains: u32,
    /// Times that a partition is taken from its worker, which is asked before.
    pub(crate) moves: u32,
    /// Times that it is taken without being asked.
    pub(crate) losses: u32,
    /// `true` if transactions may be aborted, or end without the worker's knowledge.
    pub(crate) lossy: bool,
    pub(crate) seed: u64,
}

/// A letter that was committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) partition: usize,
    pub(crate) offset: usize,
    pub(crate) is_dead: bool,
}

/// The end of a simulation.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) ended: bool,
    pub(crate) open: Vec<usize>,
    pub(crate) in_flight_most: usize,
    /// Letters in the order in which they were committed.
    pub(crate) effects: Vec<Effect>,
}

/// Events of a worker.
#[derive(Debug, Clone, Copy)]
enum Event {
    Crash,
    Drain,
    /// A partition is taken from it, and it is asked before.
    TakeAway,
    /// A partition is taken from it, and it is not asked.
    Lose,
}

/// A partition as the broker has it.
struct Partition {
    mark: Mark,
    /// The worker that has it, if one does.
    owner: Option<usize>,
    /// Whoever had it before cannot commit any more.
    generation: u64,
    /// The time from which it is given to a worker.
    free_from: Duration,
}

struct World<'s> {
    setting: &'s GroupSetting,
    now: Duration,
    random: Random,
    partitions: Vec<Partition>,
    /// Attempts of each message so far.
    attempts: HashMap<(u32, u64), u32>,
    workers: Vec<Worker>,
    outcome: Outcome,
}

/// Runs a setting to its end.
pub(crate) fn simulate(setting: &GroupSetting) -> Outcome {
    let mut random = Random::new(setting.seed);
    let mut events = Vec::new();
    for (count, event) in [
        (setting.crashes, Event::Crash),
        (setting.drains, Event::Drain),
        (setting.moves, Event::TakeAway),
        (setting.losses, Event::Lose),
    ] {
        events.extend((0..count).map(|_| (random.up_to(CHAOS), event)));
    }
    events.sort_unstable_by_key(|(at, _)| Reverse(*at));
    let partition = |_: &Vec<(u64, Kind)>| Partition {
        mark: Mark {
            position: 0,
            note: String::new(),
        },
        owner: None,
        generation: 0,
        free_from: Duration::ZERO,
    };
    let mut world = World {
        setting,
        now: Duration::ZERO,
        random,
        partitions: setting.partitions.iter().map(partition).collect(),
        attempts: HashMap::new(),
        workers: (0..WORKERS).map(|_| Worker::new(setting)).collect(),
        outcome: Outcome::default(),
    };
    while world.now < END && !world.open().is_empty() {
        while events.last().is_some_and(|(at, _)| *at <= world.now)
            && let Some((_, event)) = events.pop()
        {
            let worker = usize::from(world.random.one_of(2));
            match event {
                Event::Crash => world.crash(worker),
                Event::Drain => world.workers[worker].core.drain(),
                Event::TakeAway => world.take_away(worker),
                Event::Lose => world.lose(worker),
            }
        }
        world.step();
    }
    world.outcome.open = world.open();
    world.outcome.ended = world.outcome.open.is_empty();
    world.outcome
}

impl World<'_> {
    /// Returns the partitions that are not done.
    fn open(&self) -> Vec<usize> {
        let count = |at: &usize| self.setting.partitions[*at].len() as u64;
        let all = 0..self.partitions.len();
        all.filter(|at| self.partitions[*at].mark.position < count(at))
            .collect()
    }

    /// Frees a partition: whoever had it cannot commit any more.
    fn free(&mut self, partition: u32) {
        let at = self.now + self.random.up_to(JOB);
        let of = &mut self.partitions[partition as usize];
        of.owner = None;
        of.generation += 1;
        of.free_from = at;
    }

    /// Frees those partitions of a worker that it has not lost.
    fn free_all(&mut self, owned: BTreeMap<u32, Owned>) {
        for (partition, owned) in owned {
            if self.partitions[partition as usize].generation == owned.generation {
                self.free(partition);
            }
        }
    }

    fn crash(&mut self, worker: usize) {
        let dead = std::mem::replace(&mut self.workers[worker], Worker::new(self.setting));
        if let Some(transaction) = dead.transaction
            && self.random.one_of(2)
        {
            self.commit(&transaction);
        }
        self.free_all(dead.owned);
    }

    fn take_away(&mut self, worker: usize) {
        let until = self.now + END_WAIT;
        let worker = &mut self.workers[worker];
        if let Some((partition, owned)) = worker.owned.iter_mut().next() {
            owned.leaves.get_or_insert(until);
            worker.core.revoke(*partition);
        }
    }

    fn lose(&mut self, worker: usize) {
        let mut owned = self.workers[worker].owned.iter();
        let lost = owned.find(|(partition, owned)| {
            self.partitions[**partition as usize].generation == owned.generation
        });
        if let Some(partition) = lost.map(|(partition, _)| *partition) {
            self.free(partition);
            // The worker learns of it later.
            let until = self.now + self.random.up_to(END_WAIT);
            let owned = self.workers[worker].owned.get_mut(&partition);
            owned.expect("it has it").leaves = Some(until);
        }
    }

    /// Commits a transaction, unless a partition has another generation. Returns whether it did.
    fn commit(&mut self, transaction: &Transaction) -> bool {
        let is_current = |(partition, generation, _): &(u32, u64, Mark)| {
            self.partitions[*partition as usize].generation == *generation
        };
        if !transaction.marks.iter().all(is_current) {
            return false;
        }
        for (partition, _, mark) in &transaction.marks {
            let mut mark = mark.clone();
            if self.setting.note_most == 0 {
                mark.note.clear();
            }
            self.partitions[*partition as usize].mark = mark;
        }
        for (partition, offset, _, is_dead) in &transaction.letters {
            self.outcome.effects.push(Effect {
                partition: *partition as usize,
                offset: usize::try_from(*offset).expect("small"),
                is_dead: *is_dead,
            });
        }
        true
    }

    fn step(&mut self) {
        self.assign();
        for worker in 0..self.workers.len() {
            self.end_transaction(worker);
            self.end_attempts(worker);
            self.fetch(worker);
            self.act(worker);
            self.begin_transaction(worker);
            self.give_up(worker);
            let in_flight = self.workers[worker].core.stats().in_flight;
            let most = &mut self.outcome.in_flight_most;
            *most = (*most).max(in_flight);
        }
        self.now += Duration::from_millis(20);
    }

    /// Gives free partitions to workers.
    fn assign(&mut self) {
        for partition in 0..self.partitions.len() {
            let of = &mut self.partitions[partition];
            if of.owner.is_some() || self.now < of.free_from {
                continue;
            }
            let worker = usize::from(self.random.one_of(2));
            let number = u32::try_from(partition).expect("small");
            let to = &mut self.workers[worker];
            // One that does not know yet that it lost it, or that ends, gets nothing.
            if to.owned.contains_key(&number) || to.core.drains() {
                continue;
            }
            of.owner = Some(worker);
            let mark = of.mark.clone();
            let owned = Owned {
                offsets: Offsets::resume(mark.position, &mark.note),
                generation: of.generation,
                fetch: usize::try_from(mark.position).expect("small"),
                leaves: None,
            };
            to.owned.insert(number, owned);
        }
    }

    /// Gives partitions up of which nothing is held, or whose time is over.
    fn give_up(&mut self, worker: usize) {
        let of = &mut self.workers[worker];
        if of.core.is_drained() && of.attempts.is_empty() && of.transaction.is_none() {
            let ended = std::mem::replace(of, Worker::new(self.setting));
            self.free_all(ended.owned);
            return;
        }
        let mut given = Vec::new();
        for (partition, owned) in &of.owned {
            let is_over = owned.leaves.is_some_and(|until| until <= self.now);
            let is_quiet = owned.leaves.is_some() && !of.core.holds(*partition);
            if is_over || is_quiet {
                given.push((*partition, owned.generation));
            }
        }
        for (partition, generation) in given {
            self.workers[worker].forget(partition);
            // One that was lost is free already.
            if self.partitions[partition as usize].generation == generation {
                self.free(partition);
            }
        }
    }
}

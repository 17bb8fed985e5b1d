//! A broker, a pipeline and a store that fail, and workers that crash, over virtual time.

mod broker;
pub(crate) mod group;
mod random;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use broker::Broker;
use motet_stream::core::{
    Action, Arrival, Arrived, Chunk, Core, Failure, Fault, Letter, MessageId, Options, Order,
    Position,
};
use random::Random;

/// Time after which the broker delivers again.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Most time of a job.
const JOB_MILLIS_MAX: u64 = 12_000;
/// Time after which nothing fails by chance any more.
const CHAOS: Duration = Duration::from_secs(120);
/// Time by which everything must have ended.
const END: Duration = Duration::from_secs(24 * 3600);

/// The fate of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its attempts succeed.
    Good,
    /// So many of its attempts fail, then one succeeds.
    Flaky(u32),
    /// Its attempts fail.
    Poison,
    /// Its attempts fail, and the pipeline says that they always will.
    Broken,
}

/// One simulation.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) order: Order,
    /// Messages with their keys.
    pub(crate) messages: Vec<(u64, Kind)>,
    pub(crate) in_flight: usize,
    pub(crate) chunk: Option<Chunk>,
    pub(crate) delays: bool,
    /// Times that the worker is killed.
    pub(crate) crashes: u32,
    /// Times that it is drained.
    pub(crate) drains: u32,
    /// `true` if what is said between worker and broker may be lost.
    pub(crate) lossy: bool,
    /// Times that the pipeline is away.
    pub(crate) outages: u32,
    pub(crate) seed: u64,
}

/// Effects of a message, each counted once for its identity.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effects {
    pub(crate) answers: u32,
    pub(crate) dead: u32,
}

/// The end of a simulation.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) ended: bool,
    pub(crate) open: Vec<usize>,
    pub(crate) in_flight_most: usize,
    pub(crate) effects: Vec<Effects>,
    /// Messages in the order of their first effects.
    pub(crate) first_effects: Vec<usize>,
}

/// Something under way, and what will have come of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Attempt(MessageId),
    Store(MessageId, bool),
    Acknowledge(MessageId),
    Progress(MessageId),
    Release(usize, Duration),
}

struct World<'s> {
    setting: &'s Setting,
    now: Duration,
    random: Random,
    broker: Broker,
    outcome: Outcome,
    /// Attempts of each message so far.
    attempts: Vec<u32>,
    outages: Vec<(Duration, Duration)>,
}

/// A process.
struct Worker {
    core: Core,
    places: HashMap<MessageId, usize>,
    jobs: BinaryHeap<Reverse<(Duration, Job)>>,
    /// Until when it asks for nothing: what an earlier worker held comes first.
    pulls_from: Duration,
    drains: bool,
}

/// Runs a setting to its end.
pub(crate) fn simulate(setting: &Setting) -> Outcome {
    let mut random = Random::new(setting.seed);
    let mut moments = |count: u32| -> Vec<Duration> {
        let mut moments: Vec<_> = (0..count).map(|_| random.up_to(CHAOS)).collect();
        moments.sort_unstable_by(|a, b| b.cmp(a));
        moments
    };
    let (mut crashes, mut drains) = (moments(setting.crashes), moments(setting.drains));
    let outages = moments(setting.outages);
    let outages = outages.into_iter().map(|at| (at, at + CHAOS / 4));
    let count = setting.messages.len();
    let mut world = World {
        setting,
        now: Duration::ZERO,
        broker: Broker::new(count, ACK_WAIT),
        outages: outages.collect(),
        random,
        outcome: Outcome {
            effects: vec![Effects::default(); count],
            ..Outcome::default()
        },
        attempts: vec![0; count],
    };
    let mut worker = world.worker();
    while world.now < END && !world.broker.is_done() {
        if crashes.last().is_some_and(|at| *at <= world.now) {
            crashes.pop();
            worker = world.crash(worker);
        }
        if drains.last().is_some_and(|at| *at <= world.now) && !worker.drains {
            drains.pop();
            worker.drains = true;
            worker.core.drain();
        }
        if worker.core.is_drained() && worker.jobs.is_empty() {
            worker = world.worker();
        }
        world.step(&mut worker);
    }
    world.outcome.ended = world.broker.is_done();
    world.outcome.open = world.broker.open();
    world.outcome
}

impl World<'_> {
    fn worker(&self) -> Worker {
        let is_ordered = self.setting.order != Order::None;
        let waits = is_ordered && self.broker.has_pending();
        Worker {
            core: Core::new(Options {
                order: self.setting.order,
                in_flight: self.setting.in_flight,
                after: 5,
                chunk: self.setting.chunk,
                ack_wait: ACK_WAIT,
                retry_first: Duration::from_millis(100),
                retry_most: Duration::from_secs(5),
                delays: self.setting.delays,
            }),
            places: HashMap::new(),
            jobs: BinaryHeap::new(),
            pulls_from: if waits { self.now + ACK_WAIT } else { self.now },
            drains: false,
        }
    }

    /// Kills the worker. What it had under way with the broker arrives there, or does not.
    fn crash(&mut self, mut worker: Worker) -> Worker {
        while let Some(Reverse((_, job))) = worker.jobs.pop() {
            let arrives = self.random.one_of(2);
            match job {
                Job::Store(id, is_dead) if arrives => {
                    self.effect(worker.places[&id], is_dead);
                }
                Job::Acknowledge(id) if arrives => self.broker.acknowledge(worker.places[&id]),
                _ => {}
            }
        }
        self.worker()
    }

    /// Does what is to be done, then lets time pass until the next thing happens.
    fn step(&mut self, worker: &mut Worker) {
        self.broker.pass(self.now);
        if self.now >= worker.pulls_from {
            for (place, deliveries) in self.broker.deliver(self.now, worker.core.room()) {
                // In an order, what is lost on its way is noticed by the adapter.
                if self.setting.order == Order::None && self.is_lost() {
                    continue;
                }
                let arrival = Arrival {
                    position: Position::of_sequence(place as u64),
                    key: Some(self.setting.messages[place].0),
                    deliveries,
                };
                match worker.core.arrived(self.now, arrival) {
                    Arrived::Taken(id) => drop(worker.places.insert(id, place)),
                    Arrived::Again(id) => assert_eq!(worker.places[&id], place),
                    Arrived::Left => panic!("more was asked for than there is room"),
                }
            }
        }
        while let Some(action) = worker.core.next(self.now) {
            for job in jobs(action, &worker.places) {
                let at = self.now + self.random.up_to(Duration::from_millis(JOB_MILLIS_MAX));
                worker.jobs.push(Reverse((at, job)));
            }
        }
        let most = &mut self.outcome.in_flight_most;
        *most = (*most).max(worker.core.stats().in_flight);
        let job = worker.jobs.peek().map(|Reverse((at, _))| *at);
        let pulls = (worker.pulls_from > self.now).then_some(worker.pulls_from);
        let next = [job, worker.core.wake_at(), self.broker.next_due(), pulls];
        let next = next.into_iter().flatten().min().unwrap_or(self.now);
        self.now = next.max(self.now + Duration::from_millis(1));
        while let Some(Reverse((at, _))) = worker.jobs.peek()
            && *at <= self.now
            && let Some(Reverse((_, job))) = worker.jobs.pop()
        {
            self.end(worker, job);
        }
    }

    fn end(&mut self, worker: &mut Worker, job: Job) {
        let place = |id: &MessageId| worker.places[id];
        match job {
            Job::Attempt(id) => match self.attempt(place(&id)) {
                Ok(()) => worker.core.answered(id),
                Err(failure) => worker.core.failed(self.now, id, failure),
            },
            Job::Store(id, is_dead) => {
                let arrives = !self.is_lost();
                if arrives {
                    self.effect(place(&id), is_dead);
                }
                let is_told = arrives && !self.is_lost();
                worker.core.stored(self.now, id, is_told, false);
            }
            Job::Acknowledge(id) => {
                let arrives = !self.is_lost();
                if arrives {
                    self.broker.acknowledge(place(&id));
                }
                let is_told = arrives && !self.is_lost();
                worker.core.acknowledged(self.now, id, is_told);
            }
            Job::Progress(id) => {
                if !self.is_lost() {
                    self.broker.progress(self.now, place(&id));
                }
            }
            Job::Release(place, after) => {
                if !self.is_lost() {
                    self.broker.release(self.now + after, place);
                }
            }
        }
    }

    fn attempt(&mut self, place: usize) -> Result<(), Failure> {
        let is_away = |(from, to): &(Duration, Duration)| (*from..*to).contains(&self.now);
        if self.outages.iter().any(is_away) {
            return Err(Fault::Service.into());
        }
        if self.is_lost() {
            let retry_after = Some(self.random.up_to(Duration::from_secs(2)));
            let fault = Fault::Overload;
            return Err(Failure { fault, retry_after });
        }
        self.attempts[place] += 1;
        match self.setting.messages[place].1 {
            Kind::Good => Ok(()),
            Kind::Flaky(times) if self.attempts[place] > times => Ok(()),
            Kind::Flaky(_) | Kind::Poison => Err(Fault::Attempt.into()),
            Kind::Broken => Err(Fault::Message.into()),
        }
    }

    /// Stores a letter; one of the same identity is dropped.
    fn effect(&mut self, place: usize, is_dead: bool) {
        let effects = &mut self.outcome.effects[place];
        if effects.answers + effects.dead == 0 {
            self.outcome.first_effects.push(place);
        }
        match is_dead {
            true => effects.dead = 1,
            false => effects.answers = 1,
        }
    }

    fn is_lost(&mut self) -> bool {
        self.setting.lossy && self.now < CHAOS && self.random.one_of(8)
    }
}

fn jobs(action: Action, places: &HashMap<MessageId, usize>) -> Vec<Job> {
    match action {
        Action::Attempt(ids) => ids.into_iter().map(Job::Attempt).collect(),
        Action::Store(id, letter) => vec![Job::Store(id, letter == Letter::Dead)],
        Action::Acknowledge(id) => vec![Job::Acknowledge(id)],
        Action::Progress(id) => vec![Job::Progress(id)],
        Action::Release(id, after) => vec![Job::Release(places[&id], after)],
    }
}

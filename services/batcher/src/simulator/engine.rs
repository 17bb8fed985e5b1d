//! Plays traffic against a batcher and a machine in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::{Contender, Machine, Next, Policies, Random, Request, Started, Traffic};
use crate::{Options, Time};

/// A refused closed-loop caller waits this long before it thinks again.
const REFUSED_PAUSE: f64 = 1e-3;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// What comes in.
    pub traffic: Traffic,
    /// What a batch takes.
    pub machine: Machine,
    /// Executors.
    pub executors: usize,
    /// Options of the batcher; the policy in it is replaced.
    pub options: Options,
    /// The policy.
    pub policy: Policies,
    /// Seed of noise, lengths and think times.
    pub seed: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// Not known: it was still queued at the end, which should not be.
    Unknown,
    /// Answered at this time.
    Answered(Time),
    /// Refused at once.
    Refused,
    /// Given up in the queue.
    Expired,
}

/// Everything that happened.
#[derive(Clone, Debug)]
pub struct Run {
    /// The requests, in order of arrival.
    pub requests: Vec<Request>,
    /// What became of each.
    pub fates: Vec<Fate>,
    /// The batches, in order of their start.
    pub batches: Vec<RanBatch>,
}

/// One batch of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RanBatch {
    /// When an executor began it.
    pub started: Time,
    /// How long it took.
    pub duration: Duration,
    /// Rows.
    pub rows: usize,
    /// Tokens computed.
    pub tokens: u64,
    /// How long an executor had been free with requests queued.
    pub deliberate_wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Completion(usize),
    Arrival(usize),
    Wake,
}

struct World<'a> {
    simulation: &'a Simulation,
    contender: Box<dyn Contender>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    sequence: u64,
    run: Run,
    /// Batches on an executor, by the number in their completion event.
    running: Vec<Option<(Started, Duration)>>,
    busy: usize,
    /// Batches handed over before an executor was free.
    bound: VecDeque<Started>,
    /// Each closed-loop caller's own randomness, so that policies are compared on the same think times, and whose each request is.
    callers: Vec<Random>,
    caller_of: Vec<usize>,
    idle_since: Option<Time>,
    next_wake: Option<Time>,
}

impl Simulation {
    /// Runs until every request has its fate.
    pub fn run(&self) -> Run {
        let mut random = Random::new(self.seed);
        let contender =
            self.policy
                .build(&self.options, self.executors, &self.machine, &mut random);
        let mut world = World {
            simulation: self,
            contender,
            events: BinaryHeap::new(),
            sequence: 0,
            run: Run {
                requests: Vec::new(),
                fates: Vec::new(),
                batches: Vec::new(),
            },
            running: Vec::new(),
            busy: 0,
            bound: VecDeque::new(),
            callers: Vec::new(),
            caller_of: Vec::new(),
            idle_since: None,
            next_wake: None,
        };
        match &self.traffic {
            Traffic::Open(requests) => requests.iter().for_each(|request| world.issue(*request)),
            Traffic::Closed(callers) => {
                let seed = |caller: usize| {
                    self.seed
                        .wrapping_mul(1_000_003)
                        .wrapping_add(caller as u64 + 1)
                };
                world.callers = (0..callers.callers)
                    .map(|caller| Random::new(seed(caller)))
                    .collect();
                for caller in 0..callers.callers.min(callers.requests) {
                    world.call(caller, Time::ZERO);
                }
            }
        }
        while let Some(Reverse((now, _, event))) = world.events.pop() {
            world.handle(now, event);
        }
        world.run
    }
}

impl World<'_> {
    fn schedule(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    fn issue(&mut self, request: Request) {
        let number = self.run.requests.len();
        self.run.requests.push(request);
        self.run.fates.push(Fate::Unknown);
        self.schedule(request.arrival, Event::Arrival(number));
    }

    fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::Arrival(number) => {
                let request = self.run.requests[number];
                if !self.contender.admit(now, number, &request) {
                    self.settle(number, Fate::Refused, now.plus_seconds(REFUSED_PAUSE));
                }
            }
            Event::Completion(number) => {
                if let Some((started, duration)) = self.running[number].take() {
                    self.busy -= 1;
                    self.contender.complete(now, &started, duration);
                    for number in started.requests {
                        self.settle(number, Fate::Answered(now), now);
                    }
                    if let Some(next) = self.bound.pop_front() {
                        self.start(now, next, Duration::ZERO);
                    }
                }
            }
            Event::Wake if self.next_wake == Some(now) => self.next_wake = None,
            Event::Wake => return,
        }
        self.poll(now);
    }

    fn poll(&mut self, now: Time) {
        loop {
            if self.busy < self.simulation.executors && self.contender.queued() > 0 {
                self.idle_since.get_or_insert(now);
            }
            let next = self.contender.poll(now);
            for number in self.contender.take_dropped() {
                self.settle(number, Fate::Expired, now);
            }
            match next {
                Next::Run(started) if self.busy < self.simulation.executors => {
                    let waited = self
                        .idle_since
                        .take()
                        .map_or(Duration::ZERO, |since| now.since(since));
                    self.start(now, started, waited);
                }
                Next::Run(started) => self.bound.push_back(started),
                Next::WaitUntil(time) => {
                    if self.next_wake != Some(time) {
                        self.next_wake = Some(time);
                        self.schedule(time, Event::Wake);
                    }
                    return;
                }
                Next::Idle => {
                    self.next_wake = None;
                    if self.contender.queued() == 0 {
                        self.idle_since = None;
                    }
                    return;
                }
            }
        }
    }

    fn start(&mut self, now: Time, started: Started, deliberate_wait: Duration) {
        let machine = &self.simulation.machine;
        let mut noise = machine.noise_at(now, self.simulation.seed);
        let duration = machine.run(now, started.tokens, &mut noise);
        self.run.batches.push(RanBatch {
            started: now,
            duration,
            rows: started.requests.len(),
            tokens: started.tokens,
            deliberate_wait,
        });
        self.busy += 1;
        let number = self.running.len();
        self.running.push(Some((started, duration)));
        self.schedule(now.after(duration), Event::Completion(number));
    }

    /// A request has its fate; a closed-loop caller goes on.
    fn settle(&mut self, number: usize, fate: Fate, then: Time) {
        self.run.fates[number] = fate;
        if let Some(caller) = self.caller_of.get(number).copied() {
            self.call(caller, then);
        }
    }

    /// A closed-loop caller starts thinking about its next request.
    fn call(&mut self, caller: usize, from: Time) {
        if let Traffic::Closed(callers) = &self.simulation.traffic
            && self.run.requests.len() < callers.requests
        {
            let request = callers.next(from, &mut self.callers[caller]);
            self.caller_of.push(caller);
            self.issue(request);
        }
    }
}

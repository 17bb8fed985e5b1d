//! Plays traffic against a batching policy and a machine in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use motet_batcher::{Flow, Options, Time};

use crate::machine::Machine;
use crate::policy::{Action, PolicyKind, Refused, ServerPolicy, SimulatedBatch};
use crate::random::Random;
use crate::traffic::{ClosedLoop, Request, Traffic};

/// Time that a refused closed-loop caller waits before it thinks about its next request, unless it
/// waits as long as it is told to.
const REFUSED_PAUSE: Duration = Duration::from_millis(1);

/// One run of the simulator: traffic, machine, policy and seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Requests that arrive.
    pub traffic: Traffic,
    /// The machine that runs batches.
    pub machine: Machine,
    /// Number of executors.
    pub executors: usize,
    /// Options of the batcher; [`Scenario::policy`] replaces the policy in them.
    pub options: Options,
    /// The batching policy.
    pub policy: PolicyKind,
    /// Seed of noise, lengths and think times.
    pub seed: u64,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestOutcome {
    /// Unknown: still queued at the end of the run, which is a defect of the policy.
    Unknown,
    /// Answered at this time.
    Answered(Time),
    /// Refused at once.
    Refused,
    /// Given up in the queue.
    Expired,
}

/// Everything that happened in a run.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The requests, in order of arrival.
    pub requests: Vec<Request>,
    /// The end of each of the requests.
    pub outcomes: Vec<RequestOutcome>,
    /// The batches, in order of their start.
    pub batches: Vec<RecordedBatch>,
    /// The rows that were answered, each with its time and its request.
    pub rows: Vec<(Time, usize)>,
}

/// One batch of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordedBatch {
    /// Time at which an executor began it.
    pub started: Time,
    /// Time that it took.
    pub duration: Duration,
    /// Rows in it.
    pub rows: usize,
    /// Tokens that it computed.
    pub tokens: u64,
    /// Time for which an executor had been free with requests queued.
    pub deliberate_wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Completion(usize),
    Arrival(usize),
    Wake,
}

/// State of a run.
struct Simulation<'a> {
    scenario: &'a Scenario,
    policy: Box<dyn ServerPolicy>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    sequence: u64,
    recording: Recording,
    /// Batches on an executor, by the number in their completion event.
    running: Vec<Option<(SimulatedBatch, Duration)>>,
    busy: usize,
    /// Batches that the policy started before an executor was free.
    bound: VecDeque<SimulatedBatch>,
    /// Random numbers of each closed-loop caller, so that policies are compared on the same think
    /// times.
    callers: Vec<Random>,
    /// The caller of each request, where it has one.
    caller_of: Vec<Option<usize>>,
    /// The group of each caller, and the requests that each group may still make.
    groups: Vec<usize>,
    left: Vec<usize>,
    /// Rows of each request without an answer.
    missing: Vec<usize>,
    idle_since: Option<Time>,
    next_wake: Option<Time>,
}

impl Scenario {
    /// Runs until every request has its outcome.
    pub fn run(&self) -> Recording {
        let mut random = Random::new(self.seed);
        let policy = self
            .policy
            .build(&self.options, self.executors, &self.machine, &mut random);
        let mut simulation = Simulation {
            scenario: self,
            policy,
            events: BinaryHeap::new(),
            sequence: 0,
            recording: Recording {
                requests: Vec::new(),
                outcomes: Vec::new(),
                batches: Vec::new(),
                rows: Vec::new(),
            },
            running: Vec::new(),
            busy: 0,
            bound: VecDeque::new(),
            callers: Vec::new(),
            caller_of: Vec::new(),
            groups: Vec::new(),
            left: Vec::new(),
            missing: Vec::new(),
            idle_since: None,
            next_wake: None,
        };
        match &self.traffic {
            Traffic::Open(requests) | Traffic::Patient(requests) => {
                requests
                    .iter()
                    .for_each(|request| simulation.issue(*request, None));
            }
            Traffic::Closed(callers) => {
                simulation.start_callers(0, callers);
            }
            Traffic::Mixed(requests, groups) => {
                requests
                    .iter()
                    .for_each(|request| simulation.issue(*request, None));
                for (number, group) in groups.iter().enumerate() {
                    simulation.start_callers(number, &group.callers);
                }
            }
        }
        while let Some(Reverse((now, _, event))) = simulation.events.pop() {
            simulation.handle(now, event);
        }
        simulation.recording
    }
}

impl Simulation<'_> {
    fn schedule(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    /// Starts a group of callers.
    fn start_callers(&mut self, group: usize, callers: &ClosedLoop) {
        self.left.push(callers.requests);
        let first = self.callers.len();
        for caller in first..first + callers.callers {
            let seed = self.scenario.seed.wrapping_mul(1_000_003);
            let seed = seed.wrapping_add(caller as u64 + 1);
            self.callers.push(Random::new(seed));
            self.groups.push(group);
        }
        for caller in first..self.callers.len() {
            self.call(caller, Time::ZERO);
        }
    }

    fn issue(&mut self, request: Request, caller: Option<usize>) {
        self.caller_of.push(caller);
        self.missing.push(request.rows);
        let number = self.recording.requests.len();
        self.recording.requests.push(request);
        self.recording.outcomes.push(RequestOutcome::Unknown);
        self.schedule(request.arrival, Event::Arrival(number));
    }

    fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::Arrival(number) => {
                let request = self.recording.requests[number];
                if let Err(refused) = self.policy.admit(now, number, &request) {
                    let then = now.after(self.refused_pause(refused));
                    self.settle(number, RequestOutcome::Refused, then);
                    self.come_back(&request, refused);
                }
            }
            Event::Completion(number) => {
                if let Some((batch, duration)) = self.running[number].take() {
                    self.busy -= 1;
                    self.policy.complete(now, &batch, duration);
                    for number in batch.requests {
                        self.recording.rows.push((now, number));
                        self.missing[number] -= 1;
                        if self.missing[number] == 0 {
                            self.settle(number, RequestOutcome::Answered(now), now);
                        }
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
            if self.busy < self.scenario.executors && self.policy.queued() > 0 {
                self.idle_since.get_or_insert(now);
            }
            let next = self.policy.poll(now);
            for number in self.policy.take_dropped() {
                if self.recording.outcomes[number] == RequestOutcome::Unknown {
                    self.settle(number, RequestOutcome::Expired, now);
                }
            }
            match next {
                Action::Run(batch) if self.busy < self.scenario.executors => {
                    let waited = self
                        .idle_since
                        .take()
                        .map_or(Duration::ZERO, |since| now.since(since));
                    self.start(now, batch, waited);
                }
                Action::Run(batch) => self.bound.push_back(batch),
                Action::WaitUntil(time) => {
                    if self.next_wake != Some(time) {
                        self.next_wake = Some(time);
                        self.schedule(time, Event::Wake);
                    }
                    return;
                }
                Action::Idle => {
                    self.next_wake = None;
                    if self.policy.queued() == 0 {
                        self.idle_since = None;
                    }
                    return;
                }
            }
        }
    }

    fn start(&mut self, now: Time, batch: SimulatedBatch, deliberate_wait: Duration) {
        let machine = &self.scenario.machine;
        let mut noise = machine.noise_at(now, self.scenario.seed);
        let duration = machine.run(now, batch.tokens, &mut noise);
        self.recording.batches.push(RecordedBatch {
            started: now,
            duration,
            rows: batch.requests.len(),
            tokens: batch.tokens,
            deliberate_wait,
        });
        self.busy += 1;
        let number = self.running.len();
        self.running.push(Some((batch, duration)));
        self.schedule(now.after(duration), Event::Completion(number));
    }

    /// Records the end of a request; the closed-loop caller behind it goes on at `then`.
    fn settle(&mut self, number: usize, outcome: RequestOutcome, then: Time) {
        self.recording.outcomes[number] = outcome;
        if let Some(caller) = self.caller_of[number] {
            self.call(caller, then);
        }
    }

    /// Returns the pause of a refused closed-loop caller: those of mixed traffic wait as long as
    /// they are told to.
    fn refused_pause(&self, refused: Refused) -> Duration {
        let told = match self.scenario.traffic {
            Traffic::Mixed(..) => refused.retry_after,
            Traffic::Open(_) | Traffic::Closed(_) | Traffic::Patient(_) => None,
        };
        told.unwrap_or(REFUSED_PAUSE)
    }

    /// Lets a refused request of patient traffic come back when it was told to, within the deadline
    /// of its first arrival.
    fn come_back(&mut self, request: &Request, refused: Refused) {
        if let (Traffic::Patient(_), Some(pause)) = (&self.scenario.traffic, refused.retry_after)
            && request.deadline.is_none_or(|left| left > pause)
        {
            let again = Request {
                arrival: request.arrival.after(pause),
                deadline: request.deadline.map(|left| left - pause),
                refused: request.refused + 1,
                ..*request
            };
            self.issue(again, None);
        }
    }

    /// Lets a closed-loop caller start thinking about its next request.
    fn call(&mut self, caller: usize, from: Time) {
        let group = self.groups[caller];
        if self.left[group] == 0 {
            return;
        }
        self.left[group] -= 1;
        let request = match &self.scenario.traffic {
            Traffic::Closed(callers) => callers.next(from, &mut self.callers[caller]),
            Traffic::Mixed(_, groups) => {
                let group = &groups[group];
                let request = group.callers.next(from, &mut self.callers[caller]);
                Request {
                    rows: group.rows,
                    flow: group.flow.under(caller as u64, Flow::USUAL_SHARE),
                    ..request
                }
            }
            Traffic::Open(_) | Traffic::Patient(_) => return,
        };
        self.issue(request, Some(caller));
    }
}

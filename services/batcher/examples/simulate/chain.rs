//! Requests that make two calls: a row, and a moment later eight more, as when a pipeline embeds a
//! query while it splits documents.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use motet_batcher::{
    Arrival, Batch, BatchId, CallId, Decision, ExpectedRows, Flow, Lookahead, Options, Outcome,
    Policy, Priority, Scheduler, Time,
};
use motet_batcher_simulator::{Machine, Random};

/// Tokens of the first row, and of those that follow.
const FIRST: [u32; 1] = [16];
const FURTHER: [u32; 8] = [100; 8];
/// Ratio of the announced time to the usual time until the further rows come.
const ALLOWANCE: f64 = 1.25;
/// Share by which the real time varies, either way.
const VARIATION: f64 = 0.2;
/// Number of requests.
const REQUESTS: usize = 4000;

/// Closed-loop callers of such requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) callers: usize,
    /// Mean seconds between an answer and the next request (exponential).
    pub(crate) think: f64,
    /// Mean seconds from the first row to the others.
    pub(crate) between: f64,
}

enum Event {
    First(usize),
    Second(usize),
    Done(BatchId),
    Wake,
}

struct World<'a> {
    chain: Chain,
    announce: bool,
    machine: &'a Machine,
    scheduler: Scheduler,
    random: Random,
    events: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    running: HashMap<BatchId, Batch>,
    caller_of: HashMap<CallId, usize>,
    callers: Vec<Caller>,
    requests: u64,
    latencies: Vec<f64>,
}

/// The request of a caller: its number, its start, and the number of rows without an answer.
#[derive(Clone, Copy, Default)]
struct Caller {
    request: u64,
    began: Time,
    missing: usize,
}

impl Chain {
    /// Returns the mean milliseconds of a request until both calls are answered.
    pub(crate) fn mean_ms(self, machine: &Machine, policy: Policy, announce: bool) -> f64 {
        let mut random = Random::new(1);
        let options = Options {
            policy,
            max_queue_size: 100_000,
            ..Options::default()
        };
        let mut scheduler = Scheduler::new(options, 1);
        scheduler.calibrate(&machine.warm_up(&mut random));
        let mut world = World {
            chain: self,
            announce,
            machine,
            scheduler,
            random,
            events: BTreeMap::new(),
            sequence: 0,
            running: HashMap::new(),
            caller_of: HashMap::new(),
            callers: vec![Caller::default(); self.callers],
            requests: 0,
            latencies: Vec::new(),
        };
        (0..self.callers).for_each(|caller| world.think(Time::ZERO, caller));
        while world.latencies.len() < REQUESTS
            && let Some(((now, _), event)) = world.events.pop_first()
        {
            world.handle(now, event);
        }
        // The scheduler learns from the first tenth.
        let counted = &world.latencies[REQUESTS / 10..];
        1e3 * counted.iter().sum::<f64>() / counted.len() as f64
    }
}

impl World<'_> {
    fn schedule(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    fn think(&mut self, now: Time, caller: usize) {
        let seconds = self.random.exponential(self.chain.think);
        self.schedule(now.plus_seconds(seconds), Event::First(caller));
    }

    fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::First(caller) => {
                self.requests += 1;
                self.callers[caller] = Caller {
                    request: self.requests,
                    began: now,
                    missing: FIRST.len() + FURTHER.len(),
                };
                let within = Duration::from_secs_f64(ALLOWANCE * self.chain.between);
                let expected = ExpectedRows {
                    rows: FURTHER.len(),
                    within,
                };
                self.call(now, caller, &FIRST, Some(expected));
                let vary = 1.0 + VARIATION * (2.0 * self.random.uniform() - 1.0);
                let second = now.plus_seconds(vary * self.chain.between);
                self.schedule(second, Event::Second(caller));
            }
            Event::Second(caller) => self.call(now, caller, &FURTHER, None),
            Event::Done(id) => self.done(now, id),
            Event::Wake => {}
        }
        loop {
            match self.scheduler.poll(now) {
                Decision::Run(batch) => {
                    let duration = self.machine.run(now, batch.tokens, &mut self.random);
                    self.schedule(now.after(duration), Event::Done(batch.id));
                    self.running.insert(batch.id, batch);
                }
                Decision::WaitUntil(until) => return self.schedule(until, Event::Wake),
                Decision::Idle => return,
            }
        }
    }

    fn call(&mut self, now: Time, caller: usize, tokens: &[u32], expected: Option<ExpectedRows>) {
        let request = self.announce.then_some(self.callers[caller].request);
        let arrival = Arrival {
            tokens,
            groups: &[],
            deadline: None,
            priority: Priority::Interactive,
            flow: Flow::default(),
            lookahead: Lookahead { request, expected },
        };
        // Without deadlines, and with a queue for all rows, nothing is refused.
        if let Ok(ticket) = self.scheduler.admit(now, arrival) {
            self.caller_of.insert(ticket.call, caller);
        }
    }

    fn done(&mut self, now: Time, id: BatchId) {
        self.scheduler.complete(now, id, Outcome::Done);
        let rows = self.running.remove(&id).map(|batch| batch.rows);
        for row in rows.unwrap_or_default() {
            let caller = self.caller_of[&row.call];
            self.callers[caller].missing -= 1;
            if self.callers[caller].missing == 0 {
                self.latencies
                    .push(now.seconds_since(self.callers[caller].began));
                self.think(now, caller);
            }
        }
    }
}

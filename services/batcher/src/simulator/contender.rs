//! A batcher in the simulator: ours, or another server's.

use std::str::FromStr;
use std::time::Duration;

use super::peers::{self, Aimd, BentoMl, KServe, MlServer, Tei, Triton};
use super::{Machine, Random, Request};
use crate::{Arrival, BatchId, Decision, Lookahead, Options, Outcome, Policy, Scheduler, Time};

/// What a batcher wants to happen now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Start these requests as one batch.
    Run(Started),
    /// Ask again then, or at the next event.
    WaitUntil(Time),
    /// Nothing until the next event.
    Idle,
}

/// A batch that a batcher hands over; it runs once an executor is free.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// What the batcher knows it by.
    pub batch: u64,
    /// Its requests.
    pub requests: Vec<usize>,
    /// Tokens it computes.
    pub tokens: u64,
}

/// A batcher.
pub trait Contender {
    /// A request comes; `false` refuses it.
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool;
    /// What to do now; asked again until it is not [`Next::Run`].
    fn poll(&mut self, now: Time) -> Next;
    /// A batch ended.
    fn complete(&mut self, now: Time, started: &Started, duration: Duration);
    /// Requests given up since the last call of this.
    fn take_dropped(&mut self) -> Vec<usize> {
        Vec::new()
    }
    /// Requests that wait.
    fn queued(&self) -> usize;
}

/// Our scheduler.
pub struct Motet {
    scheduler: Scheduler,
    /// The request behind each admitted row.
    requests: Vec<usize>,
}

impl Motet {
    /// A scheduler that has been calibrated on the machine.
    pub fn new(options: Options, executors: usize, machine: &Machine, random: &mut Random) -> Self {
        let mut scheduler = Scheduler::new(options, executors);
        scheduler.calibrate(&machine.warm_up(random));
        Motet {
            scheduler,
            requests: Vec::new(),
        }
    }
}

impl Contender for Motet {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> bool {
        let deadline = request.deadline.map(|deadline| now.after(deadline));
        let admitted = self
            .scheduler
            .admit(
                now,
                Arrival {
                    tokens: &[request.tokens],
                    deadline,
                    priority: request.priority,
                    lookahead: Lookahead::default(),
                },
            )
            .is_ok();
        if admitted {
            self.requests.push(number);
        }
        admitted
    }

    fn poll(&mut self, now: Time) -> Next {
        match self.scheduler.poll(now) {
            Decision::Run(batch) => {
                let requests = batch
                    .rows
                    .iter()
                    .map(|row| self.requests[row.id.0 as usize])
                    .collect();
                Next::Run(Started {
                    batch: batch.id.0,
                    requests,
                    tokens: batch.tokens,
                })
            }
            Decision::WaitUntil(until) => Next::WaitUntil(until),
            Decision::Idle => Next::Idle,
        }
    }

    fn complete(&mut self, now: Time, started: &Started, _duration: Duration) {
        self.scheduler
            .complete(now, BatchId(started.batch), Outcome::Done);
    }

    fn take_dropped(&mut self) -> Vec<usize> {
        self.scheduler
            .take_dropped()
            .iter()
            .map(|dropped| self.requests[dropped.row.id.0 as usize])
            .collect()
    }

    fn queued(&self) -> usize {
        self.scheduler.queued()
    }
}

/// Every policy that the simulator knows, by the name it has on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policies {
    /// One of ours.
    Motet(Policy),
    /// BentoML's dispatcher.
    BentoMl,
    /// The batcher of KServe's agent.
    KServe,
    /// MLServer's adaptive batching.
    MlServer,
    /// Triton's dynamic batcher.
    Triton,
    /// Clipper's additive increase, multiplicative decrease.
    Aimd,
    /// Text Embeddings Inference's queue.
    Tei,
}

impl Policies {
    /// A batcher of this policy.
    pub fn build(
        self,
        options: &Options,
        executors: usize,
        machine: &Machine,
        random: &mut Random,
    ) -> Box<dyn Contender> {
        let common = peers::Common::new(options, executors);
        match self {
            Policies::Motet(policy) => {
                let mut options = Options {
                    policy,
                    ..options.clone()
                };
                if let Policy::Fixed(window) = policy {
                    options.max_queue_delay = options.max_queue_delay.max(window);
                }
                Box::new(Motet::new(options, executors, machine, random))
            }
            Policies::BentoMl => Box::new(BentoMl::new(common)),
            Policies::KServe => Box::new(KServe::new(common)),
            Policies::MlServer => Box::new(MlServer::new(common)),
            Policies::Triton => Box::new(Triton::new(common)),
            Policies::Aimd => Box::new(Aimd::new(common)),
            Policies::Tei => Box::new(Tei::new(common)),
        }
    }
}

impl std::fmt::Display for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Policies::Motet(Policy::Adaptive) => "adaptive",
            Policies::Motet(Policy::Greedy) => "greedy",
            Policies::Motet(Policy::Fixed(window)) => {
                return write!(f, "fixed:{}", window.as_secs_f64() * 1e3);
            }
            Policies::BentoMl => "bentoml",
            Policies::KServe => "kserve",
            Policies::MlServer => "mlserver",
            Policies::Triton => "triton",
            Policies::Aimd => "aimd",
            Policies::Tei => "tei",
        })
    }
}

impl FromStr for Policies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "adaptive" => Policies::Motet(Policy::Adaptive),
            "greedy" => Policies::Motet(Policy::Greedy),
            "bentoml" => Policies::BentoMl,
            "kserve" => Policies::KServe,
            "mlserver" => Policies::MlServer,
            "triton" => Policies::Triton,
            "aimd" => Policies::Aimd,
            "tei" => Policies::Tei,
            _ => {
                let window = text
                    .strip_prefix("fixed:")
                    .and_then(|ms| ms.trim_end_matches("ms").parse::<f64>().ok());
                let window = window.filter(|ms| (0.0..=1e6).contains(ms)).ok_or_else(|| {
                    format!("{text:?} is none of adaptive, greedy, fixed:WINDOW_MS, bentoml, kserve, mlserver, triton, aimd, tei")
                })?;
                Policies::Motet(Policy::Fixed(Duration::from_secs_f64(window * 1e-3)))
            }
        })
    }
}

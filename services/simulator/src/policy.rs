//! A server's batching policy as the simulation sees it: motet's scheduler, or another server's
//! rule.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use motet_batcher::{
    Arrival, BatchId, Decision, Lookahead, Options, Outcome, Policy, Refusal, Scheduler, Time,
};

use crate::baselines::{Aimd, BentoMl, Fifo, KServe, MlServer, Tei, Triton};
use crate::machine::Machine;
use crate::random::Random;
use crate::traffic::Request;

/// The next step of a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start these requests as one batch.
    Run(SimulatedBatch),
    /// Ask again at this time, or at the next event.
    WaitUntil(Time),
    /// Ask again at the next event.
    Idle,
}

/// A batch that a policy starts; it runs once an executor is free.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedBatch {
    /// The policy's own number of the batch.
    pub batch: u64,
    /// The request of each of its rows, by their number in order of arrival.
    pub requests: Vec<usize>,
    /// Tokens that it computes.
    pub tokens: u64,
}

/// The refusal of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Time after which it may come back; `None` where that would not help.
    pub retry_after: Option<Duration>,
}

/// A server's batching policy: admission, queue and batches.
pub trait ServerPolicy {
    /// Queues request `number`.
    ///
    /// # Errors
    /// If it is refused; none of its rows is queued then.
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused>;
    /// Returns what to do now; asked again after each [`Action::Run`].
    fn poll(&mut self, now: Time) -> Action;
    /// Takes note that a batch ended.
    fn complete(&mut self, now: Time, batch: &SimulatedBatch, duration: Duration);
    /// Returns the requests that were given up in the queue since the last call.
    fn take_dropped(&mut self) -> Vec<usize> {
        Vec::new()
    }
    /// Number of queued requests.
    fn queued(&self) -> usize;
}

/// Motet's scheduler, each request a call.
pub struct Motet {
    scheduler: Scheduler,
    /// The request behind each row; none behind a trial.
    requests: Vec<Option<usize>>,
}

impl Motet {
    /// Creates a scheduler that has been calibrated on `machine`.
    pub fn new(options: Options, executors: usize, machine: &Machine, random: &mut Random) -> Self {
        let mut scheduler = Scheduler::new(options, executors);
        scheduler.calibrate(&machine.warm_up(random));
        Motet {
            scheduler,
            requests: Vec::new(),
        }
    }
}

impl ServerPolicy for Motet {
    fn admit(&mut self, now: Time, number: usize, request: &Request) -> Result<(), Refused> {
        let tokens = vec![request.tokens; request.rows];
        let arrival = Arrival {
            tokens: &tokens,
            groups: &[],
            deadline: request.deadline.map(|deadline| now.after(deadline)),
            priority: request.priority,
            flow: request.flow,
            lookahead: Lookahead::default(),
        };
        match self.scheduler.admit(now, arrival) {
            Ok(ticket) => {
                let rows = std::iter::repeat_n(Some(number), ticket.rows);
                self.requests.extend(rows);
                Ok(())
            }
            Err(refusal) => {
                if let Refusal::DeadlineTooShort { .. } = refusal {
                    let trial = self.scheduler.queue_trial(now, &arrival);
                    self.requests.extend(trial.map(|_| None));
                }
                let retry_after = refusal.retry_after();
                Err(Refused { retry_after })
            }
        }
    }

    fn poll(&mut self, now: Time) -> Action {
        match self.scheduler.poll(now) {
            Decision::Run(batch) => {
                let request = |row: &motet_batcher::Row| self.requests[row.id.0 as usize];
                Action::Run(SimulatedBatch {
                    batch: batch.id.0,
                    requests: batch.rows.iter().filter_map(request).collect(),
                    tokens: batch.tokens,
                })
            }
            Decision::WaitUntil(until) => Action::WaitUntil(until),
            Decision::Idle => Action::Idle,
        }
    }

    fn complete(&mut self, now: Time, batch: &SimulatedBatch, _duration: Duration) {
        self.scheduler
            .complete(now, BatchId(batch.batch), Outcome::Done);
    }

    fn take_dropped(&mut self) -> Vec<usize> {
        self.scheduler
            .take_dropped()
            .iter()
            .filter_map(|dropped| self.requests[dropped.row.id.0 as usize])
            .collect()
    }

    fn queued(&self) -> usize {
        self.scheduler.queued()
    }
}

/// The policies that the simulator knows. Its text form is the name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Motet's scheduler with one of its own policies.
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
    /// The queue of Text Embeddings Inference.
    Tei,
}

impl PolicyKind {
    /// Creates the policy for a server of `executors` executors.
    pub fn build(
        self,
        options: &Options,
        executors: usize,
        machine: &Machine,
        random: &mut Random,
    ) -> Box<dyn ServerPolicy> {
        let fifo = Fifo::new(options, executors);
        match self {
            PolicyKind::Motet(policy) => {
                let mut options = Options {
                    policy,
                    ..options.clone()
                };
                if let Policy::Fixed(window) = policy {
                    options.max_queue_delay = options.max_queue_delay.max(window);
                }
                Box::new(Motet::new(options, executors, machine, random))
            }
            PolicyKind::BentoMl => Box::new(BentoMl::new(fifo)),
            PolicyKind::KServe => Box::new(KServe::new(fifo)),
            PolicyKind::MlServer => Box::new(MlServer::new(fifo)),
            PolicyKind::Triton => Box::new(Triton::new(fifo)),
            PolicyKind::Aimd => Box::new(Aimd::new(fifo)),
            PolicyKind::Tei => Box::new(Tei::new(fifo)),
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PolicyKind::Motet(Policy::Adaptive) => "adaptive",
            PolicyKind::Motet(Policy::Greedy) => "greedy",
            PolicyKind::Motet(Policy::Fixed(window)) => {
                return write!(f, "fixed:{}", window.as_secs_f64() * 1e3);
            }
            PolicyKind::BentoMl => "bentoml",
            PolicyKind::KServe => "kserve",
            PolicyKind::MlServer => "mlserver",
            PolicyKind::Triton => "triton",
            PolicyKind::Aimd => "aimd",
            PolicyKind::Tei => "tei",
        })
    }
}

impl FromStr for PolicyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "adaptive" => PolicyKind::Motet(Policy::Adaptive),
            "greedy" => PolicyKind::Motet(Policy::Greedy),
            "bentoml" => PolicyKind::BentoMl,
            "kserve" => PolicyKind::KServe,
            "mlserver" => PolicyKind::MlServer,
            "triton" => PolicyKind::Triton,
            "aimd" => PolicyKind::Aimd,
            "tei" => PolicyKind::Tei,
            _ => {
                let window = text
                    .strip_prefix("fixed:")
                    .and_then(|ms| ms.trim_end_matches("ms").parse::<f64>().ok())
                    .filter(|ms| (0.0..=1e6).contains(ms))
                    .ok_or_else(|| {
                        format!(
                            "{text:?} is not a policy; the policies are adaptive, greedy, \
                             fixed:WINDOW_MS, bentoml, kserve, mlserver, triton, aimd and tei"
                        )
                    })?;
                PolicyKind::Motet(Policy::Fixed(Duration::from_secs_f64(window * 1e-3)))
            }
        })
    }
}

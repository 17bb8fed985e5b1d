//! A circuit breaker: calls of a service that is not reached fail at once, and probes that belong
//! to no request find out when it is reached again.
//!
//! A closed circuit admits every call and counts consecutive failures; at the limit it opens and
//! admits none. A call without an answer proves nothing by itself, since the service may only be
//! slow: the circuit stays closed and a probe decides. Probes go out in the background, one at a
//! time, while the circuit is open or in doubt, so that recovery does not depend on what requests
//! do. Every answer closes the circuit, of a probe as of a call that began before it opened.

use std::time::Duration;

use tokio::time::Instant;

/// Limits of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Consecutive failures that open the circuit.
    pub failures: u32,
    /// Pause before the first probe of an open circuit.
    pub pause: Duration,
    /// Longest pause between probes.
    pub pause_max: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_millis(100),
            pause_max: Duration::from_millis(400),
        }
    }
}

/// Outcome of a call, as far as the circuit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service answered, with a result or with an error of its own.
    Answered,
    /// The service was not reached, or its answer could not be read.
    Failed,
    /// The call went out and no answer came, which a slow service does, too.
    Unanswered,
    /// The call was abandoned early, which says nothing about the service.
    Dropped,
}

/// Change of the state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The circuit opened.
    Opened,
    /// The circuit closed.
    Closed,
}

/// Next step of the holder of the prober's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeStep {
    /// Send a probe, and return its outcome to [`Breaker::probed`].
    Send,
    /// Ask again after this time.
    Wait(Duration),
    /// No probe is needed: the role is given back.
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `in_doubt`: a call got no answer, and a probe has yet to get one.
    Closed { failures: u32, in_doubt: bool },
    /// The next probe goes out at `probe_at`; the pause after it is `pause`.
    Open { probe_at: Instant, pause: Duration },
}

const CLOSED: State = State::Closed {
    failures: 0,
    in_doubt: false,
};

/// The prober's role, which one task at a time holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prober {
    /// Nobody holds it.
    Absent,
    /// Its holder waits.
    Idle,
    /// A probe is in flight.
    Probing,
}

/// The circuit breaker of one service.
#[derive(Debug, Clone)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
    prober: Prober,
}

impl Breaker {
    /// Returns a closed circuit.
    pub const fn new(options: BreakerOptions) -> Self {
        Self {
            options,
            state: CLOSED,
            prober: Prober::Absent,
        }
    }

    /// Returns whether the circuit is open.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Admits a call.
    ///
    /// # Errors
    /// The time after which to ask again, when the circuit is open.
    pub fn admit(&self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { probe_at, pause } => {
                let left = probe_at.saturating_duration_since(now);
                // The probe in flight decides; its pause is an estimate of when.
                Err(if left.is_zero() { pause } else { left })
            }
        }
    }

    /// Takes the outcome of a call. `random`, uniform in 0..1, spreads the probes of many gateways
    /// over time.
    pub fn record(&mut self, outcome: Outcome, now: Instant, random: f64) -> Option<Change> {
        match (&mut self.state, outcome) {
            (_, Outcome::Answered) => self.close(),
            (State::Closed { failures, .. }, Outcome::Failed) => {
                *failures += 1;
                match *failures < self.options.failures {
                    true => None,
                    false => Some(self.open(now, random)),
                }
            }
            (State::Closed { in_doubt, .. }, Outcome::Unanswered) => {
                *in_doubt = true;
                None
            }
            (State::Open { .. }, _) | (State::Closed { .. }, Outcome::Dropped) => None,
        }
    }

    /// Takes the prober's role, if probes are needed and nobody holds it. Returns whether the
    /// caller holds it now.
    pub fn take_prober(&mut self) -> bool {
        let is_free = self.prober == Prober::Absent && self.needs_probe();
        if is_free {
            self.prober = Prober::Idle;
        }
        is_free
    }

    /// Gives the prober's role back, with the turn of a probe that is in flight.
    pub fn leave_prober(&mut self) {
        self.prober = Prober::Absent;
    }

    /// Returns what the holder of the prober's role does at `now`.
    pub fn probe_step(&mut self, now: Instant) -> ProbeStep {
        let wait = match self.state {
            State::Closed {
                in_doubt: false, ..
            } => {
                self.prober = Prober::Absent;
                return ProbeStep::Stop;
            }
            State::Closed { .. } => Duration::ZERO,
            State::Open { probe_at, .. } => probe_at.saturating_duration_since(now),
        };
        if !wait.is_zero() {
            return ProbeStep::Wait(wait);
        }
        self.prober = Prober::Probing;
        ProbeStep::Send
    }

    /// Takes the outcome of a probe. `random` as in [`Breaker::record`].
    pub fn probed(&mut self, is_answered: bool, now: Instant, random: f64) -> Option<Change> {
        self.prober = Prober::Idle;
        match &mut self.state {
            _ if is_answered => self.close(),
            State::Closed { in_doubt: true, .. } => Some(self.open(now, random)),
            State::Closed { .. } => None,
            State::Open { probe_at, pause } => {
                *probe_at = now + with_jitter(*pause, random);
                *pause = pause.saturating_mul(2).min(self.options.pause_max);
                None
            }
        }
    }

    const fn needs_probe(&self) -> bool {
        matches!(
            self.state,
            State::Open { .. } | State::Closed { in_doubt: true, .. }
        )
    }

    fn close(&mut self) -> Option<Change> {
        let was_open = self.is_open();
        self.state = CLOSED;
        was_open.then_some(Change::Closed)
    }

    fn open(&mut self, now: Instant, random: f64) -> Change {
        let pause = self.options.pause;
        self.state = State::Open {
            probe_at: now + with_jitter(pause, random),
            pause: pause.saturating_mul(2).min(self.options.pause_max),
        };
        Change::Opened
    }
}

/// Returns a pause and up to a fifth more.
fn with_jitter(pause: Duration, random: f64) -> Duration {
    pause + (pause / 5).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;

//! A circuit breaker: calls of a service that is down fail at once, apart from occasional probes.
//!
//! A closed circuit admits every call and counts consecutive failures. At the limit it opens and
//! admits no call until a pause is over. Then it admits one call as a probe: success closes the
//! circuit, failure opens it again for twice the pause.

use std::time::Duration;

use tokio::time::Instant;

/// Limits of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Consecutive failures that open the circuit.
    pub failures: u32,
    /// Pause after the circuit opens.
    pub pause: Duration,
    /// Longest pause, after failed probes.
    pub pause_max: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(10),
        }
    }
}

/// Permission for one call. Return it to [`Breaker::release`] with the outcome of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a probe that is not released keeps the circuit open"]
pub enum Permit {
    /// The circuit is closed.
    Ordinary,
    /// The circuit is open, and this call decides whether it closes.
    Probe,
}

/// Outcome of a call, as far as the circuit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service answered, with a result or with an error of its own.
    Answered,
    /// The service did not answer.
    Failed,
    /// The call was abandoned before an answer, which says nothing about the service.
    Dropped,
}

/// Change of the state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The circuit opened for this long.
    Opened(Duration),
    /// The circuit closed.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// `probing`: the pause is over and a probe is in flight.
    Open {
        until: Instant,
        pause: Duration,
        probing: bool,
    },
}

/// The circuit breaker of one service.
#[derive(Debug, Clone)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
}

impl Breaker {
    /// Returns a closed circuit.
    pub const fn new(options: BreakerOptions) -> Self {
        Self {
            options,
            state: State::Closed { failures: 0 },
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
    pub fn permit(&mut self, now: Instant) -> Result<Permit, Duration> {
        match &mut self.state {
            State::Closed { .. } => Ok(Permit::Ordinary),
            State::Open { until, probing, .. } if !*probing && *until <= now => {
                *probing = true;
                Ok(Permit::Probe)
            }
            State::Open { until, pause, .. } => {
                let left = until.saturating_duration_since(now);
                // The probe in flight decides; its pause is an estimate of when.
                Err(if left.is_zero() { *pause } else { left })
            }
        }
    }

    /// Takes a permit back with the outcome of its call. `random`, uniform in 0..1, spreads the
    /// probes of many gateways over time.
    pub fn release(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        now: Instant,
        random: f64,
    ) -> Option<Change> {
        match (&mut self.state, permit, outcome) {
            (State::Closed { failures }, _, Outcome::Answered) => {
                *failures = 0;
                None
            }
            (State::Closed { failures }, _, Outcome::Failed) => {
                *failures += 1;
                if *failures < self.options.failures {
                    return None;
                }
                Some(self.open(self.options.pause, now, random))
            }
            (State::Open { .. }, Permit::Probe, Outcome::Answered) => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
            (State::Open { pause, .. }, Permit::Probe, Outcome::Failed) => {
                let pause = pause.saturating_mul(2).min(self.options.pause_max);
                Some(self.open(pause, now, random))
            }
            (State::Open { probing, .. }, Permit::Probe, Outcome::Dropped) => {
                *probing = false;
                None
            }
            // Calls that began before the circuit opened tell nothing new.
            (State::Open { .. }, Permit::Ordinary, _)
            | (State::Closed { .. }, _, Outcome::Dropped) => None,
        }
    }

    /// Opens the circuit for `pause` and up to a fifth more.
    fn open(&mut self, pause: Duration, now: Instant, random: f64) -> Change {
        let pause_with_jitter = pause + (pause / 5).mul_f64(random.clamp(0.0, 1.0));
        self.state = State::Open {
            until: now + pause_with_jitter,
            pause,
            probing: false,
        };
        Change::Opened(pause_with_jitter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPTIONS: BreakerOptions = BreakerOptions {
        failures: 3,
        pause: Duration::from_secs(1),
        pause_max: Duration::from_secs(3),
    };

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    /// Opens a fresh circuit at `now`.
    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(OPTIONS);
        for n in 0..OPTIONS.failures {
            let permit = breaker.permit(now).unwrap();
            let change = breaker.release(permit, Outcome::Failed, now, 0.0);
            let opens = n + 1 == OPTIONS.failures;
            assert_eq!(change, opens.then_some(Change::Opened(seconds(1.0))));
        }
        breaker
    }

    #[test]
    fn consecutive_failures_open_the_circuit_and_an_answer_resets_the_count() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        for outcome in [
            Outcome::Failed,
            Outcome::Failed,
            Outcome::Answered,
            Outcome::Failed,
            Outcome::Dropped,
            Outcome::Failed,
        ] {
            let permit = breaker.permit(now).unwrap();
            assert_eq!(breaker.release(permit, outcome, now, 0.0), None);
        }
        let permit = breaker.permit(now).unwrap();
        let change = breaker.release(permit, Outcome::Failed, now, 1.0);
        assert_eq!(change, Some(Change::Opened(seconds(1.2))), "with jitter");
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let start = Instant::now();
        let mut breaker = opened(start);
        assert_eq!(breaker.permit(start + seconds(0.4)), Err(seconds(0.6)));
        let now = start + seconds(1.0);
        assert_eq!(breaker.permit(now), Ok(Permit::Probe));
        assert_eq!(breaker.permit(now), Err(seconds(1.0)), "only one");
        // A call that began before says nothing.
        assert_eq!(
            breaker.release(Permit::Ordinary, Outcome::Answered, now, 0.0),
            None
        );
        assert!(breaker.is_open());
        // A dropped probe allows another.
        assert_eq!(
            breaker.release(Permit::Probe, Outcome::Dropped, now, 0.0),
            None
        );
        assert_eq!(breaker.permit(now), Ok(Permit::Probe));
        let change = breaker.release(Permit::Probe, Outcome::Answered, now, 0.0);
        assert_eq!(change, Some(Change::Closed));
        assert_eq!(breaker.permit(now), Ok(Permit::Ordinary));
    }

    #[test]
    fn failed_probes_double_the_pause_up_to_the_maximum() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pause = seconds(1.0);
        for next in [2.0, 3.0, 3.0] {
            now += pause;
            let permit = breaker.permit(now).unwrap();
            pause = seconds(next);
            let change = breaker.release(permit, Outcome::Failed, now, 0.0);
            assert_eq!(change, Some(Change::Opened(pause)));
        }
    }

    proptest! {
        /// At most one probe is in flight at any time, and a service that answers again is called
        /// again within the longest pause.
        #[test]
        fn a_circuit_never_stays_open(
            steps in prop::collection::vec((0u8..4, 0u64..2000, 0.0..1.0f64), 0..200),
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(OPTIONS);
            let mut out: Vec<Permit> = Vec::new();
            for (what, pause_ms, random) in steps {
                now += Duration::from_millis(pause_ms);
                if what == 0 {
                    out.extend(breaker.permit(now).ok());
                } else if let Some(permit) = out.pop() {
                    let outcomes = [Outcome::Answered, Outcome::Failed, Outcome::Dropped];
                    let outcome = outcomes[usize::from(what) - 1];
                    breaker.release(permit, outcome, now, random);
                }
                let probes = out.iter().filter(|p| **p == Permit::Probe).count();
                prop_assert!(probes <= 1);
            }
            for permit in out {
                breaker.release(permit, Outcome::Dropped, now, 0.0);
            }
            now += OPTIONS.pause_max + OPTIONS.pause_max / 5;
            let permit = breaker.permit(now);
            prop_assert!(permit.is_ok());
            breaker.release(permit.unwrap(), Outcome::Answered, now, 0.0);
            prop_assert!(!breaker.is_open());
        }
    }
}

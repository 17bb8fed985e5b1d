//! A circuit breaker: calls of a service that is down fail at once, and are tried again now and
//! then.
//!
//! Closed lets everything through and counts failures in a row. At the limit it opens: nothing
//! passes until a pause is over. Then one call is let through as a probe: its success closes the
//! circuit, its failure opens it again for twice the pause.

use std::time::Duration;

use tokio::time::Instant;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it.
    pub failures: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest pause, after failed probes.
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

/// What a call was let through as. Give it back with the call's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a probe that is not given back keeps the circuit open"]
pub enum Permit {
    /// The circuit is closed.
    Ordinary,
    /// The circuit was open, and this call shows whether it can be closed.
    Probe,
}

/// How a call ended, as far as the circuit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The service answered, whatever it said.
    Answered,
    /// The service did not answer.
    Failed,
    /// The call was dropped, and says nothing.
    Dropped,
}

/// What an ending changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The circuit opened, for so long.
    Opened(Duration),
    /// The circuit closed.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// `probing`: the pause is over and a probe is under way.
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
    /// A closed circuit.
    pub const fn new(options: BreakerOptions) -> Self {
        Self {
            options,
            state: State::Closed { failures: 0 },
        }
    }

    /// Whether calls are held back.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// How long until it is worth asking again, where the circuit is open.
    pub fn permit(&mut self, now: Instant) -> Result<Permit, Duration> {
        match &mut self.state {
            State::Closed { .. } => Ok(Permit::Ordinary),
            State::Open { until, probing, .. } if !*probing && *until <= now => {
                *probing = true;
                Ok(Permit::Probe)
            }
            State::Open { until, pause, .. } => {
                let left = until.saturating_duration_since(now);
                // While a probe is under way nobody knows; a pause is a fair guess.
                Err(if left.is_zero() { *pause } else { left })
            }
        }
    }

    /// Takes a permit back. `chance`, uniform in 0..1, spreads probes of many gateways.
    pub fn ended(
        &mut self,
        permit: Permit,
        ending: Ending,
        now: Instant,
        chance: f64,
    ) -> Option<Change> {
        match (&mut self.state, permit, ending) {
            (State::Closed { failures }, _, Ending::Answered) => {
                *failures = 0;
                None
            }
            (State::Closed { failures }, _, Ending::Failed) => {
                *failures += 1;
                if *failures < self.options.failures {
                    return None;
                }
                Some(self.open(self.options.pause, now, chance))
            }
            (State::Open { .. }, Permit::Probe, Ending::Answered) => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
            (State::Open { pause, .. }, Permit::Probe, Ending::Failed) => {
                let pause = pause.saturating_mul(2).min(self.options.pause_max);
                Some(self.open(pause, now, chance))
            }
            (State::Open { probing, .. }, Permit::Probe, Ending::Dropped) => {
                *probing = false;
                None
            }
            // Calls from before the circuit opened tell nothing new.
            (State::Open { .. }, Permit::Ordinary, _)
            | (State::Closed { .. }, _, Ending::Dropped) => None,
        }
    }

    /// Opens the circuit for `pause` and up to a fifth more.
    fn open(&mut self, pause: Duration, now: Instant, chance: f64) -> Change {
        let held = pause + (pause / 5).mul_f64(chance.clamp(0.0, 1.0));
        self.state = State::Open {
            until: now + held,
            pause,
            probing: false,
        };
        Change::Opened(held)
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
            let change = breaker.ended(permit, Ending::Failed, now, 0.0);
            let opens = n + 1 == OPTIONS.failures;
            assert_eq!(change, opens.then_some(Change::Opened(seconds(1.0))));
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        for ending in [
            Ending::Failed,
            Ending::Failed,
            Ending::Answered,
            Ending::Failed,
            Ending::Dropped,
            Ending::Failed,
        ] {
            let permit = breaker.permit(now).unwrap();
            assert_eq!(breaker.ended(permit, ending, now, 0.0), None);
        }
        let permit = breaker.permit(now).unwrap();
        let change = breaker.ended(permit, Ending::Failed, now, 1.0);
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
        // A call from before says nothing.
        assert_eq!(
            breaker.ended(Permit::Ordinary, Ending::Answered, now, 0.0),
            None
        );
        assert!(breaker.is_open());
        // A dropped probe makes room for another.
        assert_eq!(
            breaker.ended(Permit::Probe, Ending::Dropped, now, 0.0),
            None
        );
        assert_eq!(breaker.permit(now), Ok(Permit::Probe));
        let change = breaker.ended(Permit::Probe, Ending::Answered, now, 0.0);
        assert_eq!(change, Some(Change::Closed));
        assert_eq!(breaker.permit(now), Ok(Permit::Ordinary));
    }

    #[test]
    fn failed_probes_double_the_pause_up_to_the_most() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pause = seconds(1.0);
        for next in [2.0, 3.0, 3.0] {
            now += pause;
            let permit = breaker.permit(now).unwrap();
            pause = seconds(next);
            let change = breaker.ended(permit, Ending::Failed, now, 0.0);
            assert_eq!(change, Some(Change::Opened(pause)));
        }
    }

    proptest! {
        /// Whatever happens, at most one probe is out, and a service that answers again is
        /// reached again within the longest pause.
        #[test]
        fn never_stuck(steps in prop::collection::vec((0u8..4, 0u64..2000, 0.0..1.0f64), 0..200)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new(OPTIONS);
            let mut out: Vec<Permit> = Vec::new();
            for (what, pause_ms, chance) in steps {
                now += Duration::from_millis(pause_ms);
                if what == 0 {
                    out.extend(breaker.permit(now).ok());
                } else if let Some(permit) = out.pop() {
                    let ending = [Ending::Answered, Ending::Failed, Ending::Dropped][usize::from(what) - 1];
                    breaker.ended(permit, ending, now, chance);
                }
                let probes = out.iter().filter(|p| **p == Permit::Probe).count();
                prop_assert!(probes <= 1);
            }
            for permit in out {
                breaker.ended(permit, Ending::Dropped, now, 0.0);
            }
            now += OPTIONS.pause_max + OPTIONS.pause_max / 5;
            let permit = breaker.permit(now);
            prop_assert!(permit.is_ok());
            breaker.ended(permit.unwrap(), Ending::Answered, now, 0.0);
            prop_assert!(!breaker.is_open());
        }
    }
}

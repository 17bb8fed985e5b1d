//! Calls in flight, and calls a second.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use motet_rows::{Code, Failure, Pace, PaceLimits};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::progress::Progress;

/// Calls in flight at first, and at most, where they are found out.
const AUTO: PaceLimits = PaceLimits {
    start: 32,
    min: 1,
    max: 1024,
};

/// Number of calls in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight {
    /// As many as answers and refusals show to be good.
    Auto,
    /// This many.
    Calls(usize),
}

/// Lets calls pass: so many at once, so many a second.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Semaphore,
    state: Mutex<State>,
    begun: Instant,
    /// Time between two calls.
    every: Option<Duration>,
    progress: Arc<Progress>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// Places that there are, free or taken.
    places: usize,
    /// The moment of the next call.
    next: Instant,
}

/// A place in flight.
pub(crate) struct Place<'g> {
    gate: &'g Gate,
    _permit: SemaphorePermit<'g>,
}

impl Gate {
    /// Returns a gate. `rate` is calls a second, more than 0.
    pub(crate) fn new(in_flight: InFlight, rate: Option<f64>, progress: Arc<Progress>) -> Self {
        let pace = match in_flight {
            InFlight::Auto => Pace::new(AUTO),
            InFlight::Calls(calls) => Pace::fixed(calls),
        };
        let places = pace.limit();
        progress.allowed(places);
        let begun = Instant::now();
        Self {
            places: Semaphore::new(places),
            state: Mutex::new(State {
                pace,
                places,
                next: begun,
            }),
            begun,
            every: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            progress,
        }
    }

    /// Waits until a call may go.
    pub(crate) async fn enter(&self) -> Option<Place<'_>> {
        // The semaphore is never closed.
        let permit = self.places.acquire().await.ok()?;
        if let Some(every) = self.every {
            let at = {
                let mut state = self.state();
                let at = state.next.max(Instant::now());
                state.next = at + every;
                at
            };
            sleep_until(at).await;
        }
        self.progress.in_flight().fetch_add(1, Relaxed);
        Some(Place {
            gate: self,
            _permit: permit,
        })
    }

    /// Learns of an answer.
    pub(crate) fn answered(&self, latency: Duration) {
        let now = self.begun.elapsed();
        let mut state = self.state();
        state.pace.answered(now, latency);
        self.adjust(&mut state);
    }

    /// Learns of a failed call. One that is the row's own counts as an answer.
    pub(crate) fn failed(&self, failure: &Failure, latency: Duration) {
        let now = self.begun.elapsed();
        let mut state = self.state();
        match failure.code {
            Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded => {
                state.pace.refused(now, latency);
            }
            _ => state.pace.answered(now, latency),
        }
        self.adjust(&mut state);
    }

    /// Makes as many places as the pace wants. Of those that are too many, the taken ones go when
    /// they are free.
    fn adjust(&self, state: &mut State) {
        let wanted = state.pace.limit();
        if wanted > state.places {
            self.places.add_permits(wanted - state.places);
            state.places = wanted;
        } else if wanted < state.places {
            state.places -= self.places.forget_permits(state.places - wanted);
        }
        self.progress.allowed(wanted);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.progress.in_flight().fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(in_flight: InFlight, rate: Option<f64>) -> Gate {
        Gate::new(in_flight, rate, Arc::new(Progress::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn calls_pass_at_their_rate() {
        let gate = gate(InFlight::Calls(100), Some(50.0));
        let begun = Instant::now();
        for _ in 0..51 {
            drop(gate.enter().await);
        }
        let took = begun.elapsed();
        assert!((Duration::from_millis(999)..Duration::from_millis(1060)).contains(&took));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_takes_places_once_they_are_free() {
        let gate = gate(InFlight::Auto, None);
        let mut taken = Vec::new();
        for _ in 0..AUTO.start {
            taken.extend(gate.enter().await);
        }
        let full = Failure::new(Code::ResourceExhausted, "full");
        gate.failed(&full, Duration::ZERO);
        let left = gate.progress.snapshot().in_flight_max;
        assert!(left < AUTO.start, "{left}");
        taken.clear();
        gate.answered(Duration::from_millis(1));
        for _ in 0..left {
            taken.extend(gate.enter().await);
        }
        let more = tokio::time::timeout(Duration::from_secs(1), gate.enter()).await;
        assert!(more.is_err());
        assert_eq!(gate.progress.snapshot().in_flight, left);
    }
}

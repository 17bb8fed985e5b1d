//! The number of calls in flight.

use std::time::Duration;

/// Answers of one measurement, at least.
const ANSWERS_MIN: usize = 16;
/// A step up is worth it if it brings this many times the rows a second.
const GAIN: f64 = 1.05;
/// Measurements between two steps up once a further one was not worth it.
const PAUSE: u32 = 4;
/// Part of the calls in flight that is left after a refusal.
const AFTER_REFUSAL: f64 = 0.7;
/// Part of them that is left when answers take this many times as long as they did.
const SLOWER: f64 = 2.0;
const AFTER_SLOWER: f64 = 0.8;

/// Bounds of the calls in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// At first.
    pub start: usize,
    /// At least; 1 or more.
    pub min: usize,
    /// At most.
    pub max: usize,
}

/// The number of calls in flight, found out by what answers take and what a server refuses.
///
/// It doubles at first, then grows by a quarter, as long as that brings more rows a second, which
/// with calls in flight being so many is the same as: as long as latency grows less than they do.
/// (A server that forms batches gains nothing from a few calls more, and much from twice as many:
/// the next batch is there when one ends.) Where it does not, it goes back a step, and tries again
/// later. A refusal takes three tenths of it, once for all calls
/// that were in flight together; answers that take twice as long as they did take a fifth. Between
/// a server that is full and one that could do more it goes up by steps and down by factors, so
/// that several callers come to equal shares.
#[derive(Debug, Clone)]
pub struct Pace {
    limits: PaceLimits,
    limit: usize,
    /// No step up was in vain yet, and no call refused.
    is_doubling: bool,
    /// The limit, rows a second and latency before the last step up; none while it rests.
    before: Option<Measured>,
    /// At the limit at which it rests.
    rested: Option<Measured>,
    /// Measurements until the next step up.
    pause: u32,
    begun: Duration,
    answers: usize,
    waited: Duration,
    refused_until: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    limit: usize,
    rate: f64,
    latency: f64,
}

impl Pace {
    /// Returns a pace that always has this number of calls in flight.
    pub fn fixed(calls: usize) -> Self {
        let calls = calls.max(1);
        Self::new(PaceLimits {
            start: calls,
            min: calls,
            max: calls,
        })
    }

    /// Returns a pace within bounds.
    pub fn new(limits: PaceLimits) -> Self {
        Self {
            limits,
            limit: limits.start.clamp(limits.min.max(1), limits.max.max(1)),
            is_doubling: true,
            before: None,
            rested: None,
            pause: 0,
            begun: Duration::ZERO,
            answers: 0,
            waited: Duration::ZERO,
            refused_until: None,
        }
    }

    /// Returns how many calls may be in flight.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Learns of an answer at the time `now` of any clock, and of what it took.
    pub fn answered(&mut self, now: Duration, latency: Duration) {
        if self.answers == 0 && self.waited.is_zero() {
            self.begun = now.saturating_sub(latency);
        }
        self.answers += 1;
        self.waited += latency;
        if self.answers >= ANSWERS_MIN.max(2 * self.limit) {
            self.measured(now);
        }
    }

    /// Learns of a refusal at the time `now`, of a call that took `latency`.
    pub fn refused(&mut self, now: Duration, latency: Duration) {
        // Calls that were sent before the last refusal say nothing new.
        let sent = now.saturating_sub(latency);
        if self.refused_until.is_some_and(|until| sent <= until) {
            return;
        }
        self.refused_until = Some(now);
        self.shrink(AFTER_REFUSAL);
    }

    fn measured(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.begun).as_secs_f64().max(1e-9);
        let of = Measured {
            limit: self.limit,
            rate: self.answers as f64 / elapsed,
            latency: self.waited.as_secs_f64() / self.answers as f64,
        };
        self.restart(now);
        if let Some(before) = self.before.take() {
            match of.rate >= before.rate * GAIN {
                true => self.step_up(of),
                false => {
                    self.is_doubling = false;
                    self.limit = before.limit;
                    self.rested = Some(before);
                    self.pause = PAUSE;
                }
            }
            return;
        }
        if self
            .rested
            .is_some_and(|at| of.latency > at.latency * SLOWER)
        {
            self.shrink(AFTER_SLOWER);
            return;
        }
        self.pause = self.pause.saturating_sub(1);
        match self.pause {
            0 => self.step_up(of),
            _ => self.rested = self.rested.or(Some(of)),
        }
    }

    fn step_up(&mut self, from: Measured) {
        let more = match self.is_doubling {
            true => self.limit,
            false => self.limit.div_ceil(4),
        };
        self.limit = (self.limit + more).min(self.limits.max.max(1));
        self.before = (self.limit > from.limit).then_some(from);
        self.rested = None;
    }

    fn shrink(&mut self, factor: f64) {
        let smaller = (self.limit as f64 * factor) as usize;
        self.limit = smaller.max(self.limits.min.max(1));
        self.is_doubling = false;
        self.before = None;
        self.rested = None;
        self.pause = PAUSE;
        self.answers = 0;
        self.waited = Duration::ZERO;
    }

    fn restart(&mut self, now: Duration) {
        self.begun = now;
        self.answers = 0;
        // Not zero, so that the next answer does not begin a measurement.
        self.waited = Duration::from_nanos(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PaceLimits = PaceLimits {
        start: 8,
        min: 1,
        max: 512,
    };

    /// A server that computes `width` calls at once, each in `time`, and refuses more than
    /// `room`; returns the calls in flight after `rounds` rounds of answers, and the refusals.
    fn after(pace: &mut Pace, width: usize, time: Duration, room: usize, rounds: usize) -> usize {
        let mut now = Duration::from_secs(1);
        let mut refusals = 0;
        for _ in 0..rounds {
            let calls = pace.limit();
            let taken = calls.min(room);
            if calls > room {
                refusals += 1;
                pace.refused(now, Duration::ZERO);
            }
            let waves = taken.div_ceil(width);
            for wave in 1..=waves {
                let in_wave = width.min(taken - (wave - 1) * width);
                for _ in 0..in_wave {
                    pace.answered(now + time * wave as u32, time * wave as u32);
                }
            }
            now += time * waves as u32;
        }
        refusals
    }

    #[test]
    fn it_finds_the_width_of_a_server() {
        let time = Duration::from_millis(20);
        for width in [1, 4, 32, 128] {
            let mut pace = Pace::new(LIMITS);
            after(&mut pace, width, time, 4096, 2000);
            let limit = pace.limit();
            // One step less at most.
            assert!(limit + limit.div_ceil(4) >= width, "{limit} for {width}");
            assert!(limit <= 4 * width.max(8), "{limit} for {width}");
        }
    }

    #[test]
    fn it_stays_near_what_a_server_takes() {
        let mut pace = Pace::new(LIMITS);
        let refusals = after(&mut pace, 1000, Duration::from_millis(20), 50, 2000);
        assert!((20..=70).contains(&pace.limit()), "{}", pace.limit());
        assert!(refusals < 400, "{refusals}");
    }

    #[test]
    fn a_fixed_pace_stays() {
        let mut pace = Pace::fixed(7);
        after(&mut pace, 3, Duration::from_millis(5), 4, 100);
        assert_eq!(pace.limit(), 7);
        assert_eq!(Pace::fixed(0).limit(), 1);
    }

    #[test]
    fn calls_that_were_in_flight_together_are_one_refusal() {
        let mut pace = Pace::new(LIMITS);
        let second = Duration::from_secs(1);
        for at in 0..8u32 {
            pace.refused(10 * second + at * second / 100, second);
        }
        assert_eq!(pace.limit(), 5);
    }

    proptest! {
        #[test]
        fn the_bounds_hold(
            events in prop::collection::vec((any::<bool>(), 0u64..5000), 0..500),
            start in 0usize..100,
            min in 0usize..10,
            more in 0usize..100,
        ) {
            let max = min + more;
            let mut pace = Pace::new(PaceLimits { start, min, max });
            let mut now = Duration::ZERO;
            for (is_answer, ms) in events {
                now += Duration::from_millis(ms / 10);
                let latency = Duration::from_millis(ms);
                match is_answer {
                    true => pace.answered(now, latency),
                    false => pace.refused(now, latency),
                }
                prop_assert!((min.max(1)..=max.max(1)).contains(&pace.limit()));
            }
        }
    }
}

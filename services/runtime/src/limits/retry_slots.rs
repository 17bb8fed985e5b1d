//! When calls that found no place may come back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest and longest wait that a refusal suggests.
const WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));
/// Longest time that counts as one that a place was held.
const HELD_MAX: Duration = Duration::from_secs(3600);
/// Weight of the places given back so far against one more.
const MEMORY: u64 = 16;

/// Learns how long places are held, and tells each refused call a time of its own.
///
/// Where all places are taken, one becomes free after a part of the time that each is held. Refused
/// calls get these moments one after another: if all come back when they are told, each finds a
/// place, however many there are.
#[derive(Debug, Default)]
pub(crate) struct RetrySlots {
    /// Mean time that a place is held, in microseconds; 0 before the first was given back.
    held_us: AtomicU64,
    /// The moment from which no refused call has been told yet.
    next: Mutex<Option<Instant>>,
}

impl RetrySlots {
    /// Takes note of the time that a place was held. Of two that end at once, one may be lost.
    pub(crate) fn learn(&self, held: Duration) {
        let held = u64::try_from(held.min(HELD_MAX).as_micros()).unwrap_or(0);
        let mean = match self.held_us.load(Ordering::Relaxed) {
            0 => held,
            mean => (mean * (MEMORY - 1) + held) / MEMORY,
        };
        self.held_us.store(mean.max(1), Ordering::Relaxed);
    }

    /// Returns the time after which a call may come back that was refused because all of `places`
    /// are taken.
    pub(crate) fn reserve(&self, now: Instant, places: usize) -> Duration {
        let places = u32::try_from(places).unwrap_or(u32::MAX).max(1);
        let between = self.held() / places;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = next.unwrap_or(now).max(now + between).min(now + WAIT.1);
        *next = Some(slot + between);
        (slot - now).max(WAIT.0)
    }

    /// Returns the mean time that a place is held, after which a call may come back whose
    /// connection has all that it may have.
    pub(crate) fn turn(&self) -> Duration {
        self.held().clamp(WAIT.0, WAIT.1)
    }

    fn held(&self) -> Duration {
        Duration::from_micros(self.held_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_calls_come_back_as_places_become_free() {
        let (slots, now) = (RetrySlots::default(), Instant::now());
        let ms = Duration::from_millis;
        assert_eq!(slots.reserve(now, 4), WAIT.0, "nothing is known");
        for _ in 0..100 {
            slots.learn(ms(400));
        }
        let waits: Vec<_> = (0..4).map(|_| slots.reserve(now, 4).as_millis()).collect();
        assert_eq!(waits, [100, 200, 300, 400]);
        // Those who were told do not come twice: after their time the first wait is short again.
        let later = now + ms(2000);
        assert_eq!(slots.reserve(later, 4).as_millis(), 100);
        assert_eq!(slots.turn(), ms(400));
    }

    #[test]
    fn no_wait_is_longer_than_the_longest() {
        let (slots, now) = (RetrySlots::default(), Instant::now());
        slots.learn(Duration::MAX);
        for _ in 0..10 {
            assert!(slots.reserve(now, 1) <= WAIT.1);
        }
        assert_eq!(slots.turn(), WAIT.1);
    }

    #[test]
    fn the_time_follows_what_is_held() {
        let slots = RetrySlots::default();
        slots.learn(Duration::from_secs(1));
        for _ in 0..200 {
            slots.learn(Duration::from_millis(20));
        }
        assert!(
            slots.turn() < Duration::from_millis(25),
            "{:?}",
            slots.turn()
        );
    }
}

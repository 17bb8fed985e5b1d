//! Times at which refused calls may come back.

use std::time::Duration;

use crate::time::Time;

/// Longest wait that a refusal suggests.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Part of its wait by which a call may come sooner or later than the others.
const SPREAD: f64 = 0.1;

/// The next time at which a refused call may come back.
///
/// Each refused call is told a time of its own, behind those that were refused before it and later
/// by the work that they bring: if all come back when they are told, they come as fast as they can
/// be served. Where they do not come back, nothing is lost, since anyone may take their time.
#[derive(Debug, Default)]
pub(crate) struct RetrySlots {
    next: Time,
    /// Number of slots given out, from which their spread is drawn.
    count: u64,
}

impl RetrySlots {
    /// Returns the time after which a call of `own` seconds of work may come back, if it could be
    /// admitted in `wait` seconds but for the calls that were refused before.
    pub(crate) fn reserve(&mut self, now: Time, wait: f64, own: f64) -> Duration {
        let last = now.after(WAIT_MAX);
        let slot = self.next.max(now.plus_seconds(wait)).min(last);
        self.next = slot.plus_seconds(own).min(last);
        self.count += 1;
        // From -1 to 1, the same for the same call: the fractional parts of the multiples of the
        // golden ratio are spread evenly (Weyl 1916).
        let fraction = (self.count.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64;
        let spread = 2.0 * fraction / (1_u64 << 53) as f64 - 1.0;
        slot.since(now).mul_f64(1.0 + SPREAD * spread)
    }

    /// Forgets the slots: nothing waits, so anyone may come.
    pub(crate) fn clear(&mut self) {
        self.next = Time::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_calls_come_back_one_after_another() {
        let (mut slots, now) = (RetrySlots::default(), Time::from_seconds(100.0));
        let mut waits = [0.0; 50];
        for (n, wait) in waits.iter_mut().enumerate() {
            *wait = slots.reserve(now, 1.0, 0.1).as_secs_f64();
            let expected = 1.0 + 0.1 * n as f64;
            assert!((*wait / expected - 1.0).abs() <= SPREAD, "{n}: {wait}");
        }
        assert!(
            waits
                .iter()
                .all(|a| waits.iter().filter(|b| *b == a).count() == 1)
        );
        slots.clear();
        assert!(slots.reserve(now, 1.0, 0.1).as_secs_f64() < 1.2);
        for _ in 0..1000 {
            let wait = slots.reserve(now, 1.0, 1.0);
            assert!(wait <= WAIT_MAX.mul_f64(1.0 + SPREAD));
        }
    }
}

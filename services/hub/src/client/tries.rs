//! [`Tries`]: when a request is made again.

use std::time::Duration;

/// Longest wait before a request is made again, also if the hub asks for more.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Requests for one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    made: u32,
    max: u32,
    first: Duration,
}

impl Tries {
    /// At most `max` requests, with a wait of about `first` before the second.
    pub(super) fn new(max: u32, first: Duration) -> Self {
        Self {
            made: 0,
            max,
            first,
        }
    }

    /// Returns the number of requests that were made.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Counts a request that went wrong, and returns the wait before the next one: twice the last
    /// with a little chance in it, or what the hub `asked` for. `None` if there is none.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.made += 1;
        if self.made >= self.max || asked.is_some_and(|asked| asked > WAIT_MAX) {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << (self.made - 1).min(16));
        let spread = doubled.mul_f64(0.75 + 0.5 * fastrand::f64());
        Some(asked.unwrap_or(spread).min(WAIT_MAX))
    }

    /// Counts anew, since there was progress.
    pub(super) fn reset(&mut self) {
        self.made = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let mut tries = Tries::new(4, Duration::from_secs(8));
        for expected in [8.0, 16.0, 32.0] {
            let wait = tries.next(None).unwrap().as_secs_f64();
            assert!(
                (0.74..1.26).contains(&(wait / expected)),
                "{wait} {expected}"
            );
        }
        assert_eq!(tries.next(None), None);
        assert_eq!(tries.made(), 4);
        tries.reset();
        assert!(tries.next(None).is_some());
        let mut tries = Tries::new(9, Duration::from_secs(50));
        assert!((0..8).all(|_| tries.next(None).unwrap() <= WAIT_MAX));
        assert_eq!(tries.next(None), None);
    }

    #[test]
    fn what_the_hub_asks_for_is_waited_up_to_a_minute() {
        let mut tries = Tries::new(5, Duration::from_secs(1));
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(tries.next(asked(7)), asked(7));
        assert_eq!(tries.next(asked(0)), asked(0));
        assert_eq!(tries.next(asked(61)), None);
    }
}

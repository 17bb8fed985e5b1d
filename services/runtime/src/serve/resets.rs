//! How many calls a connection may reset, or make the server reset.
//!
//! A call that is opened and reset costs the server nearly what a call costs, and its client next
//! to nothing. Who resets more than so many in a second is read more slowly; who goes on so for
//! long is disconnected. Clients that cancel calls because their deadlines pass are far below the
//! limit, or slow down with the reading.

use std::time::Duration;

/// Seconds of resets that may come at once, after a time without any.
const BURST_SECONDS: f64 = 4.0;
/// Part of a second's resets that may come at once on a new connection.
const FIRST_SECONDS: f64 = 0.2;

/// The resets of one connection. Times are since its beginning.
#[derive(Clone, Debug)]
pub(super) struct Resets {
    per_second: f64,
    /// Time after which a connection that never stops is ended.
    endured: Duration,
    /// Resets that may still come; below zero the connection is not read.
    left: f64,
    counted: Duration,
    /// The moment since when it is read slowly.
    slow_since: Option<Duration>,
}

/// Consequence of more resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Read,
    /// The connection is not read for this long.
    Pause(Duration),
    /// The connection is ended.
    End,
}

impl Resets {
    pub(super) fn new(per_second: usize, endured: Duration) -> Self {
        let per_second = per_second as f64;
        Self {
            per_second,
            endured,
            left: per_second * FIRST_SECONDS,
            counted: Duration::ZERO,
            slow_since: None,
        }
    }

    /// Returns whether the connection is one that is read slowly.
    pub(super) fn is_slow(&self) -> bool {
        self.slow_since.is_some()
    }

    /// Counts `more` resets at `now`.
    pub(super) fn count(&mut self, now: Duration, more: usize) -> Verdict {
        let passed = now.saturating_sub(self.counted).as_secs_f64();
        self.counted = now;
        let most = self.per_second * BURST_SECONDS;
        self.left = (self.left + passed * self.per_second).min(most);
        if self.left >= self.per_second {
            self.slow_since = None;
        }
        self.left -= more as f64;
        if self.left >= 0.0 {
            return Verdict::Read;
        }
        let since = *self.slow_since.get_or_insert(now);
        match now.saturating_sub(since) >= self.endured {
            true => Verdict::End,
            false => Verdict::Pause(Duration::from_secs_f64(-self.left / self.per_second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDURED: Duration = Duration::from_secs(30);

    /// Sends `at_a_time` resets every `every`, or as soon as they are read. Returns how many were
    /// read, how long reading paused, and when the connection was ended.
    fn run(at_a_time: usize, every: Duration) -> (usize, Duration, Option<Duration>) {
        let mut resets = Resets::new(500, ENDURED);
        let (mut now, mut read, mut paused) = (Duration::ZERO, 0, Duration::ZERO);
        while now < Duration::from_secs(300) {
            read += at_a_time;
            match resets.count(now, at_a_time) {
                Verdict::Read => now += every,
                Verdict::Pause(pause) => {
                    paused += pause;
                    now += pause.max(every);
                }
                Verdict::End => return (read, paused, Some(now)),
            }
        }
        (read, paused, None)
    }

    #[test]
    fn a_flood_is_read_slowly_and_then_ended() {
        for at_a_time in [1, 50, 250] {
            let (read, _, ended) = run(at_a_time, Duration::from_micros(10));
            let ended = ended.expect("it is ended").as_secs_f64();
            assert!((30.0..35.0).contains(&ended), "{ended}");
            assert!(read < 20_000, "{read}");
        }
    }

    #[test]
    fn who_resets_many_now_and_then_is_not_even_slowed() {
        for (at_a_time, every) in [(4, 10), (100, 1000), (450, 1000)] {
            let every = Duration::from_millis(every);
            let mut resets = Resets::new(500, ENDURED);
            resets.count(Duration::from_secs(10), 0);
            let mut now = Duration::from_secs(10);
            for _ in 0..1000 {
                assert_eq!(resets.count(now, at_a_time), Verdict::Read);
                now += every;
            }
        }
        // A storm of deadlines that pass, once a minute: slowed for a while, never ended.
        let mut resets = Resets::new(500, ENDURED);
        for minute in 0..10 {
            let verdict = resets.count(Duration::from_secs(60 * minute), 3000);
            assert!(matches!(verdict, Verdict::Pause(pause) if pause.as_secs() < 6));
        }
    }
}

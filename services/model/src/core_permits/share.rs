//! The share of the time that a batch of bulk rows is owed.

use std::time::{Duration, Instant};

/// Time that is owed, or was taken in advance, at most: 20 ms, which is owed after waiting for 0.4
/// s with a share of a tenth.
const MOST: f64 = 0.02;

/// Account of one executor of bulk rows: a share of the time in which it has a batch, less the time
/// in which that computes.
#[derive(Debug)]
pub(super) struct Share {
    /// Share of the time, 0 to 1.
    share: f64,
    /// Seconds that it is owed; negative where it had more than its share.
    seconds: f64,
    is_owed: bool,
    /// Until when the account is up to date.
    until: Instant,
}

impl Share {
    pub(super) fn new(share: f64, now: Instant) -> Self {
        Self {
            share,
            seconds: 0.0,
            is_owed: false,
            until: now,
        }
    }

    /// Begins a batch: the time before it does not count.
    pub(super) fn begin(&mut self, now: Instant) {
        self.until = now;
    }

    /// Accounts for the time until now, of which `computing`, from 0 to 1, was used.
    pub(super) fn account(&mut self, now: Instant, computing: f64) {
        let passed: Duration = now.saturating_duration_since(self.until);
        self.until = now;
        let seconds = self.seconds + (self.share - computing) * passed.as_secs_f64();
        self.seconds = seconds.clamp(-MOST, MOST);
        if self.seconds >= MOST {
            self.is_owed = true;
        } else if self.seconds <= 0.0 {
            self.is_owed = false;
        }
    }

    /// Returns the time from which it is owed the most, if it does not compute until then.
    pub(super) fn owed_from(&self, now: Instant) -> Option<Instant> {
        let missing = match self.is_owed {
            true => 0.0,
            false => (MOST - self.seconds) / self.share,
        };
        // Not finite without a share.
        let missing = Duration::try_from_secs_f64(missing).ok()?;
        now.checked_add(missing)
    }

    /// Returns the time until which it is owed some, if it computes until then.
    pub(super) fn owed_until(&self, now: Instant) -> Option<Instant> {
        let missing = self.seconds.max(0.0) / (1.0 - self.share);
        // Not finite with all of the time.
        let missing = Duration::try_from_secs_f64(missing).ok()?;
        now.checked_add(missing)
    }

    /// Returns whether it goes first: from when it is owed the most until it has all of it.
    pub(super) fn is_owed(&self) -> bool {
        self.is_owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_owed_a_share_of_the_time() {
        let mut now = Instant::now();
        let mut share = Share::new(0.1, now);
        let mut pass = |share: &mut Share, millis: u64, computing: f64| {
            now += Duration::from_millis(millis);
            share.account(now, computing);
            share.is_owed()
        };
        // It computed: nothing is owed for a while, ...
        assert!(!pass(&mut share, 1000, 1.0));
        let owed_from = share.owed_from(share.until).unwrap();
        assert_eq!((owed_from - share.until).as_millis(), 400);
        assert!(!pass(&mut share, 390, 0.0));
        // ... then it goes first until it has had what it is owed, ...
        assert!(pass(&mut share, 20, 0.0));
        assert!(pass(&mut share, 20, 1.0));
        assert!(!pass(&mut share, 3, 1.0));
        // ... over and over: a tenth of the time.
        let (mut computed, mut waited) = (0, 0);
        let mut is_owed = false;
        while waited < 10_000 {
            is_owed = pass(&mut share, 1, if is_owed { 1.0 } else { 0.0 });
            *(if is_owed { &mut computed } else { &mut waited }) += 1;
        }
        let part = f64::from(computed) / f64::from(computed + waited);
        assert!((0.09..=0.11).contains(&part), "{part}");
    }

    #[test]
    fn without_a_share_nothing_is_owed() {
        let now = Instant::now();
        let mut share = Share::new(0.0, now);
        assert_eq!(share.owed_from(now), None);
        share.account(now + Duration::from_secs(100), 0.0);
        assert!(!share.is_owed());
    }
}

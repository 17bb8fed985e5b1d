//! How busy things are lately: exponentially decayed means over time, without bias at the start.

use crate::Time;

/// Seconds over which a rate is averaged.
const RATE_SECONDS: f64 = 1.0;
/// Seconds over which utilisation is averaged: short, since what it decides costs most where load has just come.
const UTILISATION_SECONDS: f64 = 0.3;

/// Events a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// What a constant one would have come to by now.
    weight: f64,
    count: f64,
    last: Option<Time>,
}

impl Rate {
    /// Counts `events` that happen now.
    pub(crate) fn count(&mut self, now: Time, events: f64) {
        if let Some(last) = self.last {
            let kept = (-now.seconds_since(last) / RATE_SECONDS).exp();
            self.count *= kept;
            self.weight = 1.0 - (1.0 - self.weight) * kept;
        }
        self.last = Some(now);
        self.count += events;
    }

    /// Events a second that can be relied on: the last one says nothing of more, and two close together at the start are no rate yet.
    pub(crate) fn at_least_per_second(&self) -> f64 {
        (self.count - 1.0).max(0.0) / RATE_SECONDS
    }

    /// Events a second, lately.
    pub(crate) fn per_second(&self) -> f64 {
        if self.weight > 0.0 {
            self.count / (self.weight * RATE_SECONDS)
        } else {
            0.0
        }
    }
}

/// Share of the executors' time that is spent running batches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utilisation {
    weight: f64,
    busy: f64,
    last: Option<Time>,
}

impl Utilisation {
    /// From the last call of this until now, `share` of the executors were busy.
    pub(crate) fn was(&mut self, now: Time, share: f64) {
        if let Some(last) = self.last {
            let kept = (-now.seconds_since(last) / UTILISATION_SECONDS).exp();
            self.busy = self.busy * kept + share * (1.0 - kept);
            self.weight = 1.0 - (1.0 - self.weight) * kept;
        }
        self.last = Some(now);
    }

    /// The share, 0 to 1, lately.
    pub(crate) fn share(&self) -> f64 {
        if self.weight > 0.0 {
            (self.busy / self.weight).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_follow_what_happens_lately() {
        let (mut rate, mut busy) = (Rate::default(), Utilisation::default());
        assert_eq!((rate.per_second(), busy.share()), (0.0, 0.0));
        rate.count(Time::from_seconds(0.0999), 1.0);
        assert_eq!(rate.at_least_per_second(), 0.0);
        for n in 1..=50 {
            let now = Time::from_seconds(f64::from(n) * 0.1);
            rate.count(now, 2.0);
            busy.was(now, 0.25);
            assert!((busy.share() - 0.25).abs() < 1e-9 || n == 1);
        }
        assert!(
            (rate.per_second() - 20.0).abs() < 1.5,
            "{}",
            rate.per_second()
        );
        busy.was(Time::from_seconds(15.0), 1.0);
        assert!(busy.share() > 0.99, "{}", busy.share());
    }
}

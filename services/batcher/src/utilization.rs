//! Recent rates and utilization: exponentially decayed means over time, without bias at the start.

use crate::time::Time;

/// Seconds over which a rate is averaged.
const RATE_SECONDS: f64 = 1.0;
/// Seconds over which utilization is averaged: short, since a wrong batch limit costs most just
/// after load has come.
const UTILIZATION_SECONDS: f64 = 0.3;

/// Events per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// Sum of the weights of the time seen so far, 0 to 1; dividing by it removes the bias.
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

    /// Returns a lower bound of the events per second: without the last event, which is no evidence
    /// of another, and without correcting the bias, since two close together are no rate yet.
    pub(crate) fn at_least_per_second(&self) -> f64 {
        (self.count - 1.0).max(0.0) / RATE_SECONDS
    }

    /// Recent events per second.
    pub(crate) fn per_second(&self) -> f64 {
        if self.weight > 0.0 {
            self.count / (self.weight * RATE_SECONDS)
        } else {
            0.0
        }
    }
}

/// Share of the executors' time that batches take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utilization {
    weight: f64,
    busy: f64,
    last: Option<Time>,
}

impl Utilization {
    /// Accounts for the time since the last call, during which `share` of the executors were busy.
    pub(crate) fn record(&mut self, now: Time, share: f64) {
        if let Some(last) = self.last {
            let kept = (-now.seconds_since(last) / UTILIZATION_SECONDS).exp();
            self.busy = self.busy * kept + share * (1.0 - kept);
            self.weight = 1.0 - (1.0 - self.weight) * kept;
        }
        self.last = Some(now);
    }

    /// Recent share, 0 to 1.
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
    fn means_follow_recent_events() {
        let (mut rate, mut busy) = (Rate::default(), Utilization::default());
        assert_eq!((rate.per_second(), busy.share()), (0.0, 0.0));
        rate.count(Time::from_seconds(0.0999), 1.0);
        assert_eq!(rate.at_least_per_second(), 0.0);
        for n in 1..=50 {
            let now = Time::from_seconds(f64::from(n) * 0.1);
            rate.count(now, 2.0);
            busy.record(now, 0.25);
            assert!((busy.share() - 0.25).abs() < 1e-9 || n == 1);
        }
        assert!(
            (rate.per_second() - 20.0).abs() < 1.5,
            "{}",
            rate.per_second()
        );
        busy.record(Time::from_seconds(15.0), 1.0);
        assert!(busy.share() > 0.99, "{}", busy.share());
    }
}

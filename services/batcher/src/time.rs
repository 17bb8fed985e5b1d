//! Points in time as the scheduler sees them.

use std::time::Duration;

/// A moment, in nanoseconds since an origin of the caller's choice.
///
/// The scheduler never reads a clock: the driver counts from its own start, the simulator from
/// zero. Arithmetic saturates, so no input can overflow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(0);
    /// A moment that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// Returns the moment `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// Returns the moment `seconds` after the origin; the origin if `seconds` is negative or NaN.
    pub fn from_seconds(seconds: f64) -> Self {
        Time((seconds * 1e9).round() as u64)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the origin.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 * 1e-9
    }

    /// Time from `earlier` to this moment; zero if this moment is before `earlier`.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds from `earlier` to this moment; negative if this moment is before `earlier`.
    pub fn seconds_since(self, earlier: Time) -> f64 {
        if self.0 >= earlier.0 {
            (self.0 - earlier.0) as f64 * 1e-9
        } else {
            (earlier.0 - self.0) as f64 * -1e-9
        }
    }

    /// Returns this moment plus `duration`.
    pub fn after(self, duration: Duration) -> Time {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }

    /// Returns this moment plus `seconds`, which may be negative.
    pub fn plus_seconds(self, seconds: f64) -> Time {
        let nanos = (seconds.abs() * 1e9).round() as u64;
        Time(if seconds >= 0.0 {
            self.0.saturating_add(nanos)
        } else {
            self.0.saturating_sub(nanos)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time::NEVER.after(Duration::MAX), Time::NEVER);
        assert_eq!(Time::NEVER.plus_seconds(f64::MAX), Time::NEVER);
        assert_eq!(Time::from_nanos(5).plus_seconds(-1.0), Time::ZERO);
        assert_eq!(Time::from_seconds(f64::NAN), Time::ZERO);
        assert_eq!(
            Time::from_nanos(5).since(Time::from_nanos(9)),
            Duration::ZERO
        );
        assert_eq!(
            Time::from_nanos(0).seconds_since(Time::from_nanos(500_000_000)),
            -0.5
        );
        assert_eq!(Time::from_seconds(1.5).as_nanos(), 1_500_000_000);
    }
}

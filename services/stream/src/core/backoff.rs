//! Times between attempts.

use std::time::Duration;

/// Most doublings, beyond which any time is the longest.
const DOUBLINGS_MAX: u32 = 30;

/// Returns the time to wait after `failures` failures in a row, at least one: `first`, doubled with
/// each, at most `most`.
pub(super) fn delay(first: Duration, most: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    first.saturating_mul(1 << doublings).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_time_up_to_the_most() {
        let [first, most] = [1, 10].map(Duration::from_secs);
        for (failures, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (99, 10)] {
            let expected = Duration::from_secs(seconds);
            assert_eq!(delay(first, most, failures), expected, "{failures}");
        }
    }
}

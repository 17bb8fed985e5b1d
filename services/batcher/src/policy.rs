//! Which rule decides whether a free executor waits.

use std::time::Duration;

/// The rule that decides whether a free executor with rows queued runs now or waits for company.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Wait only where recent arrivals and measured cost say that it lowers total delay.
    #[default]
    Adaptive,
    /// Never wait: run whatever is queued.
    Greedy,
    /// Wait until the oldest row has been queued this long, or the batch is full.
    Fixed(Duration),
}

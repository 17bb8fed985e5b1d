//! Promises of a stream, as numbers.

use std::time::Duration;

/// Order that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Nothing: messages run side by side.
    #[default]
    None,
    /// Messages of one key, which run one after another. Those without a key have no order.
    Key,
    /// Messages of one partition, which run one after another.
    Partition,
}

/// Messages that become one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Most messages of a request.
    pub max: usize,
    /// Time for which the first waits for others.
    pub within: Duration,
}

/// Options of a [`Core`](super::Core).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Order that is kept.
    pub order: Order,
    /// Most messages that are held at a time.
    pub in_flight: usize,
    /// Attempts that fail by a message's fault before it is a dead letter.
    pub after: u32,
    /// Messages that become one request, if they do.
    pub chunk: Option<Chunk>,
    /// Time after which the source delivers again what is neither acknowledged nor reported to be
    /// in progress.
    pub ack_wait: Duration,
    /// Time before the second attempt; it doubles with each.
    pub retry_first: Duration,
    /// Most time between attempts.
    pub retry_most: Duration,
    /// `true` if the source delivers again after a time of one's choice, so that a message that
    /// waits for its next attempt needs no place here.
    pub delays: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            order: Order::None,
            in_flight: 256,
            after: 5,
            chunk: None,
            ack_wait: Duration::from_secs(30),
            retry_first: Duration::from_secs(1),
            retry_most: Duration::from_secs(60),
            delays: true,
        }
    }
}

impl Options {
    /// Deliveries without an end, and attempts at a service that answers others, after which a
    /// message counts as the cause: each time the process, or the service, went away with it.
    pub(super) const fn suspicious(&self) -> u32 {
        self.after.saturating_mul(4)
    }
}

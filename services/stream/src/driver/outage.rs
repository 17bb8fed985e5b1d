//! Log lines about a broker that is away.

use std::time::Duration;

use crate::broker::BrokerError;

/// A broker that may be away: its errors are told once, and again when they change.
#[derive(Debug)]
pub(super) struct Outage {
    stream: String,
    /// Times between two tries, the first and the longest.
    again: [Duration; 2],
    next: Duration,
    error: Option<BrokerError>,
}

impl Outage {
    pub(super) fn new(stream: &str, again: [Duration; 2]) -> Self {
        Self {
            stream: stream.to_owned(),
            again,
            next: again[0],
            error: None,
        }
    }

    /// Takes note of an error of something else than asking for messages, which is tried again by
    /// itself.
    pub(super) fn begins(&mut self, error: BrokerError) {
        if self.error.is_none() {
            tracing::warn!(stream = self.stream, %error, "a stream's broker does not answer");
            self.error = Some(error);
        }
    }

    /// Takes note of an error, and returns the time until the next try.
    pub(super) fn goes_on(&mut self, error: &BrokerError) -> Duration {
        if self.error.as_ref() != Some(error) {
            let stream = &self.stream;
            tracing::warn!(stream, %error, "a stream gets no messages: it tries again");
            self.error = Some(error.clone());
        }
        let wait = self.next;
        self.next = (wait * 2).min(self.again[1]);
        wait
    }

    /// Takes note that the broker is there.
    pub(super) fn over(&mut self) {
        if self.error.take().is_some() {
            tracing::info!(stream = self.stream, "a stream gets messages again");
        }
        self.next = self.again[0];
    }
}

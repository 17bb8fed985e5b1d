//! The handle that records one stream.

use std::time::Duration;

use super::live::{CounterSeries, GaugeSeries, LiveCounter, LiveGauge};

/// Instruments of streams.
#[derive(Debug)]
pub(super) struct StreamInstruments {
    pub(super) connected: LiveGauge,
    pub(super) lag: LiveGauge,
    pub(super) oldest: LiveGauge,
    pub(super) in_flight: LiveGauge,
    pub(super) answered: LiveCounter,
    pub(super) redelivered: LiveCounter,
    pub(super) dead: LiveCounter,
    pub(super) errors: LiveCounter,
}

/// Kinds of errors of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamErrorKind {
    /// A message had no answer.
    Attempt,
    /// A letter was not stored.
    Store,
    /// The broker did not confirm an acknowledgement.
    Acknowledge,
    /// The broker gave no messages.
    Pull,
}

const KINDS: [&str; 4] = ["attempt", "store", "acknowledge", "pull"];

/// Records one stream. Its series go with the last clone.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    connected: GaugeSeries,
    lag: GaugeSeries,
    oldest: GaugeSeries,
    in_flight: GaugeSeries,
    answered: CounterSeries,
    redelivered: CounterSeries,
    dead: CounterSeries,
    errors: [CounterSeries; KINDS.len()],
}

impl StreamMetrics {
    pub(super) fn new(instruments: &StreamInstruments, stream: &str) -> Self {
        let labels = [stream];
        Self {
            connected: instruments.connected.series(&labels),
            lag: instruments.lag.series(&labels),
            oldest: instruments.oldest.series(&labels),
            in_flight: instruments.in_flight.series(&labels),
            answered: instruments.answered.series(&labels),
            redelivered: instruments.redelivered.series(&labels),
            dead: instruments.dead.series(&labels),
            errors: KINDS.map(|kind| instruments.errors.series(&[stream, kind])),
        }
    }

    /// Records whether messages are taken from the broker.
    pub fn connected(&self, is_connected: bool) {
        self.connected.set(u64::from(is_connected));
    }

    /// Records the messages that the broker has not delivered yet.
    pub fn lag(&self, messages: u64) {
        self.lag.set(messages);
    }

    /// Records the messages in flight.
    pub fn in_flight(&self, messages: usize) {
        self.in_flight.set(messages as u64);
    }

    /// Records the age of the oldest message in flight.
    pub fn oldest(&self, age: Duration) {
        self.oldest.set(age.as_secs());
    }

    /// Counts messages whose answers were stored.
    pub fn answered(&self, messages: u64) {
        self.answered.add(messages);
    }

    /// Counts deliveries of messages that had been delivered before.
    pub fn redelivered(&self, messages: u64) {
        self.redelivered.add(messages);
    }

    /// Counts messages that became dead letters.
    pub fn dead(&self, messages: u64) {
        self.dead.add(messages);
    }

    /// Counts an error.
    pub fn error(&self, kind: StreamErrorKind) {
        self.errors[kind as usize].add(1);
    }
}

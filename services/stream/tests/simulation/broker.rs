//! A broker that delivers again what is not acknowledged in time.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// Delivered, and delivered again at this time.
    Pending(Duration),
    Acknowledged,
}

/// A stream with one consumer.
#[derive(Debug)]
pub(super) struct Broker {
    messages: Vec<(State, u32)>,
    now: Duration,
    ack_wait: Duration,
}

impl Broker {
    pub(super) fn new(count: usize, ack_wait: Duration) -> Self {
        Self {
            messages: vec![(State::New, 0); count],
            now: Duration::ZERO,
            ack_wait,
        }
    }

    pub(super) const fn pass(&mut self, now: Duration) {
        self.now = now;
    }

    /// Delivers at most `max` messages: first those that were delivered before.
    pub(super) fn deliver(&mut self, now: Duration, max: usize) -> Vec<(usize, u32)> {
        let is_due = |state: State| matches!(state, State::Pending(until) if until <= now);
        let places = 0..self.messages.len();
        let again = places.clone().filter(|p| is_due(self.messages[*p].0));
        let new = places.filter(|p| self.messages[*p].0 == State::New);
        let chosen: Vec<usize> = again.chain(new).take(max).collect();
        let deliver = |place| {
            let (state, deliveries): &mut (State, u32) = &mut self.messages[place];
            *state = State::Pending(now + self.ack_wait);
            *deliveries += 1;
            (place, *deliveries)
        };
        chosen.into_iter().map(deliver).collect()
    }

    pub(super) fn acknowledge(&mut self, place: usize) {
        self.messages[place].0 = State::Acknowledged;
    }

    pub(super) fn progress(&mut self, now: Duration, place: usize) {
        self.release(now + self.ack_wait, place);
    }

    /// Delivers a message again at this time, if it is not acknowledged.
    pub(super) fn release(&mut self, at: Duration, place: usize) {
        let state = &mut self.messages[place].0;
        if matches!(state, State::Pending(_)) {
            *state = State::Pending(at);
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        let is_pending = |(state, _): &(State, u32)| matches!(state, State::Pending(_));
        self.messages.iter().any(is_pending)
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        let due = |(state, _): &(State, u32)| match state {
            State::Pending(until) if *until > self.now => Some(*until),
            _ => None,
        };
        self.messages.iter().filter_map(due).min()
    }

    pub(super) fn is_done(&self) -> bool {
        self.open().is_empty()
    }

    pub(super) fn open(&self) -> Vec<usize> {
        let is_open = |place: &usize| self.messages[*place].0 != State::Acknowledged;
        (0..self.messages.len()).filter(is_open).collect()
    }
}

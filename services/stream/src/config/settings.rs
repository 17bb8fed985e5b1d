//! Keys of a stream that have a default and a range.

use std::time::Duration;

use motet_config::keys::{Field, Key};

use crate::core::Order;

/// Most messages in flight of a stream.
const IN_FLIGHT_MAX: usize = 65_536;

const ORDERS: [(&str, Order); 3] = [
    ("none", Order::None),
    ("key", Order::Key),
    ("partition", Order::Partition),
];
const ORDER_WORDS: [&str; 3] = ["none", "key", "partition"];
const PRIORITY_WORDS: [&str; 2] = ["normal", "bulk"];

/// Keys of a stream that have a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Order that is kept.
    pub order: Order,
    /// Most messages in flight.
    pub in_flight: usize,
    /// Calls have the priority of batches.
    pub is_bulk: bool,
    /// Time that a call may take.
    pub deadline: Duration,
    /// Time after which the broker delivers again what it has not heard of.
    pub ack_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            order: Order::None,
            in_flight: 256,
            is_bulk: false,
            deadline: Duration::from_secs(60),
            ack_wait: Duration::from_secs(30),
        }
    }
}

/// The keys.
pub const KEYS: [Key<Settings>; 5] = [
    Key {
        name: "order",
        about: "Messages that run one after another: those of a `key`, those of a `partition` \
                (all, with NATS and Redis), or `none`.",
        field: Field::Word(
            &ORDER_WORDS,
            |s| {
                ORDERS
                    .iter()
                    .find(|(_, order)| *order == s.order)
                    .map(|(word, _)| *word)
            },
            |s, word| {
                let found = ORDERS.iter().find(|(name, _)| *name == word);
                s.order = found.map_or(Order::None, |(_, order)| *order);
            },
        ),
    },
    Key {
        name: "in_flight",
        about: "Most messages that are held at once: running, waiting for another attempt, or \
                being stored. The others stay with the broker.",
        field: Field::Count(
            1..=IN_FLIGHT_MAX,
            |s| Some(s.in_flight),
            |s, n| s.in_flight = n,
        ),
    },
    Key {
        name: "priority",
        about: "Priority of its calls: as those of people, or `bulk`, behind them.",
        field: Field::Word(
            &PRIORITY_WORDS,
            |s| Some(PRIORITY_WORDS[usize::from(s.is_bulk)]),
            |s, word| s.is_bulk = word == "bulk",
        ),
    },
    Key {
        name: "deadline",
        about: "Time that one call may take; one that takes longer has failed.",
        field: Field::Duration(
            Duration::from_millis(1)..=motet_config::values::DURATION_MAX,
            |s| Some(s.deadline),
            |s, time| s.deadline = time,
        ),
    },
    Key {
        name: "ack_wait",
        about: "Time after which the broker delivers a message again that it has not heard of. \
                Messages in flight are reported in half of it.",
        field: Field::Duration(
            Duration::from_secs(1)..=Duration::from_secs(3600),
            |s| Some(s.ack_wait),
            |s, time| s.ack_wait = time,
        ),
    },
];

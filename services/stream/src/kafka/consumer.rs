//! The thread that polls: messages, rebalances, troubles.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::state::State;
use crate::core::Offsets;

/// Time that one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// Time in which positions are read.
const POSITIONS_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks at whether a trouble is over, and time of one.
const LOOK: Duration = Duration::from_secs(1);

/// A consumer of a group.
pub(super) type Consumer = BaseConsumer<Group>;

/// Follows the group: partitions that come and go.
pub(super) struct Group {
    state: Arc<State>,
    /// Time in which what is under way may end, of partitions that go.
    end_wait: Duration,
}

impl Group {
    pub(super) const fn new(state: Arc<State>, end_wait: Duration) -> Self {
        Self { state, end_wait }
    }

    /// Reads where others were with these partitions. Polls wait for that.
    fn take(&self, consumer: &Consumer, partitions: &TopicPartitionList) {
        if self.state.stops() || partitions.count() == 0 {
            return;
        }
        let positions = consumer.committed_offsets(partitions.clone(), POSITIONS_WAIT);
        let positions = match positions {
            Ok(positions) => positions,
            Err(error) => {
                let reason = format!("the positions of the group cannot be read: {error}");
                return self.state.breaks(reason);
            }
        };
        for element in positions.elements() {
            let Ok(partition) = u32::try_from(element.partition()) else {
                continue;
            };
            let offsets = match element.offset() {
                Offset::Offset(position) => {
                    let position = u64::try_from(position).unwrap_or_default();
                    Offsets::resume(position, element.metadata())
                }
                _ => Offsets::resume(0, ""),
            };
            tracing::debug!(partition, from = offsets.next(), "a partition is taken");
            self.state.take(partition, offsets);
        }
    }
}

impl ClientContext for Group {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, consumer: &Consumer, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.take(consumer, partitions),
            // The stream holds nothing any more.
            Rebalance::Revoke(_) if self.state.stops() => {}
            Rebalance::Revoke(partitions) => {
                let elements = partitions.elements();
                let numbers = elements.iter().map(|element| element.partition());
                let numbers = numbers.filter_map(|number| u32::try_from(number).ok());
                let within = match consumer.assignment_lost() {
                    true => Duration::ZERO,
                    false => self.end_wait,
                };
                tracing::debug!(count = elements.len(), "partitions are given up");
                self.state.give_up(numbers.collect(), within);
            }
            Rebalance::Error(error) => self.state.set_trouble(Some(error.to_string())),
        }
    }
}

/// Polls until the session ends, then leaves the group.
pub(super) fn run(consumer: Arc<Consumer>, state: &State, topic: &str) {
    let (mut is_paused, mut looked) = (false, Instant::now());
    while !state.stops() {
        is_paused = pace(&consumer, state, is_paused);
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(record)) => state.arrives(&record),
            Some(Err(error)) => fails(state, &error),
        }
        if state.trouble().is_some() && looked.elapsed() >= LOOK {
            look(&consumer, state, topic);
            looked = Instant::now();
        }
    }
    drop(consumer);
}

/// Asks for no messages while as many wait as may. Returns whether none are asked for.
fn pace(consumer: &Consumer, state: &State, is_paused: bool) -> bool {
    let Some(is_full) = state.is_full().filter(|is_full| *is_full || is_paused) else {
        return is_paused;
    };
    // Partitions that came meanwhile, too.
    let Ok(partitions) = consumer.assignment() else {
        return is_paused;
    };
    let done = match is_full {
        true => consumer.pause(&partitions),
        false => consumer.resume(&partitions),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "partitions cannot be paused or resumed");
    }
    is_full
}

/// Takes note of an error. Those of single connections are none: the library makes them again.
fn fails(state: &State, error: &KafkaError) {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    tracing::debug!(%error, "a poll of a consumer failed");
    match code {
        _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
            state.breaks(format!("the consumer is of no use: {error}"));
        }
        Some(
            Code::AllBrokersDown
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::InvalidSessionTimeout,
        ) => state.set_trouble(Some(error.to_string())),
        _ => {}
    }
}

/// Looks whether a trouble is over.
fn look(consumer: &Consumer, state: &State, topic: &str) {
    match consumer.fetch_metadata(Some(topic), LOOK) {
        Ok(found) if found.topics().iter().all(|topic| topic.error().is_none()) => {
            state.set_trouble(None);
        }
        _ => {}
    }
}

//! The thread that stores: letters and positions, in transactions.
//!
//! A transaction has the letters that wait, and the positions of their partitions. Either all of
//! it is there for who reads committed records, or nothing; the broker refuses it from a process
//! that is no longer of the group's generation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer::Consumer;
use super::letters::{Letter, Letters, Transaction};
use super::records::{self, Place};
use super::state::State;
use crate::broker::{StoreError, Stored};

/// Time that one request of a transaction waits. Then it is asked again.
const ASK: Duration = Duration::from_secs(5);
/// Time before it is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// Time between two looks at letters that wait.
const LOOK: Duration = Duration::from_millis(100);
/// Time before a transaction is tried again that came amid a rebalance.
const REBALANCE_WAIT: Duration = Duration::from_millis(200);
/// Most letters of a transaction.
const LETTERS_MAX: usize = 10_000;
/// Most bytes of a note: brokers take 4096, unless they say otherwise.
const NOTE_MOST: usize = 4000;

/// A producer of transactions.
pub(super) type Producer = ThreadedProducer<Failures>;

/// Takes note of letters of the current transaction that can never be stored.
#[derive(Debug, Default)]
pub(super) struct Failures {
    is_refused: AtomicBool,
}

impl ClientContext for Failures {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result
            && is_refusal(error)
        {
            self.is_refused.store(true, Ordering::Relaxed);
        }
    }
}

/// A reason for which a transaction was not committed.
enum Failed {
    /// Nothing of it is there: it is tried again.
    Aborted(String),
    /// The group is amid a rebalance.
    Rebalance,
    /// A letter is refused, or all that were sent with it; nothing is there.
    Refused(String),
    /// Its outcome is unknown, or the producer is of no use: the session ends.
    Broken(String),
}

/// The thread's parts.
pub(super) struct Transactions {
    pub(super) producer: Producer,
    pub(super) consumer: Weak<Consumer>,
    pub(super) state: Arc<State>,
    pub(super) topic: String,
    /// Letters; what only wakes the thread is `None`.
    pub(super) letters: Receiver<Option<Letter>>,
}

impl Transactions {
    /// Stores letters until the session ends.
    pub(super) fn run(self) {
        let mut letters = Letters::default();
        // Until the broker has shown that it keeps notes, nothing ends before what is earlier.
        let mut note_most = None;
        let mut not_before = Instant::now();
        // Transactions that have one letter each: one of them is refused.
        let mut alone = 0_usize;
        while !self.state.stops() {
            match self.letters.recv_timeout(LOOK) {
                Ok(letter) => letter.into_iter().for_each(|letter| letters.add(letter)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            for letter in self.letters.try_iter().flatten() {
                letters.add(letter);
            }
            if Instant::now() < not_before {
                continue;
            }
            let most = if alone > 0 { 1 } else { LETTERS_MAX };
            let transaction = letters.next(&self.state, note_most.unwrap_or(0), most);
            if transaction.letters.is_empty() {
                continue;
            }
            alone = alone.saturating_sub(1);
            match self.commit(&transaction) {
                Ok(()) => {
                    if note_most.is_none() {
                        note_most = self.note_most(&transaction);
                    }
                    self.committed(transaction);
                }
                Err(Failed::Aborted(reason)) => {
                    let outcome = Err(StoreError::Away(reason));
                    let all = transaction.letters.into_iter();
                    all.for_each(|letter| letter.ends(outcome.clone()));
                }
                Err(Failed::Rebalance) => {
                    transaction
                        .letters
                        .into_iter()
                        .for_each(|letter| letters.add(letter));
                    not_before = Instant::now() + REBALANCE_WAIT;
                }
                Err(Failed::Refused(reason)) => {
                    let count = transaction.letters.len();
                    for letter in transaction.letters {
                        match count {
                            1 => letter.ends(Err(StoreError::Refused(reason.clone()))),
                            _ => letters.add(letter),
                        }
                    }
                    alone = if count > 1 { count } else { alone };
                }
                Err(Failed::Broken(reason)) => {
                    let outcome = Err(StoreError::Away(reason.clone()));
                    let all = transaction.letters.into_iter();
                    all.for_each(|letter| letter.ends(outcome.clone()));
                    self.state.breaks(reason);
                }
            }
        }
        let reason = self
            .state
            .broken()
            .unwrap_or_else(|| "the stream ends".to_owned());
        letters.end_all(&Err(StoreError::Away(reason)));
    }

    /// Ends the letters of a transaction that was committed.
    fn committed(&self, transaction: Transaction) {
        for letter in transaction.letters {
            let Place {
                partition,
                offset,
                turn,
            } = letter.place;
            self.state.with(partition, turn, |of| of.end(&[offset]));
            letter.ends(Ok(Stored::AndAcknowledged));
        }
    }

    /// Stores letters and positions.
    fn commit(&self, transaction: &Transaction) -> Result<(), Failed> {
        let group = self
            .consumer
            .upgrade()
            .and_then(|consumer| consumer.group_metadata());
        let Some(group) = group else {
            return Err(Failed::Broken("the consumer is gone".to_owned()));
        };
        let failures = self.producer.context();
        failures.is_refused.store(false, Ordering::Relaxed);
        self.producer
            .begin_transaction()
            .map_err(|error| self.broken(&error))?;
        if let Err(error) = self.send(transaction) {
            return Err(self.abort(&error));
        }
        let mut positions = TopicPartitionList::new();
        for (partition, mark) in &transaction.marks {
            let number = i32::try_from(*partition).unwrap_or(i32::MAX);
            let mut element = positions.add_partition(&self.topic, number);
            let offset = i64::try_from(mark.position).unwrap_or(i64::MAX);
            let set = element.set_offset(Offset::Offset(offset));
            element.set_metadata(&mark.note);
            set.map_err(|error| self.abort(&error))?;
        }
        let offered =
            self.ask(|producer| producer.send_offsets_to_transaction(&positions, &group, ASK));
        let ended = offered.and_then(|()| self.ask(|producer| producer.commit_transaction(ASK)));
        ended.map_err(|error| self.abort(&error))
    }

    /// Hands letters to the producer.
    fn send(&self, transaction: &Transaction) -> Result<(), KafkaError> {
        for letter in &transaction.letters {
            let parcel = &letter.parcel;
            let mut record = BaseRecord::to(&parcel.place)
                .payload(&parcel.payload[..])
                .headers(records::headers_of(parcel));
            if let Some(key) = &parcel.key {
                record = record.key(&key[..]);
            }
            while let Err((error, again)) = self.producer.send(record) {
                let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !is_full || self.state.stops() {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(10));
                record = again;
            }
        }
        Ok(())
    }

    /// Asks the broker until there is an answer, or the session ends.
    fn ask(&self, what: impl Fn(&Producer) -> Result<(), KafkaError>) -> Result<(), KafkaError> {
        loop {
            match what(&self.producer) {
                Err(error) if is_retriable(&error) && !self.state.stops() => {
                    tracing::debug!(%error, "a transaction is waited for");
                    std::thread::sleep(AGAIN);
                }
                result => return result,
            }
        }
    }

    /// Aborts the transaction, after an error.
    fn abort(&self, error: &KafkaError) -> Failed {
        tracing::debug!(%error, "a transaction is not committed");
        let is_fatal = |error: &KafkaError| match error {
            KafkaError::Transaction(error) => error.is_fatal(),
            _ => false,
        };
        // An error that is neither is fatal, too, by the library's own words: but aborting says so.
        if is_fatal(error) {
            return self.broken(error);
        }
        if let Err(error) = self.ask(|producer| producer.abort_transaction(ASK)) {
            return self.broken(&error);
        }
        let failures = self.producer.context();
        if is_refusal(error) || failures.is_refused.load(Ordering::Relaxed) {
            return Failed::Refused(error.to_string());
        }
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => Failed::Rebalance,
            _ => Failed::Aborted(error.to_string()),
        }
    }

    /// The producer is of no use any more.
    fn broken(&self, error: &KafkaError) -> Failed {
        let code = error.rdkafka_error_code();
        if let Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced) = code {
            self.state.set_fenced();
        }
        Failed::Broken(format!("the transactions cannot go on: {error}"))
    }

    /// Looks whether the broker keeps notes; some servers of Kafka's protocol do not.
    fn note_most(&self, transaction: &Transaction) -> Option<usize> {
        let consumer = self.consumer.upgrade()?;
        let (partition, mark) = transaction.marks.first()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, i32::try_from(*partition).ok()?);
        let found = consumer.committed_offsets(asked, ASK).ok()?;
        let elements = found.elements();
        let is_kept = elements.first()?.metadata() == mark.note;
        tracing::debug!(is_kept, "notes beside positions");
        Some(if is_kept { NOTE_MOST } else { 0 })
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable() && !error.txn_requires_abort(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}

/// Returns whether a letter can never be stored.
fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::MessageBatchTooLarge
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::PolicyViolation
        )
    )
}

//! The traits of a broker.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::message::{Delivery, Parcel};
use crate::reading::{Prepared, Reader};

/// A broker that did not do what it was asked. It is asked again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokerError(pub String);

impl BrokerError {
    /// Returns an error with the words of another one.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Something that is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not now. It is tried again.
    #[error("{0}")]
    Away(String),
    /// Never, such as for its size.
    #[error("{0}")]
    Refused(String),
}

/// Outcome of storing a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The source has to be told.
    Stored,
    /// The source was told in the same step.
    AndAcknowledged,
}

/// Counts of messages that a source still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Messages that were not delivered yet.
    pub lag: u64,
}

/// Takes the messages of a pull.
#[derive(Debug, Clone)]
pub struct Inbox {
    pub(crate) reader: std::sync::Arc<Reader>,
    pub(crate) sender: mpsc::Sender<Prepared>,
}

impl Inbox {
    /// Takes a message.
    pub async fn deliver(&self, delivery: Delivery) {
        let prepared = self.reader.prepare(delivery);
        // Without a receiver the process is ending, and the broker delivers it to another.
        let _ = self.sender.send(prepared).await;
    }
}

/// Source of messages. It connects by itself, and again after an error. Dropping a future
/// loses nothing but time.
pub trait Source: Send + Sync + 'static {
    /// Waits for messages, for about a second, and hands over at most `max`.
    ///
    /// # Errors
    /// When the broker is away, or lacks what messages come from.
    fn pull(
        &self,
        max: usize,
        inbox: &Inbox,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Ends a message: it is not delivered again.
    ///
    /// # Errors
    /// When the broker did not confirm it.
    fn acknowledge(&self, receipt: &str) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Says that a message is in progress: it is delivered again only after another `ack_wait`.
    ///
    /// # Errors
    /// When the broker is away.
    fn progress(&self, receipt: &str) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Gives a message back, to be delivered again after this time.
    ///
    /// # Errors
    /// When the broker is away.
    fn release(
        &self,
        receipt: &str,
        after: Duration,
    ) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Returns what the source still has.
    ///
    /// # Errors
    /// When the broker is away.
    fn backlog(&self) -> impl Future<Output = Result<Backlog, BrokerError>> + Send;
}

/// Target of answers and dead letters.
pub trait Sink: Send + Sync + 'static {
    /// Stores a parcel, made of the message of this receipt.
    ///
    /// # Errors
    /// [`StoreError`].
    fn store(
        &self,
        receipt: &str,
        parcel: &Parcel,
    ) -> impl Future<Output = Result<Stored, StoreError>> + Send;
}

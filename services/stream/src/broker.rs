//! The traits of a broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

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
    /// The source has taken the message back, and delivers it again.
    #[error("the source has taken the message back")]
    TakenBack,
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

/// Something that a source tells.
#[derive(Debug)]
pub(crate) enum Event {
    Delivered(Box<Prepared>),
    Revoked(Revocation),
}

/// Partitions that a source has to give up.
#[derive(Debug)]
pub(crate) struct Revocation {
    pub(crate) partitions: Vec<u32>,
    /// Time in which what is under way may end; without any the partitions are lost already.
    pub(crate) within: Duration,
    /// Is told when the stream holds none of them.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

/// Takes what a source has.
#[derive(Debug, Clone)]
pub struct Inbox {
    pub(crate) reader: Arc<Reader>,
    pub(crate) sender: mpsc::Sender<Event>,
}

impl Inbox {
    /// Takes a message.
    pub async fn deliver(&self, delivery: Delivery) {
        let prepared = Box::new(self.reader.prepare(delivery));
        // Without a receiver the process is ending, and the broker delivers it to another.
        let _ = self.sender.send(Event::Delivered(prepared)).await;
    }

    /// Takes a message, at once. Returns whether there was a place for it.
    pub fn try_deliver(&self, delivery: Delivery) -> bool {
        let prepared = Box::new(self.reader.prepare(delivery));
        self.sender.try_send(Event::Delivered(prepared)).is_ok()
    }

    /// Gives partitions up. Returns what ends when the stream holds no message of them: of those of
    /// which something is under way it may have until `within`. Blocks while other events wait.
    pub fn revoke(&self, partitions: Vec<u32>, within: Duration) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        let revocation = Revocation {
            partitions,
            within,
            done: Some(done),
        };
        // Without a receiver the process is ending, and holds nothing.
        let _ = self.sender.blocking_send(Event::Revoked(revocation));
        is_done
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

    /// Takes leave of the broker, after everything has ended.
    fn close(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Target of answers and dead letters.
pub trait Sink: Send + Sync + 'static {
    /// Most time in which a letter is stored. Then it is stored again.
    const STORE_TIMEOUT: Duration = Duration::from_secs(10);

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

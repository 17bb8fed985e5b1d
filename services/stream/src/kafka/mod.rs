//! Kafka, by librdkafka.
//!
//! A consumer group delivers: one thread polls always, whatever the pipeline does, and asks for no
//! messages while enough wait. A second thread stores: letters go in transactions, together with
//! the positions of the partitions that their messages are of. So a letter is there, and its
//! message done, in one step. A receipt is a partition, an offset, and the turn of this process
//! with the partition.
//!
//! * `config`: settings of the library's clients.
//! * `session`: a membership of the group.
//! * `state`: what its threads share.
//! * `consumer`: the thread that polls.
//! * `transactions`: the thread that stores; `letters`: what waits for it.
//! * `records`: records as messages, and letters as records.

mod config;
mod consumer;
mod letters;
mod records;
mod session;
mod state;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::broker::{Backlog, BrokerError, Inbox, Sink, Source, StoreError, Stored};
use crate::config::{KafkaSpec, Settings};
use crate::hosts;
use crate::message::Parcel;
use crate::session_slot::SessionSlot;
use letters::Letter;
use records::Place;
use session::{Opening, Session};

/// A topic of Kafka.
pub(crate) struct Kafka {
    spec: KafkaSpec,
    settings: Settings,
    /// Topics that letters go to.
    targets: [String; 2],
    session: SessionSlot<Session>,
    /// Another process took the name of this one's transactions.
    was_fenced: AtomicBool,
}

impl Kafka {
    pub(crate) fn new(spec: KafkaSpec, settings: Settings, targets: [String; 2]) -> Self {
        Self {
            spec,
            settings,
            targets,
            session: SessionSlot::default(),
            was_fenced: AtomicBool::new(false),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let opening = Opening {
            spec: self.spec.clone(),
            settings: self.settings,
            targets: self.targets.clone(),
            name: self.transactions(),
        };
        let open = async {
            let opened = spawn_blocking(|| opening.open()).await;
            opened.map_err(BrokerError::of)?
        };
        self.session.get_or_open(open).await
    }

    /// Returns the name of this process's transactions. Under the same name a process that comes
    /// back ends what it left open.
    fn transactions(&self) -> String {
        let KafkaSpec { group, topic, .. } = &self.spec;
        let consumer = self
            .spec
            .consumer
            .clone()
            .unwrap_or_else(hosts::consumer_of_host);
        let name = format!("motet-{group}-{topic}-{consumer}");
        match self.was_fenced.load(Ordering::Relaxed) {
            true => format!("{name}-{}", std::process::id()),
            false => name,
        }
    }
}

impl Source for Kafka {
    async fn pull(&self, max: usize, inbox: &Inbox) -> Result<(), BrokerError> {
        let session = self.session().await?;
        let pulled = session.state.pull(max, inbox).await;
        if session.state.broken().is_some() {
            if session.state.is_fenced() {
                let consumer = self.spec.consumer.clone().unwrap_or_default();
                tracing::warn!(
                    consumer,
                    "another process has the name of this one: give each a `consumer` of its own"
                );
                self.was_fenced.store(true, Ordering::Relaxed);
            }
            self.session.discard(&session);
        }
        let shown = &self.spec.access.shown;
        pulled.map_err(|error| BrokerError(format!("{shown}: {error}")))
    }

    async fn acknowledge(&self, _: &str) -> Result<(), BrokerError> {
        // The transaction of the letter did that.
        Ok(())
    }

    async fn progress(&self, _: &str) -> Result<(), BrokerError> {
        // The thread that polls says so of all.
        Ok(())
    }

    async fn release(&self, receipt: &str, _: Duration) -> Result<(), BrokerError> {
        let (Some(place), Some(session)) = (Place::of(receipt), self.session.get()) else {
            return Ok(());
        };
        let Place {
            partition,
            offset,
            turn,
        } = place;
        session
            .state
            .with(partition, turn, |of| of.give_back(offset));
        session.wake();
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, BrokerError> {
        let session = self.session().await?;
        let looked = spawn_blocking(move || session.backlog()).await;
        looked.map_err(BrokerError::of)?
    }

    async fn close(&self) {
        if let Some(session) = self.session.get() {
            let closed = spawn_blocking(move || session.close()).await;
            if let Err(error) = closed {
                tracing::debug!(%error, "a session of Kafka did not end");
            }
        }
    }
}

impl Sink for Kafka {
    /// A letter waits for those of earlier messages, as long as these take.
    const STORE_TIMEOUT: Duration = Duration::MAX;

    async fn store(&self, receipt: &str, parcel: &Parcel) -> Result<Stored, StoreError> {
        let away = |reason: &str| StoreError::Away(reason.to_owned());
        let Some(place) = Place::of(receipt) else {
            return Err(StoreError::Refused("its message has no place".to_owned()));
        };
        // Letters are of messages that the session delivered: another one delivers them again.
        let Some(session) = self.session.get() else {
            return Err(StoreError::TakenBack);
        };
        let (outcome, ended) = oneshot::channel();
        let letter = Letter {
            place,
            parcel: parcel.clone(),
            outcome,
        };
        if !session.store(letter) {
            return Err(away("the session with Kafka has ended"));
        }
        ended
            .await
            .unwrap_or_else(|_| Err(away("the session with Kafka has ended")))
    }
}

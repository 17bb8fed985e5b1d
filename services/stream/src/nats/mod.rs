//! NATS JetStream.
//!
//! A pull consumer delivers; the receipt of a message is the subject to which its acknowledgement
//! is published. Letters are published with their identity as `Nats-Msg-Id`, of which a stream
//! keeps one within its duplicate window.
//!
//! * `session`: a connection, with the stream and the consumer.
//! * `headers`: headers of messages.

mod headers;
mod session;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_nats::RequestErrorKind;
use async_nats::connection::State;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::context::PublishErrorKind;
use futures::StreamExt;
use tokio::time::timeout;

use crate::broker::{Backlog, BrokerError, Inbox, Sink, Source, StoreError, Stored};
use crate::config::{NatsSpec, Settings};
use crate::core::{Order, Position};
use crate::message::{Delivery, Message, Parcel};
use crate::session_slot::SessionSlot;
use session::Session;

/// Time that one request waits for messages.
const PULL_WAIT: Duration = Duration::from_secs(1);
/// Time beyond that in which the broker must have ended the request.
const PULL_SLACK: Duration = Duration::from_secs(4);
/// Time in which the broker confirms.
const CONFIRM_WAIT: Duration = Duration::from_secs(5);

/// A stream of NATS JetStream.
pub(crate) struct Nats {
    spec: NatsSpec,
    settings: Settings,
    /// Subjects that letters go to.
    subjects: [String; 2],
    session: SessionSlot<Session>,
}

impl Nats {
    pub(crate) fn new(spec: NatsSpec, settings: Settings, subjects: [String; 2]) -> Self {
        Self {
            spec,
            settings,
            subjects,
            session: SessionSlot::default(),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let open = Session::open(&self.spec, &self.settings, &self.subjects);
        self.session.get_or_open(open).await
    }

    async fn pull_some(
        &self,
        session: &Session,
        max: usize,
        inbox: &Inbox,
    ) -> Result<(), BrokerError> {
        let is_ordered = self.settings.order != Order::None;
        if is_ordered && session.waits() {
            tokio::time::sleep(PULL_WAIT).await;
            return Ok(());
        }
        let batch = session
            .consumer
            .batch()
            .max_messages(max)
            .expires(PULL_WAIT);
        let mut messages = batch.messages().await.map_err(BrokerError::of)?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(BrokerError::of)?;
            let delivery = delivery(session, &message)?;
            if is_ordered && !session.follows(delivery.1) {
                // Another one was lost on its way: both are delivered again, in their order.
                return Ok(());
            }
            inbox.deliver(delivery.0).await;
        }
        Ok(())
    }
}

/// Returns a message, and its number among those of the consumer.
fn delivery(
    session: &Session,
    message: &async_nats::jetstream::Message,
) -> Result<(Delivery, u64), BrokerError> {
    let info = message.info().map_err(BrokerError::of)?;
    let reply = message.message.reply.as_ref();
    let seconds = u64::try_from(info.published.unix_timestamp()).unwrap_or_default();
    let published = UNIX_EPOCH + Duration::new(seconds, info.published.nanosecond());
    let delivery = Delivery {
        position: Position {
            partition: 0,
            place: info.stream_sequence,
            sub: session.born,
        },
        source: format!("{}/{}", session.source, info.stream_sequence),
        receipt: reply.map(ToString::to_string).unwrap_or_default(),
        deliveries: u32::try_from(info.delivered).unwrap_or(u32::MAX),
        published: Some(published),
        message: Message {
            payload: message.message.payload.clone(),
            headers: headers::read(message.message.headers.as_ref()),
            subject: Some(message.message.subject.to_string()),
            key: None,
        },
    };
    Ok((delivery, info.consumer_sequence))
}

impl Source for Nats {
    async fn pull(&self, max: usize, inbox: &Inbox) -> Result<(), BrokerError> {
        let session = self.session().await?;
        let pulled = timeout(PULL_WAIT + PULL_SLACK, self.pull_some(&session, max, inbox));
        let shown = &self.spec.access.shown;
        let pulled = pulled
            .await
            .unwrap_or_else(|_| Err(BrokerError(format!("{shown} is silent"))));
        // A request that is sent into nothing ends without an error.
        let pulled = match session.client.connection_state() {
            State::Connected => pulled,
            _ => Err(BrokerError(format!("{shown} is not connected"))),
        };
        if pulled.is_err() {
            // The consumer, or its stream, may be another one now; credentials may have changed.
            self.session.discard(&session);
        }
        pulled
    }

    async fn acknowledge(&self, receipt: &str) -> Result<(), BrokerError> {
        let session = self.session().await?;
        let payload = AckKind::Ack.into();
        let confirmed = session.client.request(receipt.to_owned(), payload);
        let confirmed = timeout(CONFIRM_WAIT, confirmed).await;
        match confirmed.map_err(BrokerError::of)? {
            Ok(_) => Ok(()),
            Err(error) => {
                let is_nobody = error.kind() == RequestErrorKind::NoResponders;
                match is_nobody && session.is_gone(&self.spec).await {
                    // Nobody will deliver it again.
                    true => Ok(()),
                    false => Err(BrokerError::of(error)),
                }
            }
        }
    }

    async fn progress(&self, receipt: &str) -> Result<(), BrokerError> {
        let session = self.session().await?;
        let payload = AckKind::Progress.into();
        let told = session.client.publish(receipt.to_owned(), payload);
        told.await.map_err(BrokerError::of)
    }

    async fn release(&self, receipt: &str, after: Duration) -> Result<(), BrokerError> {
        let session = self.session().await?;
        let after = (!after.is_zero()).then_some(after);
        let told = session
            .client
            .publish(receipt.to_owned(), AckKind::Nak(after).into());
        told.await.map_err(BrokerError::of)?;
        session.client.flush().await.map_err(BrokerError::of)
    }

    async fn backlog(&self) -> Result<Backlog, BrokerError> {
        let session = self.session().await?;
        let mut consumer = session.consumer.clone();
        let info = consumer.info().await.map_err(BrokerError::of)?;
        Ok(Backlog {
            lag: info.num_pending,
        })
    }
}

impl Sink for Nats {
    async fn store(&self, _: &str, parcel: &Parcel) -> Result<Stored, StoreError> {
        let away = |error: &dyn std::fmt::Display| StoreError::Away(error.to_string());
        let session = self.session().await.map_err(|error| away(&error))?;
        let headers = headers::write(&parcel.headers, &parcel.id);
        let (place, payload) = (parcel.place.clone(), parcel.payload.clone());
        let published = session
            .context
            .publish_with_headers(place, headers, payload);
        let confirmed = match published.await {
            Ok(confirmed) => timeout(CONFIRM_WAIT, confirmed.into_future()).await,
            Err(error) => Ok(Err(error)),
        };
        match confirmed {
            Ok(Ok(_)) => Ok(Stored::Stored),
            Ok(Err(error)) if error.kind() == PublishErrorKind::MaxPayloadExceeded => Err(
                StoreError::Refused("it is larger than the broker's `max_payload`".to_owned()),
            ),
            Ok(Err(error)) => Err(away(&error)),
            Err(error) => Err(away(&error)),
        }
    }
}

//! A connection to NATS, with the stream and the consumer of it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, GetStreamByNameErrorKind};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use motet_runtime::tls::ClientTls;
use tokio::time::Instant;

use crate::broker::BrokerError;
use crate::config::{Access, NatsSpec, Settings};
use crate::core::Order;

/// Time in which a connection is made.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Messages that may wait for an acknowledgement, of all processes, for each that one holds: those
/// that wait at the broker for another attempt are among them.
const PENDING_FOR_EACH: i64 = 64;
const PENDING_MIN: i64 = 16_384;
/// Time that a message's redelivery may be late.
const LATE: Duration = Duration::from_secs(2);

/// A connection to NATS, with the stream and the consumer of it.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) consumer: Consumer<Config>,
    /// The stream's name and birth: another stream of the same name counts from 1 again.
    pub(super) source: String,
    /// The stream's birth.
    pub(super) born: u64,
    ack_wait: Duration,
    order: Mutex<InOrder>,
}

/// Facts of deliveries that an order needs.
struct InOrder {
    /// The number of the last delivery, if there was one.
    last: Option<u64>,
    /// Until when nothing is asked for: what was delivered before comes first.
    waits_until: Option<Instant>,
}

impl Session {
    pub(super) async fn open(
        spec: &NatsSpec,
        settings: &Settings,
        subjects: &[String],
    ) -> Result<Self, BrokerError> {
        let client = connect(&spec.access).await?;
        let context = jetstream::new(client.clone());
        for subject in subjects {
            is_kept(&context, subject).await?;
        }
        let stream = context.get_stream(&spec.stream).await.map_err(|error| {
            let name = &spec.stream;
            BrokerError(format!("the stream `{name}` cannot be used: {error}"))
        })?;
        let born = stream.cached_info().created.unix_timestamp_nanos();
        let consumer = stream.create_consumer(config(spec, settings)).await;
        let consumer = consumer.map_err(|error| {
            let name = &spec.consumer;
            BrokerError(format!("the consumer `{name}` cannot be used: {error}"))
        })?;
        let is_ordered = settings.order != Order::None;
        let has_pending = consumer.cached_info().num_ack_pending > 0;
        let waits = is_ordered && has_pending;
        if waits {
            let stream = &spec.stream;
            tracing::info!(
                stream,
                "an ordered stream waits for what was delivered before"
            );
        }
        Ok(Self {
            source: format!("nats:{}@{born}", spec.stream),
            born: u64::try_from(born).unwrap_or_default(),
            client,
            context,
            consumer,
            ack_wait: settings.ack_wait,
            order: Mutex::new(InOrder {
                last: None,
                waits_until: waits.then(|| Instant::now() + settings.ack_wait + LATE),
            }),
        })
    }

    /// Returns whether the stream, or the consumer, is no more.
    pub(super) async fn is_gone(&self, spec: &NatsSpec) -> bool {
        let Ok(stream) = self.context.get_stream_no_info(&spec.stream).await else {
            return false;
        };
        let error = stream.consumer_info(&spec.consumer).await.err();
        let gone = [
            ConsumerInfoErrorKind::NotFound,
            ConsumerInfoErrorKind::StreamNotFound,
        ];
        error.is_some_and(|error| gone.contains(&error.kind()))
    }

    /// Returns whether nothing may be asked for yet.
    pub(super) fn waits(&self) -> bool {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = order
            .waits_until
            .is_some_and(|until| Instant::now() < until);
        if !waits {
            order.waits_until = None;
        }
        waits
    }

    /// Takes note of a delivery's number. Returns whether it follows the last: else one was lost on
    /// its way, and is waited for.
    pub(super) fn follows(&self, number: u64) -> bool {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = order.last.is_none_or(|last| number <= last + 1);
        if !follows {
            order.waits_until = Some(Instant::now() + self.ack_wait + LATE);
        }
        order.last = follows.then_some(number);
        follows
    }
}

fn config(spec: &NatsSpec, settings: &Settings) -> Config {
    let in_flight = i64::try_from(settings.in_flight).unwrap_or(i64::MAX);
    Config {
        durable_name: Some(spec.consumer.clone()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait,
        max_deliver: -1,
        max_ack_pending: in_flight.saturating_mul(PENDING_FOR_EACH).max(PENDING_MIN),
        filter_subject: spec.filter.clone().unwrap_or_default(),
        ..Config::default()
    }
}

/// Refuses a subject that no stream keeps: what is published there is lost.
async fn is_kept(context: &Context, subject: &str) -> Result<(), BrokerError> {
    match context.stream_by_subject(subject).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Err(BrokerError(
            format!("no stream keeps the subject `{subject}`: make one that does"),
        )),
        Err(error) => Err(BrokerError::of(error)),
    }
}

async fn connect(access: &Access) -> Result<Client, BrokerError> {
    // Files are read.
    let read = access.clone();
    let options = tokio::task::spawn_blocking(move || options(&read)).await;
    let (options, url) = options.map_err(BrokerError::of)??;
    let addresses: Vec<String> = url.split(',').map(str::trim).map(str::to_owned).collect();
    options.connect(addresses).await.map_err(|error| {
        // The words of the error may have the address with its credentials.
        let why = error.kind();
        BrokerError(format!("{} cannot be reached: {why}", access.shown))
    })
}

fn options(access: &Access) -> Result<(ConnectOptions, String), BrokerError> {
    let text = |secret: &motet_runtime::config::Secret| secret.text().map_err(BrokerError::of);
    let url = text(&access.url)?;
    let mut options = ConnectOptions::new()
        .name("motet")
        .connection_timeout(CONNECT_WAIT);
    if let (Some(user), Some(password)) = (&access.user, &access.password) {
        options = options.user_and_password(text(user)?, text(password)?);
    }
    if let Some(token) = &access.token {
        options = options.token(text(token)?);
    }
    if let Some(creds) = &access.creds {
        let read = options.credentials(&text(creds)?);
        options = read.map_err(|_| BrokerError("`creds` are no credentials of NATS".to_owned()))?;
    }
    if access.tls.is_some() || url.starts_with("tls://") {
        let spec = access.tls.as_ref().map(|tls| tls.value.clone());
        let tls = ClientTls::new(&spec.unwrap_or_default());
        let config = tls.plain_config().map_err(BrokerError::of)?;
        options = options.require_tls(true).tls_client_config(config);
    }
    Ok((options, url))
}

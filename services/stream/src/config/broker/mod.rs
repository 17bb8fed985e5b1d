//! The key `from` of a stream: where messages come from.
//!
//! * `access`: the server, and the credentials for it.
//! * `kafka`: a topic of Kafka.

mod access;
mod kafka;

use std::path::Path;

use motet_config::schema::object_with;
use motet_config::values::non_empty;
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader};
use motet_runtime::config::{ClientTlsSpec, Secret};
use serde_json::{Value, json};

pub use access::Access;
pub use kafka::{KafkaSpec, Mechanism};

/// Consumer of a stream or a group, unless the file names one.
const CONSUMER: &str = "motet";

/// Source of messages.
#[derive(Debug, Clone, PartialEq)]
pub enum BrokerSpec {
    /// A stream of NATS JetStream.
    Nats(NatsSpec),
    /// A stream of Redis.
    Redis(RedisSpec),
    /// A topic of Kafka.
    Kafka(KafkaSpec),
}

/// The sort of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerKind {
    Nats,
    Redis,
    Kafka,
}

/// A stream of NATS JetStream.
#[derive(Debug, Clone, PartialEq)]
pub struct NatsSpec {
    /// The server, and credentials.
    pub access: Access,
    /// The stream, which is there already.
    pub stream: String,
    /// The durable consumer, which is made if it is not there.
    pub consumer: String,
    /// Subjects of the stream, if not all.
    pub filter: Option<String>,
}

/// A stream of Redis.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisSpec {
    /// The server, and credentials.
    pub access: Access,
    /// The key of the stream.
    pub key: String,
    /// The consumer group, which is made if it is not there.
    pub group: String,
    /// The name in the group, one for each process; `None` for that of the machine.
    pub consumer: Option<String>,
}

impl BrokerKind {
    /// Returns the sort that the entry `from` names, or the first where it names none.
    pub(super) fn of(from: Option<&Entry>) -> Self {
        let map = from.and_then(|entry| entry.node.as_map());
        let names = |broker| map.is_some_and(|map| map.get(broker).is_some());
        match (names("nats"), names("redis"), names("kafka")) {
            (false, true, _) => Self::Redis,
            (false, false, true) => Self::Kafka,
            _ => Self::Nats,
        }
    }
}

impl BrokerSpec {
    /// Reads the entry `from`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        entry: &Entry,
        folder: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut map = MapReader::new(&entry.node, "`from`", entry.key.span, diagnostics)?;
        let found = ["nats", "redis", "kafka"].map(|broker| map.get(broker));
        let mut named = found.into_iter().flatten();
        let (Some(url), second) = (named.next(), named.next()) else {
            let message = "`from` names no broker";
            let help = "write `nats: \"nats://HOST:4222\"`, `redis: \"redis://HOST:6379\"` or \
                        `kafka: \"kafka://HOST:9092\"`";
            diagnostics.push(Diagnostic::error(entry.key.span, message).help(help));
            return None;
        };
        if let Some(second) = second {
            let message = "`from` names two brokers, but a stream has one";
            diagnostics.push(Diagnostic::error(second.key.span, message));
            return None;
        }
        match found {
            [Some(_), ..] => {
                lacks_feature(url, "NATS", cfg!(feature = "nats"), diagnostics);
                Self::nats(map, url, folder, diagnostics)
            }
            [_, Some(_), _] => {
                lacks_feature(url, "Redis", cfg!(feature = "redis"), diagnostics);
                Self::redis(map, url, folder, diagnostics)
            }
            _ => {
                lacks_feature(url, "Kafka", cfg!(feature = "kafka"), diagnostics);
                KafkaSpec::read(map, url, folder, diagnostics).map(Self::Kafka)
            }
        }
    }

    fn nats(
        mut map: MapReader<'_>,
        url: &Entry,
        folder: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let stream = map.required("stream", "the JetStream stream, such as `stream: TICKETS`");
        let (consumer, filter) = (map.get("consumer"), map.get("filter"));
        let (token, creds) = (map.get("token"), map.get("creds"));
        let access = Access::read(&mut map, url, &["nats", "tls"], diagnostics);
        map.finish(diagnostics);
        let mut access = access?;
        access.token = token.and_then(|entry| Secret::read(entry, diagnostics));
        access.creds = creds.and_then(|entry| Secret::read(entry, diagnostics));
        access.start_from(folder);
        let mut text = |entry: &Entry| Some(non_empty(entry, diagnostics)?.value);
        Some(Self::Nats(NatsSpec {
            stream: stream.and_then(&mut text)?,
            consumer: consumer.map_or_else(|| Some(CONSUMER.to_owned()), &mut text)?,
            filter: filter
                .map(&mut text)
                .map_or(Some(None), |filter| filter.map(Some))?,
            access,
        }))
    }

    fn redis(
        mut map: MapReader<'_>,
        url: &Entry,
        folder: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let key = map.required("key", "the key of the stream, such as `key: tickets`");
        let (group, consumer) = (map.get("group"), map.get("consumer"));
        let access = Access::read(&mut map, url, &["redis", "rediss"], diagnostics);
        map.finish(diagnostics);
        let mut access = access?;
        access.start_from(folder);
        let mut text = |entry: &Entry| Some(non_empty(entry, diagnostics)?.value);
        Some(Self::Redis(RedisSpec {
            key: key.and_then(&mut text)?,
            group: group.map_or_else(|| Some(CONSUMER.to_owned()), &mut text)?,
            consumer: consumer
                .map(&mut text)
                .map_or(Some(None), |name| name.map(Some))?,
            access,
        }))
    }

    /// Returns how its server is spoken to.
    pub const fn access(&self) -> &Access {
        match self {
            Self::Nats(nats) => &nats.access,
            Self::Redis(redis) => &redis.access,
            Self::Kafka(kafka) => &kafka.access,
        }
    }

    /// Returns the JSON schema of the key.
    pub(super) fn schema() -> Value {
        let text = || json!({ "type": "string" });
        let secret = || json!({ "type": "string", "pattern": "\\$\\{(file|env):" });
        let nats = object_with(
            &["nats", "stream"],
            json!({
                "nats": { "type": "string", "pattern": "^(nats|tls)://" },
                "stream": text(),
                "consumer": text(),
                "filter": text(),
                "user": text(),
                "password": secret(),
                "token": secret(),
                "creds": secret(),
                "tls": ClientTlsSpec::schema(),
            }),
        );
        let redis = object_with(
            &["redis", "key"],
            json!({
                "redis": { "type": "string", "pattern": "^rediss?://" },
                "key": text(),
                "group": text(),
                "consumer": text(),
                "user": text(),
                "password": secret(),
                "tls": ClientTlsSpec::schema(),
            }),
        );
        json!({ "anyOf": [nats, redis, KafkaSpec::schema()] })
    }
}

/// Reports a broker that this program cannot speak to.
fn lacks_feature(url: &Entry, broker: &str, has: bool, diagnostics: &mut Diagnostics) {
    if !has {
        let feature = &url.key.value;
        let message = format!("this program was built without {broker}");
        let help = format!("build motet with its feature `{feature}`");
        diagnostics.push(Diagnostic::error(url.key.span, message).help(help));
    }
}

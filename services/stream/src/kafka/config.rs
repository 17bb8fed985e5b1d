//! Settings of the library's clients.

use rdkafka::ClientConfig;

use crate::broker::BrokerError;
use crate::config::{KafkaSpec, Mechanism, Settings};

/// Longest that a transaction may be open, in milliseconds: brokers refuse more.
const TRANSACTION_MS_MAX: u128 = 15 * 60 * 1000;
/// Shortest: a slow broker must be able to store in it.
const TRANSACTION_MS_MIN: u128 = 10_000;
/// Time between two signs of life to the group, in milliseconds, at most.
const HEARTBEAT_MS_MAX: u128 = 3000;
/// Messages that wait in the library, in KiB: beside those that are in flight.
const QUEUED_KIB: &str = "16384";
/// Largest letter of this side, in bytes; brokers and topics have limits of their own.
const LETTER_BYTES_MAX: &str = "100000000";

/// Returns what consumer and producer have in common. Reads files and variables.
fn common(spec: &KafkaSpec) -> Result<ClientConfig, BrokerError> {
    let access = &spec.access;
    let text = |secret: &motet_runtime::config::Secret| secret.text().map_err(BrokerError::of);
    let url = text(&access.url)?;
    let is_tls = url.starts_with("tls://");
    let hosts = url.split(',').map(str::trim);
    let hosts = hosts.map(|host| host.split_once("://").map_or(host, |(_, host)| host));
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", hosts.collect::<Vec<_>>().join(","))
        .set("client.id", "motet")
        .set("log.connection.close", "false")
        .set("reconnect.backoff.max.ms", "2000");
    let mut protocol = match is_tls {
        true => "ssl",
        false => "plaintext",
    };
    if let (Some(user), Some(password)) = (&access.user, &access.password) {
        protocol = match is_tls {
            true => "sasl_ssl",
            false => "sasl_plaintext",
        };
        let mechanism = match spec.mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram256 => "SCRAM-SHA-256",
            Mechanism::Scram512 => "SCRAM-SHA-512",
        };
        config
            .set("sasl.mechanism", mechanism)
            .set("sasl.username", text(user)?)
            .set("sasl.password", text(password)?);
    }
    config.set("security.protocol", protocol);
    if let Some(tls) = access.tls.as_ref().map(|tls| &tls.value) {
        let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
        if let Some(ca) = &tls.ca {
            config.set("ssl.ca.location", path(ca));
        }
        if let Some((cert, key)) = &tls.identity {
            config.set("ssl.certificate.location", path(cert));
            config.set("ssl.key.location", path(key));
        }
    }
    Ok(config)
}

/// Returns the settings of the consumer.
pub(super) fn consumer(spec: &KafkaSpec, settings: &Settings) -> Result<ClientConfig, BrokerError> {
    let wait = settings.ack_wait.as_millis();
    let mut config = common(spec)?;
    config
        .set("group.id", &spec.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", wait.to_string())
        .set(
            "heartbeat.interval.ms",
            HEARTBEAT_MS_MAX.min(wait / 3).to_string(),
        )
        // Polls never wait for the pipeline: a process that does not poll is stuck.
        .set("max.poll.interval.ms", (wait * 2).to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", QUEUED_KIB)
        .set("fetch.queue.backoff.ms", "100");
    Ok(config)
}

/// Returns the settings of the producer, whose transactions are those of this name.
pub(super) fn producer(
    spec: &KafkaSpec,
    settings: &Settings,
    name: &str,
) -> Result<ClientConfig, BrokerError> {
    let wait = settings.ack_wait.as_millis();
    let open_most = wait.clamp(TRANSACTION_MS_MIN, TRANSACTION_MS_MAX);
    let mut config = common(spec)?;
    config
        .set("transactional.id", name)
        .set("transaction.timeout.ms", open_most.to_string())
        .set("message.max.bytes", LETTER_BYTES_MAX)
        // Keys go to the partitions where Kafka's own producer has them.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "0");
    Ok(config)
}

//! A topic of Kafka, as a stream names it.

use std::path::Path;

use motet_config::schema::object_with;
use motet_config::values::{non_empty, word};
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Spanned};
use motet_runtime::config::ClientTlsSpec;
use serde_json::{Value, json};

use super::{Access, CONSUMER};
use crate::config::target::topic;

/// A topic of Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaSpec {
    /// The brokers, and credentials.
    pub access: Access,
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The name in the group, one for each process; `None` for that of the machine.
    pub consumer: Option<String>,
    /// The way in which the password is shown to the brokers.
    pub mechanism: Mechanism,
}

/// A SASL mechanism: the way in which a password is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mechanism {
    /// As it is.
    #[default]
    Plain,
    /// By a proof, SCRAM-SHA-256.
    Scram256,
    /// By a proof, SCRAM-SHA-512.
    Scram512,
}

const MECHANISMS: [(&str, Mechanism); 3] = [
    ("plain", Mechanism::Plain),
    ("scram-sha-256", Mechanism::Scram256),
    ("scram-sha-512", Mechanism::Scram512),
];

impl KafkaSpec {
    /// Reads the keys beside `kafka`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        mut map: MapReader<'_>,
        url: &Entry,
        folder: &Path,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let topic_entry = map.required("topic", "the topic, such as `topic: tickets`");
        let (group, consumer) = (map.get("group"), map.get("consumer"));
        let mechanism = map.get("sasl");
        let access = Access::read(&mut map, url, &["kafka", "tls"], diagnostics);
        map.finish(diagnostics);
        let mut access = access?;
        access.start_from(folder);
        let mechanism = match mechanism {
            Some(entry) => Some(word(entry, &MECHANISMS, diagnostics)?),
            None => None,
        };
        check(url, &access, mechanism, diagnostics);
        let name = topic_entry.and_then(|entry| topic(entry, diagnostics));
        let mut text = |entry: &Entry| Some(non_empty(entry, diagnostics)?.value);
        Some(Self {
            topic: name?.value,
            group: group.map_or_else(|| Some(CONSUMER.to_owned()), &mut text)?,
            consumer: consumer
                .map(&mut text)
                .map_or(Some(None), |name| name.map(Some))?,
            mechanism: mechanism.map(|word| word.value).unwrap_or_default(),
            access,
        })
    }

    /// Returns the JSON schema of `from`.
    pub(super) fn schema() -> Value {
        let text = || json!({ "type": "string" });
        object_with(
            &["kafka", "topic"],
            json!({
                "kafka": { "type": "string", "pattern": "^(kafka|tls)://" },
                "topic": text(),
                "group": text(),
                "consumer": text(),
                "user": text(),
                "password": { "type": "string", "pattern": "\\$\\{(file|env):" },
                "sasl": { "enum": MECHANISMS.map(|(word, _)| word) },
                "tls": ClientTlsSpec::schema(),
            }),
        )
    }
}

/// Reports what contradicts each other, and what this program cannot do.
fn check(
    url: &Entry,
    access: &Access,
    mechanism: Option<Spanned<Mechanism>>,
    diagnostics: &mut Diagnostics,
) {
    let at = url.node.span;
    if access.shown != url.node.as_str().unwrap_or_default() {
        let message = "the address of Kafka has no user and no password";
        let help = "write `user` and `password: ${file:PATH}`";
        diagnostics.push(Diagnostic::error(at, message).help(help));
    }
    if access.user.is_some() != access.password.is_some() {
        let message = "Kafka needs both `user` and `password`, or neither";
        diagnostics.push(Diagnostic::error(at, message));
    }
    if let (Some(mechanism), None) = (&mechanism, &access.user) {
        let message = "`sasl` is for `user` and `password`";
        diagnostics.push(Diagnostic::error(mechanism.span, message));
    }
    // Proofs are computed by the library that has TLS.
    let scram = mechanism.filter(|word| word.value != Mechanism::Plain);
    let is_tls = access.shown.starts_with("tls://");
    let needs = scram.map(|word| word.span).or(is_tls.then_some(at));
    if let Some(at) = needs
        && !cfg!(feature = "kafka-tls")
    {
        let message = "this program was built without TLS and SCRAM for Kafka";
        let help = "build motet with its feature `kafka-tls`";
        diagnostics.push(Diagnostic::error(at, message).help(help));
    }
}

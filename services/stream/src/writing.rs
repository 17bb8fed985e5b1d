//! Answers and dead letters as they are stored.

use bytes::Bytes;
use motet_rows::{Answer, RowError};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{BrokerSpec, KEY_HEADER, KeySpec, StreamSpec};
use crate::core::Letter;
use crate::message::{Delivery, Headers, Parcel};

/// Header of the place that a message came from.
pub(crate) const SOURCE_HEADER: &str = "motet-source";
/// Header of the pipeline that answered.
pub(crate) const PIPELINE_HEADER: &str = "motet-pipeline";
/// Header of the nodes whose results are substitutes.
pub(crate) const DEGRADED_HEADER: &str = "motet-degraded";
/// Header of an error's code.
pub(crate) const CODE_HEADER: &str = "motet-error-code";
/// Header of an error's message.
pub(crate) const MESSAGE_HEADER: &str = "motet-error-message";
/// Header of the node that failed.
pub(crate) const NODE_HEADER: &str = "motet-error-node";
/// Header of the number of attempts.
pub(crate) const ATTEMPTS_HEADER: &str = "motet-attempts";

/// Most characters of an error's message in a header.
const MESSAGE_CHARS_MAX: usize = 1024;
/// Bytes of a digest that an identity has.
const ID_BYTES: usize = 16;
/// Headers of a broker's own, which do not go along.
const OWN_HEADERS: [&str; 2] = ["nats-", "motet-"];

/// Makes what is stored of messages.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    spec: StreamSpec,
    /// Digest of the pipeline that answers.
    digest: String,
}

impl Writer {
    pub(crate) const fn new(spec: StreamSpec, digest: String) -> Self {
        Self { spec, digest }
    }

    /// Returns an answer.
    pub(crate) fn answer(&self, delivery: &Delivery, key: Option<&str>, answer: &Answer) -> Parcel {
        let to = &self.spec.to;
        let mut headers = match to.with_headers {
            true => foreign(&delivery.message.headers),
            false => Headers::new(),
        };
        let mut own_key = None;
        if let (true, Some(key)) = (to.with_key, key) {
            match (&self.spec.from, &self.spec.key) {
                // As it is: it need not be a text.
                (BrokerSpec::Kafka(_), KeySpec::Record) => own_key = delivery.message.key.clone(),
                (BrokerSpec::Kafka(_), _) => own_key = Some(Bytes::copy_from_slice(key.as_bytes())),
                _ => {
                    headers.retain(|(name, _)| !name.eq_ignore_ascii_case(KEY_HEADER));
                    headers.push((KEY_HEADER.to_owned(), one_line(key)));
                }
            }
        }
        self.describe(delivery, &mut headers);
        if !answer.degraded.is_empty() {
            headers.push((DEGRADED_HEADER.to_owned(), answer.degraded.join(",")));
        }
        Parcel {
            place: to.place.value.clone(),
            key: own_key,
            id: self.id(delivery, Letter::Answer),
            headers,
            payload: Value::Object(answer.outputs.clone()).to_string().into(),
        }
    }

    /// Returns a dead letter: the message as it was, and the error in its headers.
    pub(crate) fn dead(&self, delivery: &Delivery, error: &RowError) -> Parcel {
        let mut headers = foreign(&delivery.message.headers);
        self.describe(delivery, &mut headers);
        headers.push((CODE_HEADER.to_owned(), error.code.name().to_owned()));
        headers.push((MESSAGE_HEADER.to_owned(), one_line(&error.message)));
        if let Some(node) = &error.node {
            headers.push((NODE_HEADER.to_owned(), one_line(node)));
        }
        headers.push((ATTEMPTS_HEADER.to_owned(), error.attempts.to_string()));
        Parcel {
            place: self.spec.dead.place.value.clone(),
            key: delivery.message.key.clone(),
            id: self.id(delivery, Letter::Dead),
            headers,
            payload: delivery.message.payload.clone(),
        }
    }

    fn describe(&self, delivery: &Delivery, headers: &mut Headers) {
        headers.push((SOURCE_HEADER.to_owned(), delivery.source.clone()));
        headers.push((PIPELINE_HEADER.to_owned(), self.spec.pipeline.value.clone()));
    }

    /// Returns the identity of what is stored: the same for the same message, pipeline and kind.
    fn id(&self, delivery: &Delivery, letter: Letter) -> String {
        let mut hasher = Sha256::new();
        for part in [delivery.source.as_str(), &self.digest, letter_word(letter)] {
            hasher.update(part);
            hasher.update([0]);
        }
        let digest = hasher.finalize();
        digest
            .iter()
            .take(ID_BYTES)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

const fn letter_word(letter: Letter) -> &'static str {
    match letter {
        Letter::Answer => "answer",
        Letter::Dead => "dead",
    }
}

/// Returns the headers that are neither the broker's nor motet's own.
fn foreign(headers: &Headers) -> Headers {
    let is_own = |name: &str| {
        let name = name.to_ascii_lowercase();
        OWN_HEADERS.iter().any(|start| name.starts_with(start))
    };
    headers
        .iter()
        .filter(|(name, _)| !is_own(name))
        .cloned()
        .collect()
}

/// Returns a text as the value of a header: in one line, and not too long.
fn one_line(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;

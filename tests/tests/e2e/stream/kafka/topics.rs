//! Topics of tests: written, read, counted.

use std::sync::Arc;
use std::time::Duration;

use motet_tests::wait::until;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use super::super::ledger::Ledger;
use super::PARTITIONS;

/// Time in which a server answers.
const WAIT: Duration = Duration::from_secs(10);
/// Time without anything from a broker after which it is not waited for.
const QUIET: Duration = Duration::from_secs(3);

/// A letter that was stored.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) payload: Vec<u8>,
    pub(super) key: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
}

impl Letter {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or(Value::Null)
    }

    /// Returns the number of the message that it is of: 7 for `m7` and `m7!`.
    fn number(&self) -> usize {
        let json = self.json();
        let text = json.get("loud").or_else(|| json.get("text"));
        let text = text.and_then(Value::as_str).expect("a text");
        text.trim_matches(['m', '!']).parse().expect("a number")
    }
}

/// Topics of a server.
#[derive(Clone)]
pub(super) struct Topics {
    pub(super) hosts: String,
    producer: Arc<BaseProducer>,
}

impl Topics {
    pub(super) fn new(hosts: String) -> Self {
        let producer = config(&hosts).create().expect("a producer");
        Self {
            producer: Arc::new(producer),
            hosts,
        }
    }

    pub(super) async fn create(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> =
            config(&self.hosts).create().expect("a client");
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let created = admin.create_topics(&[topic], &AdminOptions::new()).await;
        created.expect("an answer").remove(0).expect("a topic");
    }

    /// Sends a message to the partition of its number.
    pub(super) fn send(&self, number: usize, payload: &str, headers: &[(&str, &str)]) {
        let partition = i32::try_from(number).expect("small") % PARTITIONS;
        let key = format!("k{}", number % 8);
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| {
                let value = Some(*value);
                all.insert(Header { key, value })
            });
        let record = BaseRecord::to("tickets")
            .partition(partition)
            .key(&key)
            .payload(payload)
            .headers(headers);
        self.producer.send(record).expect("a record");
    }

    /// Sends messages `m0`, `m1` and so on; their keys are of one partition each.
    pub(super) async fn send_numbers(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.send(number, &format!("{{\"text\":\"m{number}\"}}"), &[]);
        }
        let producer = self.producer.clone();
        let sent = tokio::task::spawn_blocking(move || producer.flush(WAIT)).await;
        sent.expect("a thread").expect("all are sent");
    }

    /// Returns what was committed of a topic with one partition.
    pub(super) async fn letters(&self, topic: &'static str) -> Vec<Letter> {
        let hosts = self.hosts.clone();
        let read = tokio::task::spawn_blocking(move || read(&hosts, topic));
        read.await.expect("a thread")
    }

    pub(super) async fn ledger(&self, topic: &'static str) -> Ledger {
        let mut ledger = Ledger::default();
        for letter in self.letters(topic).await {
            ledger.add(letter.number());
        }
        ledger
    }

    /// Waits until a topic has so many letters.
    pub(super) async fn has(&self, topic: &'static str, count: usize) {
        let all = async || (self.letters(topic).await.len() >= count).then_some(());
        until(&format!("{count} letters in {topic}"), all).await;
    }

    /// Waits until the group is done with so many messages.
    pub(super) async fn are_done(&self, messages: usize) {
        until("the group's positions", async || {
            let topics = self.clone();
            let done = tokio::task::spawn_blocking(move || topics.positions()).await;
            (done.expect("a thread")? == messages).then_some(())
        })
        .await;
    }

    /// Returns the sum of the group's positions.
    fn positions(&self) -> Option<usize> {
        let mut config = config(&self.hosts);
        let consumer: BaseConsumer = config.set("group.id", "motet").create().ok()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range("tickets", 0, PARTITIONS - 1);
        let found = consumer.committed_offsets(asked, WAIT).ok()?;
        let elements = found.elements();
        let positions = elements.iter().map(|element| match element.offset() {
            Offset::Offset(position) => usize::try_from(position).unwrap_or(0),
            _ => 0,
        });
        Some(positions.sum())
    }
}

fn config(hosts: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", hosts);
    config
}

/// Reads a topic with one partition from its beginning.
fn read(hosts: &str, topic: &str) -> Vec<Letter> {
    let consumer: BaseConsumer = config(hosts)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut all = TopicPartitionList::new();
    let offset = Offset::Beginning;
    all.add_partition_offset(topic, 0, offset).expect("a place");
    consumer.assign(&all).expect("a partition");
    let mut letters = Vec::new();
    while let Some(record) = consumer.poll(QUIET) {
        let record = match record {
            Ok(record) => record,
            Err(KafkaError::PartitionEOF(_)) => break,
            // A broker that is away is asked again.
            Err(_) => continue,
        };
        let headers = record.headers().into_iter().flat_map(Headers::iter);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        letters.push(Letter {
            payload: record.payload().unwrap_or_default().to_vec(),
            key: record.key().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| {
                    (
                        header.key.to_owned(),
                        text(header.value.unwrap_or_default()),
                    )
                })
                .collect(),
        });
    }
    letters
}

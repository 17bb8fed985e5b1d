//! Kafka: what a stream does with records.
//!
//! Tansu, another server of Kafka's protocol, has groups and transactions: only what was committed
//! is read. The mock cluster of librdkafka has neither transactions that are undone nor positions
//! that transactions store; it fails on request (`mock`). Apache Kafka itself was never run here.

mod crashes;
mod mock;
mod records;
mod topics;

use std::net::SocketAddr;
use std::time::Duration;

use motet_tests::brokers::{Broker, free_address};
use motet_tests::tcp_proxy::TcpProxy;

use topics::Topics;

/// Partitions of the source.
const PARTITIONS: i32 = 4;

/// A Tansu server with the topics of these tests: `tickets`, `done` and `dead`.
struct Tansu {
    _broker: Broker,
    topics: Topics,
    /// The connections of motet, if they are to be cut.
    proxy: Option<TcpProxy>,
}

impl Tansu {
    async fn start() -> Option<Self> {
        let address = free_address();
        let broker = Broker::tansu(address, address).await?;
        Some(Self::with(broker, address, None).await)
    }

    /// Starts a server all of whose connections can be cut.
    async fn behind_proxy() -> Option<Self> {
        let address = free_address();
        let proxy = TcpProxy::start(address, Duration::ZERO).await;
        let seen_at = proxy.address;
        let broker = Broker::tansu(address, seen_at).await?;
        Some(Self::with(broker, seen_at, Some(proxy)).await)
    }

    async fn with(broker: Broker, address: SocketAddr, proxy: Option<TcpProxy>) -> Self {
        let topics = Topics::new(address.to_string());
        topics.create("tickets", PARTITIONS).await;
        topics.create("done", 1).await;
        topics.create("dead", 1).await;
        Self {
            _broker: broker,
            topics,
            proxy,
        }
    }
}

/// Returns a stream of a configuration, with more keys.
fn stream_at(hosts: &str, more: &str) -> String {
    format!(
        "  - stream: tickets\n    pipeline: shout\n    \
         from: {{ kafka: \"kafka://{hosts}\", topic: tickets, group: motet, consumer: one }}\n    \
         to: {{ topic: done, with: [key, headers] }}\n    \
         dead: {{ topic: dead, after: 3 }}\n{more}"
    )
}

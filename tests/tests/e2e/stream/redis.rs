//! Redis Streams: what a stream does with messages, and what crashes do to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use motet_tests::brokers::{Broker, free_address};
use motet_tests::http::{Metrics, get};
use motet_tests::tcp_proxy::TcpProxy;
use motet_tests::wait::until;
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, cmd};

use super::Configured;
use super::ledger::Ledger;

/// Messages of a test.
const MESSAGES: usize = 1500;

type Fields = BTreeMap<String, String>;

/// A Redis server with the streams of these tests: `tickets`, `done` and `dead`.
struct Redis {
    broker: Broker,
}

impl Redis {
    async fn start() -> Option<Self> {
        let broker = Broker::redis().await?;
        let redis = Self { broker };
        redis.ask::<String>(&cmd("PING")).await;
        Some(redis)
    }

    async fn try_connect(&self) -> Option<MultiplexedConnection> {
        let client = Client::open(format!("redis://{}", self.broker.address)).expect("an address");
        client.get_multiplexed_async_connection().await.ok()
    }

    async fn connect(&self) -> MultiplexedConnection {
        until("a connection", async || self.try_connect().await).await
    }

    /// Asks until there is an answer: the server may be loading what it had.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        until("an answer", async || {
            let mut connection = self.try_connect().await?;
            command.query_async::<T>(&mut connection).await.ok()
        })
        .await
    }

    /// Adds messages `m0`, `m1` and so on.
    async fn send_numbers(&self, numbers: std::ops::Range<usize>) {
        let mut connection = self.connect().await;
        for number in numbers {
            let mut add = cmd("XADD");
            add.arg("tickets")
                .arg("*")
                .arg("text")
                .arg(format!("m{number}"));
            add.arg("key").arg(format!("k{}", number % 5));
            add.query_async::<String>(&mut connection)
                .await
                .expect("added");
        }
    }

    async fn count(&self, key: &str) -> usize {
        self.ask(cmd("XLEN").arg(key)).await
    }

    async fn has(&self, key: &str, count: usize) {
        let all = async || (self.count(key).await >= count).then_some(());
        until(&format!("{count} letters in {key}"), all).await;
    }

    /// Waits until the group has nothing left, delivered or not.
    async fn is_empty(&self) {
        until("an empty source", async || {
            let groups: Vec<BTreeMap<String, redis::Value>> =
                self.ask(cmd("XINFO").arg("GROUPS").arg("tickets")).await;
            let number = |name: &str| {
                let value = groups.first()?.get(name)?.clone();
                u64::from_redis_value(value).ok()
            };
            (number("pending")? == 0 && number("lag")? == 0).then_some(())
        })
        .await;
    }

    async fn letters(&self, key: &str) -> Vec<Fields> {
        let all: Vec<(String, Fields)> = self.ask(cmd("XRANGE").arg(key).arg("-").arg("+")).await;
        all.into_iter().map(|(_, fields)| fields).collect()
    }

    async fn ledger(&self, key: &str) -> Ledger {
        let mut ledger = Ledger::default();
        for letter in self.letters(key).await {
            let text = letter
                .get("data")
                .or_else(|| letter.get("text"))
                .expect("a text");
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            ledger.add(digits.parse().expect("a number"));
        }
        ledger
    }

    fn stream(&self, more: &str) -> String {
        stream_at(self.broker.address, more)
    }
}

fn stream_at(address: SocketAddr, more: &str) -> String {
    format!(
        "  - stream: tickets\n    pipeline: shout\n    \
         from: {{ redis: \"redis://{address}\", key: tickets, group: motet, consumer: one }}\n    \
         to: {{ key: done, with: [key] }}\n    dead: {{ key: dead, after: 3 }}\n{more}"
    )
}

#[tokio::test]
async fn entries_are_answered_once_and_poison_is_a_dead_letter() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let mut connection = redis.connect().await;
    let mut poison = cmd("XADD");
    poison
        .arg("tickets")
        .arg("*")
        .arg("txt")
        .arg("x")
        .arg("tenant")
        .arg("t1");
    poison
        .query_async::<String>(&mut connection)
        .await
        .expect("added");
    redis.send_numbers(0..200).await;
    let file = Configured::new(&redis.stream("    in_flight: 4\n    ack_wait: 2s\n"));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    redis.has("done", 200).await;
    redis.is_empty().await;
    redis.ledger("done").await.is_exactly(0..200);
    let letter = &redis.letters("done").await[0];
    assert!(letter["data"].starts_with("{\"loud\":\"m"), "{letter:?}");
    assert!(
        letter["motet-source"].starts_with("redis:tickets/"),
        "{letter:?}"
    );
    assert!(letter["key"].starts_with('k'), "{letter:?}");
    let dead = redis.letters("dead").await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0]["txt"].as_str(), dead[0]["tenant"].as_str()),
        ("x", "t1")
    );
    assert_eq!(dead[0]["motet-error-code"], "INVALID_ARGUMENT");
    assert!(
        dead[0]["motet-error-message"].contains("input `text`"),
        "{dead:?}"
    );
    assert_eq!(dead[0]["motet-attempts"], "1");
    let labels = [("stream", "tickets")];
    until("the counts", async || {
        let metrics = Metrics::read(http).await;
        let found = [
            metrics.count("motet_stream_answered_total", &labels),
            metrics.count("motet_stream_dead_total", &labels),
            metrics.count("motet_stream_in_flight", &labels),
        ];
        (found == [200.0, 1.0, 0.0]).then_some(())
    })
    .await;
    motet.signal("TERM");
    assert_eq!(motet.end().await.code, Some(0));
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_and_doubles_nothing_and_keeps_its_order() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    redis.send_numbers(0..MESSAGES).await;
    let file = Configured::new(&redis.stream("    order: key\n    ack_wait: 1s\n"));
    for kill in 1..=5 {
        let mut motet = file.start();
        motet.ready_http().await;
        redis.has("done", kill * 150).await;
        motet.kill().await;
    }
    let mut motet = file.start();
    motet.ready_http().await;
    redis.has("done", MESSAGES).await;
    redis.is_empty().await;
    let ledger = redis.ledger("done").await;
    ledger.is_exactly(0..MESSAGES);
    for key in 0..5 {
        let of_key = ledger.order().iter().filter(|number| *number % 5 == key);
        let order: Vec<_> = of_key.collect();
        assert!(order.is_sorted(), "key {key}: {order:?}");
    }
    assert_eq!(redis.count("dead").await, 0);
}

#[tokio::test]
async fn another_process_takes_over_what_a_dead_one_held() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    redis.send_numbers(0..600).await;
    let stream = redis.stream("    ack_wait: 1s\n    in_flight: 50\n");
    let (one, two) = (
        Configured::new(&stream),
        Configured::new(&stream.replace("consumer: one", "consumer: two")),
    );
    let mut first = one.start();
    let mut second = two.start();
    first.ready_http().await;
    second.ready_http().await;
    redis.has("done", 100).await;
    first.kill().await;
    redis.has("done", 600).await;
    redis.is_empty().await;
    redis.ledger("done").await.is_exactly(0..600);
}

#[tokio::test]
async fn a_broker_that_is_killed_comes_back_to_everything() {
    // With one place, most kills find it taken: no messages are asked for then.
    for in_flight in [50, 1] {
        let Some(redis) = Redis::start().await else {
            return;
        };
        is_killed(redis, in_flight).await;
    }
}

async fn is_killed(mut redis: Redis, in_flight: usize) {
    redis.send_numbers(0..MESSAGES).await;
    let keys = format!("    ack_wait: 2s\n    in_flight: {in_flight}\n");
    let file = Configured::new(&redis.stream(&keys));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    for kill in 1..=2 {
        redis.has("done", kill * 200).await;
        redis.broker.kill().await;
        until("not ready", async || {
            let page = get(http, "/readyz").await?;
            (page.0 == 503 && page.1.contains("stream:tickets")).then_some(())
        })
        .await;
        redis.broker.restart().await;
    }
    redis.has("done", MESSAGES).await;
    redis.is_empty().await;
    redis.ledger("done").await.is_exactly(0..MESSAGES);
    assert_eq!(redis.count("dead").await, 0);
}

#[tokio::test]
async fn a_network_that_breaks_loses_and_doubles_nothing() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    redis.send_numbers(0..MESSAGES).await;
    let proxy = TcpProxy::start(redis.broker.address, Duration::from_millis(2)).await;
    let stream = stream_at(proxy.address, "    ack_wait: 2s\n    in_flight: 50\n");
    let file = Configured::new(&stream);
    let mut motet = file.start();
    motet.ready_http().await;
    for cut in 1..=5 {
        redis.has("done", cut * 200).await;
        proxy.reset();
    }
    redis.has("done", MESSAGES).await;
    redis.is_empty().await;
    redis.ledger("done").await.is_exactly(0..MESSAGES);
    assert_eq!(redis.count("dead").await, 0);
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for() {
    let file = Configured::new(&stream_at(free_address(), ""));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    motet.says("cannot be reached").await;
    assert_eq!(get(http, "/readyz").await.expect("HTTP").0, 503);
    motet.signal("TERM");
    assert_eq!(motet.end().await.code, Some(0));
}

#[tokio::test]
async fn a_drain_gives_back_what_has_not_begun() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    redis.send_numbers(0..2000).await;
    // Whatever a drain forgets comes back after this test is over.
    let stream = redis.stream("    order: partition\n    ack_wait: 10m\n");
    let file = Configured::new(&stream);
    let mut motet = file.start();
    motet.ready_http().await;
    redis.has("done", 100).await;
    motet.signal("TERM");
    let ended = motet.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        redis.count("done").await < 2000,
        "all were answered before the drain"
    );
    let other = Configured::new(&stream.replace("consumer: one", "consumer: two"));
    let mut motet = other.start();
    motet.ready_http().await;
    redis.has("done", 2000).await;
    redis.is_empty().await;
    redis.ledger("done").await.is_exactly(0..2000);
}

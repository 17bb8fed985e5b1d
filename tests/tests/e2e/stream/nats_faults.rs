//! NATS JetStream: crashes and partitions.

use std::time::Duration;

use motet_tests::brokers::free_address;
use motet_tests::http::get;
use motet_tests::tcp_proxy::TcpProxy;
use motet_tests::wait::until;

use super::Configured;
use super::nats::{Nats, stream_at};

/// Messages of a test.
const MESSAGES: usize = 1500;

#[tokio::test]
async fn a_worker_that_is_killed_loses_and_doubles_nothing() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    nats.send_numbers(0..MESSAGES).await;
    let file = Configured::new(&nats.stream("    ack_wait: 1s\n    in_flight: 100\n"));
    for kill in 1..=5 {
        let mut motet = file.start();
        motet.ready_http().await;
        nats.has("DONE", kill * 150).await;
        motet.kill().await;
    }
    let mut motet = file.start();
    motet.ready_http().await;
    nats.has("DONE", MESSAGES as u64).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..MESSAGES);
    assert_eq!(nats.count("DEAD").await, 0);
}

#[tokio::test]
async fn messages_of_a_key_keep_their_order_through_a_crash() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    nats.send_numbers(0..400).await;
    let file = Configured::new(&nats.stream("    order: key\n    ack_wait: 1s\n"));
    let mut motet = file.start();
    motet.ready_http().await;
    nats.has("DONE", 100).await;
    motet.kill().await;
    let mut motet = file.start();
    motet.ready_http().await;
    nats.has("DONE", 400).await;
    nats.is_empty().await;
    let ledger = nats.ledger("DONE").await;
    ledger.is_exactly(0..400);
    for key in 0..5 {
        let of_key = ledger.order().iter().filter(|number| *number % 5 == key);
        let order: Vec<_> = of_key.collect();
        assert!(order.is_sorted(), "key {key}: {order:?}");
    }
}

#[tokio::test]
async fn a_broker_that_is_killed_comes_back_to_everything() {
    // With one place, most kills find it taken: no messages are asked for then.
    for in_flight in [50, 1] {
        let Some(nats) = Nats::start().await else {
            return;
        };
        is_killed(nats, in_flight).await;
    }
}

async fn is_killed(mut nats: Nats, in_flight: usize) {
    nats.send_numbers(0..MESSAGES).await;
    let keys = format!("    ack_wait: 2s\n    in_flight: {in_flight}\n");
    let file = Configured::new(&nats.stream(&keys));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    for kill in 1..=2 {
        nats.has("DONE", kill * 200).await;
        nats.broker.kill().await;
        until("not ready", async || {
            let page = get(http, "/readyz").await?;
            (page.0 == 503 && page.1.contains("stream:tickets")).then_some(())
        })
        .await;
        nats.broker.restart().await;
    }
    nats.has("DONE", MESSAGES as u64).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..MESSAGES);
    assert_eq!(nats.count("DEAD").await, 0);
    motet.signal("TERM");
    assert_eq!(motet.end().await.code, Some(0));
}

#[tokio::test]
async fn a_network_that_breaks_loses_and_doubles_nothing() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    nats.send_numbers(0..MESSAGES).await;
    let proxy = TcpProxy::start(nats.broker.address, Duration::from_millis(2)).await;
    let stream = stream_at(proxy.address, "    ack_wait: 2s\n    in_flight: 50\n");
    let file = Configured::new(&stream);
    let mut motet = file.start();
    motet.ready_http().await;
    for cut in 1..=5 {
        nats.has("DONE", cut * 200).await;
        proxy.reset();
    }
    nats.has("DONE", MESSAGES as u64).await;
    nats.is_empty().await;
    nats.ledger("DONE").await.is_exactly(0..MESSAGES);
    assert_eq!(nats.count("DEAD").await, 0);
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for() {
    let absent = free_address();
    let file = Configured::new(&stream_at(absent, ""));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    motet.says("cannot be reached").await;
    assert_eq!(get(http, "/readyz").await.expect("HTTP").0, 503);
    motet.signal("TERM");
    let ended = motet.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn what_a_broker_lacks_is_said_and_waited_for() {
    let Some(nats) = Nats::start().await else {
        return;
    };
    for (from, to, expected) in [
        (
            "stream: TICKETS",
            "stream: ABSENT",
            "the stream `ABSENT` cannot be used",
        ),
        (
            "tickets.done",
            "tickets.gone",
            "no stream keeps the subject `tickets.gone`",
        ),
    ] {
        let file = Configured::new(&nats.stream("").replace(from, to));
        let mut motet = file.start();
        motet.ready_http().await;
        motet.says(expected).await;
    }
}

//! Crashes, rebalances and cuts, with transactions: 0 lost, 0 doubled.

use super::super::Configured;
use super::super::ledger::Ledger;
use super::{Tansu, stream_at};

/// Messages of a test.
const MESSAGES: usize = 1600;

/// Checks that messages of a key have their letters in their order.
fn is_in_order(ledger: &Ledger) {
    for key in 0..8 {
        let of_key = ledger.order().iter().filter(|number| *number % 8 == key);
        let order: Vec<_> = of_key.collect();
        assert!(order.is_sorted(), "key {key}: {order:?}");
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_and_doubles_nothing_and_keeps_its_order() {
    let Some(tansu) = Tansu::start().await else {
        return;
    };
    let topics = &tansu.topics;
    topics.send_numbers(0..MESSAGES).await;
    let keys = "    order: key\n    ack_wait: 1s\n    in_flight: 40\n";
    let file = Configured::new(&stream_at(&topics.hosts, keys));
    for kill in 1..=3 {
        let mut motet = file.start();
        motet.ready_http().await;
        topics.has("done", kill * 150).await;
        motet.kill().await;
    }
    let mut motet = file.start();
    motet.ready_http().await;
    topics.has("done", MESSAGES).await;
    topics.are_done(MESSAGES).await;
    let ledger = topics.ledger("done").await;
    ledger.is_exactly(0..MESSAGES);
    is_in_order(&ledger);
    assert_eq!(topics.letters("dead").await.len(), 0);
}

#[tokio::test]
async fn partitions_go_from_process_to_process_without_a_loss() {
    let Some(tansu) = Tansu::start().await else {
        return;
    };
    let topics = &tansu.topics;
    topics.send_numbers(0..MESSAGES).await;
    let keys = "    order: key\n    ack_wait: 1s\n    in_flight: 10\n";
    let stream = stream_at(&topics.hosts, keys);
    let one = Configured::new(&stream);
    let two = Configured::new(&stream.replace("consumer: one", "consumer: two"));
    let mut first = one.start();
    first.ready_http().await;
    topics.has("done", 100).await;
    // Another one comes, ...
    let mut second = two.start();
    second.ready_http().await;
    topics.has("done", 500).await;
    // ... the first leaves and comes again, ...
    first.signal("TERM");
    assert_eq!(first.end().await.code, Some(0));
    topics.has("done", 800).await;
    let mut first = one.start();
    first.ready_http().await;
    topics.has("done", 1000).await;
    // ... and the second dies.
    second.kill().await;
    topics.has("done", MESSAGES).await;
    topics.are_done(MESSAGES).await;
    let ledger = topics.ledger("done").await;
    ledger.is_exactly(0..MESSAGES);
    is_in_order(&ledger);
}

#[tokio::test]
async fn a_network_that_breaks_loses_and_doubles_nothing() {
    let Some(tansu) = Tansu::behind_proxy().await else {
        return;
    };
    let topics = &tansu.topics;
    topics.send_numbers(0..MESSAGES).await;
    let keys = "    ack_wait: 2s\n    in_flight: 50\n";
    let file = Configured::new(&stream_at(&topics.hosts, keys));
    let mut motet = file.start();
    motet.ready_http().await;
    for cut in 1..=5 {
        topics.has("done", cut * 200).await;
        tansu.proxy.as_ref().expect("a proxy").reset();
    }
    topics.has("done", MESSAGES).await;
    topics.are_done(MESSAGES).await;
    topics.ledger("done").await.is_exactly(0..MESSAGES);
    assert_eq!(topics.letters("dead").await.len(), 0);
}

#[tokio::test]
async fn a_drain_takes_no_more_and_leaves_nothing_half() {
    let Some(tansu) = Tansu::start().await else {
        return;
    };
    let topics = &tansu.topics;
    topics.send_numbers(0..MESSAGES).await;
    let stream = stream_at(&topics.hosts, "    ack_wait: 2s\n    in_flight: 16\n");
    let file = Configured::new(&stream);
    let mut motet = file.start();
    motet.ready_http().await;
    topics.has("done", 100).await;
    motet.signal("TERM");
    let ended = motet.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let answered = topics.letters("done").await.len();
    assert!(answered < MESSAGES, "all were answered before the drain");
    topics.are_done(answered).await;
    let other = Configured::new(&stream.replace("consumer: one", "consumer: two"));
    let mut motet = other.start();
    motet.ready_http().await;
    topics.has("done", MESSAGES).await;
    topics.are_done(MESSAGES).await;
    topics.ledger("done").await.is_exactly(0..MESSAGES);
}

//! Faults that brokers of the mock cluster show on request.
//!
//! The cluster keeps what an aborted transaction wrote, and keeps no positions that transactions
//! store: nothing is lost is what these tests can tell.

use std::time::Duration;

use motet_tests::http::{Metrics, get};
use motet_tests::wait::until;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Fault};

use super::super::Configured;
use super::topics::Topics;
use super::{PARTITIONS, stream_at};

/// Brokers of a cluster.
const BROKERS: i32 = 3;
/// Messages of a test.
const MESSAGES: usize = 400;

/// A mock cluster with the topics of these tests.
struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topics: Topics,
}

impl Mock {
    fn start() -> Self {
        let cluster = MockCluster::new(BROKERS).expect("a cluster");
        for (topic, partitions) in [("tickets", PARTITIONS), ("done", 1), ("dead", 1)] {
            cluster
                .create_topic(topic, partitions, BROKERS)
                .expect("a topic");
        }
        let topics = Topics::new(cluster.bootstrap_servers());
        Self { cluster, topics }
    }

    fn stream(&self, more: &str) -> String {
        stream_at(&self.topics.hosts, more)
    }

    /// Lets the next requests of a kind fail.
    fn fail(&self, request: Request, faults: &[Fault]) {
        self.cluster.request_errors(request, faults);
    }
}

#[tokio::test]
async fn brokers_that_go_and_come_back_lose_nothing() {
    let mock = Mock::start();
    let topics = &mock.topics;
    topics.send_numbers(0..MESSAGES).await;
    let file = Configured::new(&mock.stream("    in_flight: 20\n    ack_wait: 6s\n"));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    topics.has("done", 100).await;
    for broker in 1..=BROKERS {
        mock.cluster.broker_down(broker).expect("down");
    }
    until("not ready", async || {
        let page = get(http, "/readyz").await?;
        (page.0 == 503 && page.1.contains("stream:tickets")).then_some(())
    })
    .await;
    for broker in 1..=BROKERS {
        mock.cluster.broker_up(broker).expect("up");
    }
    until("all of them", async || {
        let ledger = topics.ledger("done").await;
        ledger.has_all(0..MESSAGES).then_some(())
    })
    .await;
    until("ready again", async || {
        get(http, "/readyz").await.filter(|page| page.0 == 200)
    })
    .await;
    motet.signal("TERM");
    assert_eq!(motet.end().await.code, Some(0));
}

#[tokio::test]
async fn requests_that_fail_are_made_again() {
    for (request, faults) in [
        (
            Request::Produce,
            &[
                Fault::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                Fault::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            ][..],
        ),
        (
            Request::Produce,
            &[Fault::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
        ),
        (
            Request::Produce,
            &[Fault::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
        ),
        (
            Request::TxnOffsetCommit,
            &[
                Fault::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                Fault::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
            ],
        ),
        (
            Request::TxnOffsetCommit,
            &[Fault::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED],
        ),
        (
            Request::AddPartitionsToTxn,
            &[Fault::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS],
        ),
        (
            Request::EndTxn,
            &[
                Fault::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                Fault::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            ],
        ),
        (Request::EndTxn, &[Fault::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]),
        (
            Request::EndTxn,
            &[Fault::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING],
        ),
        (
            Request::Fetch,
            &[Fault::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION],
        ),
        (
            Request::Heartbeat,
            &[Fault::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID],
        ),
        (
            Request::OffsetFetch,
            &[Fault::RD_KAFKA_RESP_ERR_NOT_COORDINATOR],
        ),
    ] {
        let mock = Mock::start();
        let topics = &mock.topics;
        topics.send_numbers(0..MESSAGES).await;
        // The cluster gives up members that join for longer than a short session.
        let file = Configured::new(&mock.stream("    in_flight: 20\n    ack_wait: 6s\n"));
        let mut motet = file.start();
        motet.ready_http().await;
        topics.has("done", 50).await;
        mock.fail(request, faults);
        let what = format!("all of them after {request:?} {faults:?}");
        until(&what, async || {
            let ledger = topics.ledger("done").await;
            ledger.has_all(0..MESSAGES).then_some(())
        })
        .await;
        assert_eq!(topics.letters("dead").await.len(), 0, "{request:?}");
        motet.signal("TERM");
        let ended = motet.end().await;
        assert_eq!(ended.code, Some(0), "{request:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn brokers_far_away_are_slow_and_nothing_else() {
    let mock = Mock::start();
    for broker in 1..=BROKERS {
        let far = mock
            .cluster
            .broker_round_trip_time(broker, Duration::from_millis(50));
        far.expect("a time");
    }
    let topics = &mock.topics;
    topics.send_numbers(0..200).await;
    let file = Configured::new(&mock.stream("    in_flight: 30\n"));
    let mut motet = file.start();
    let http = motet.ready_http().await;
    topics.has("done", 200).await;
    topics.ledger("done").await.is_exactly(0..200);
    let labels = [("stream", "tickets")];
    until("no lag", async || {
        let metrics = Metrics::read(http).await;
        (metrics.value("motet_stream_lag", &labels)? == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_letter_that_is_refused_is_a_dead_letter() {
    let mock = Mock::start();
    let topics = &mock.topics;
    topics.send_numbers(0..2).await;
    mock.fail(
        Request::Produce,
        &[Fault::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    let file = Configured::new(&mock.stream("    in_flight: 1\n"));
    let mut motet = file.start();
    motet.ready_http().await;
    topics.has("dead", 1).await;
    let dead = topics.letters("dead").await;
    assert_eq!(
        dead[0].header("motet-error-code"),
        Some("RESOURCE_EXHAUSTED")
    );
    let reason = dead[0].header("motet-error-message").expect("a reason");
    assert!(reason.contains("the answer cannot be stored"), "{reason}");
    topics.has("done", 1).await;
}

#[tokio::test]
async fn what_a_broker_lacks_is_said_and_waited_for() {
    let mock = Mock::start();
    for (from, to, expected) in [
        (
            "topic: tickets",
            "topic: absent",
            "the topic `absent` cannot be used",
        ),
        (
            "topic: done",
            "topic: gone",
            "the topic `gone` cannot be used",
        ),
    ] {
        let file = Configured::new(&mock.stream("").replace(from, to));
        let mut motet = file.start();
        motet.ready_http().await;
        motet.says(expected).await;
    }
}

use std::time::Duration;

use motet_runtime::serve::{Drained, ServeOptions, Server};
use motet_runtime::shutdown;
use tokio::net::TcpStream;
use tonic::Code;
use tonic::service::Routes;

use crate::guinea::{Event, Guinea};
use crate::harness::{start, start_with};

#[tokio::test]
async fn a_busy_port_is_one_clear_error() {
    let server = start().await;
    let error = Server::bind(server.addr, ServeOptions::default())
        .await
        .expect_err("taken");
    let text = error.to_string();
    assert!(text.contains(&server.addr.to_string()), "{text}");
    assert!(text.contains("another program has this port"), "{text}");
    assert!(!text.contains('\n'), "{text}");
    let nowhere = "192.0.2.1:0".parse().expect("an address");
    let error = Server::bind(nowhere, ServeOptions::default())
        .await
        .expect_err("not ours");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[tokio::test]
async fn handlers_know_their_peer() {
    let server = start().await;
    assert_eq!(
        server.client().await.say("peer").await.expect("answers"),
        "true"
    );
}

#[tokio::test]
async fn calls_in_flight_finish_and_nothing_new_is_accepted() {
    let mut server = start().await;
    let client = server.client().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.say("wait").await }
    });
    assert_eq!(server.next_event().await, Event::Began);

    server.health.set("", true);
    shutdown::drain(&server.health, &server.shutdown, Duration::ZERO).await;
    assert_eq!(server.health.is_serving(""), Some(false));
    // The listener closes once the server has seen the token.
    while TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished(), "a call is in flight");

    server.release.send_replace(true);
    assert_eq!(waiting.await.expect("ran").expect("answers"), "released");
    assert_eq!(server.task.await.expect("ran"), Drained { dropped: 0 });
}

#[tokio::test]
async fn what_outlives_the_grace_period_is_dropped_and_counted() {
    let options = ServeOptions {
        grace: Duration::from_secs(60),
        ..ServeOptions::default()
    };
    let mut server = start_with(10, options).await;
    let calls = [
        server.client().await,
        server.client().await,
        server.client().await,
    ]
    .map(|client| tokio::spawn(async move { client.say("hang").await }));
    for _ in &calls {
        assert_eq!(server.next_event().await, Event::Began);
    }
    server.shutdown.cancel();
    tokio::time::pause(); // goes straight to the end of the grace period
    assert_eq!(server.task.await.expect("ran"), Drained { dropped: 3 });
    for _ in &calls {
        assert_eq!(server.events.recv().await, Some(Event::Dropped));
    }
    for call in calls {
        call.await.expect("ran").expect_err("dropped");
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_server() {
    let server = start().await;
    let client = server.client().await;
    client.say("x").await.expect("answers");
    let silent = TcpStream::connect(server.addr).await.expect("connects");
    server.shutdown.cancel();
    assert_eq!(server.task.await.expect("ran"), Drained::default());
    drop(silent);
}

#[tokio::test]
async fn routes_are_swapped_while_serving() {
    let mut server = start().await;
    let client = server.client().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.say("wait").await }
    });
    assert_eq!(server.next_event().await, Event::Began);
    let newer = Guinea {
        greeting: "good day",
        ..server.guinea.clone()
    };
    server.routes.set(Routes::new(newer));
    assert_eq!(client.say("x").await.expect("answers"), "good day x");
    server.routes.set(Routes::default());
    let gone = client.say("x").await.expect_err("unloaded");
    assert_eq!(gone.code(), Code::Unimplemented);
    server.release.send_replace(true);
    assert_eq!(
        waiting.await.expect("ran").expect("runs to its end"),
        "released"
    );
}

use std::process::Stdio;
use std::time::Duration;

use motet_runtime::serve::{Drained, ServeOptions, Server};
use motet_runtime::shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tonic::Code;
use tonic::service::Routes;

use crate::harness::{Client, start, start_with};
use crate::test_service::{Event, TestService};

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
async fn a_connection_that_says_nothing_is_closed() {
    let options = ServeOptions {
        keep_alive_timeout: Duration::from_millis(1),
        ..ServeOptions::default()
    };
    let server = start_with(100, options).await;
    let mut silent = TcpStream::connect(server.addr).await.expect("connects");
    let read = silent.read(&mut [0; 1]).await.expect("an orderly end");
    assert_eq!(read, 0);
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
    let newer = TestService {
        greeting: "good day",
        ..server.service.clone()
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

/// Not a test of its own: a process that serves until it gets a signal, and then drains.
#[tokio::test]
#[ignore = "run by the other tests here"]
async fn child() {
    let server = start().await;
    let signal = shutdown::signal();
    let mut events = server.events;
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("event {event:?}");
        }
    });
    println!("\nready {}", server.addr);
    let signal = signal.await.expect("signals can be heard");
    println!("got {signal}");
    shutdown::drain(&server.health, &server.shutdown, Duration::ZERO).await;
    println!("ended {:?}", server.task.await.expect("ran"));
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start() -> Self {
        let exe = std::env::current_exe().expect("this test's binary");
        let mut child = Command::new(exe)
            .args(["serve::child", "--exact", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let stdout = child.stdout.take().expect("piped");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// What follows `prefix` on the next line that begins with it.
    async fn line(&mut self, prefix: &str) -> String {
        while let Some(line) = self.lines.next_line().await.expect("text") {
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
        panic!("the process ended without a line {prefix:?}");
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.expect("kill runs").success());
    }
}

#[tokio::test]
async fn a_signal_drains_the_process() {
    for (name, shown) in [("TERM", "SIGTERM"), ("INT", "SIGINT")] {
        let mut process = Process::start();
        process.line("ready ").await;
        process.signal(name).await;
        assert_eq!(process.line("got ").await, shown);
        assert_eq!(process.line("ended ").await, "Drained { dropped: 0 }");
        assert!(process.child.wait().await.expect("ended").success());
    }
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_that_hangs() {
    let mut process = Process::start();
    let addr = process.line("ready ").await.parse().expect("an address");
    let client = Client::connect(addr).await;
    let hanging = tokio::spawn(async move { client.say("hang").await });
    assert_eq!(process.line("event ").await, "Began");
    process.signal("TERM").await;
    process.line("got ").await;
    process.signal("TERM").await;
    let status = process.child.wait().await.expect("ended");
    assert_eq!(status.code(), Some(130));
    hanging.await.expect("ran").expect_err("cut off");
}

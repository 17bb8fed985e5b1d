use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use motet_runtime::health::{Health, HealthListRequest};
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_runtime::serve::{Drained, ServeOptions, Server};
use motet_runtime::shutdown;
use motet_runtime::status::Reason;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status, Streaming};

use crate::harness::{Client, TestServer, loopback, start, start_with};
use crate::test_service::{EACH, Event, TestService, UNARY};

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

/// Opens a stream whose requests run side by side.
async fn each(server: &TestServer) -> (mpsc::Sender<String>, Streaming<String>) {
    let (requests, messages) = mpsc::channel(8);
    let messages = tonic::Request::new(ReceiverStream::new(messages));
    let answers = server.client().await.stream_of(EACH, messages).await;
    (requests, answers.expect("it begins"))
}

fn assert_draining(error: &Status) {
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert_eq!(Reason::of(error), Some(Reason::Draining), "{error}");
}

#[tokio::test]
async fn an_idle_stream_ends_when_the_server_shuts_down() {
    let server = start().await;
    let (_requests, mut unused) = each(&server).await;
    let (requests, mut used) = each(&server).await;
    requests.send("x".to_owned()).await.expect("it is read");
    let answer = used.message().await.expect("an answer");
    assert_eq!(answer.as_deref(), Some("hello x"));
    server.shutdown.cancel();
    for answers in [&mut unused, &mut used] {
        assert_draining(&answers.message().await.expect_err("it ends"));
    }
    assert_eq!(server.task.await.expect("ran"), Drained { dropped: 0 });
}

#[tokio::test]
async fn a_stream_answers_what_it_has_read_before_the_server_ends() {
    let mut server = start().await;
    let (requests, mut answers) = each(&server).await;
    requests.send("wait".to_owned()).await.expect("it is read");
    assert_eq!(server.next_event().await, Event::Began);
    server.shutdown.cancel();
    while TcpStream::connect(server.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.task.is_finished(), "a request is in flight");
    server.release.send_replace(true);
    let answer = answers.message().await.expect("an answer");
    assert_eq!(answer.as_deref(), Some("released"));
    assert_draining(&answers.message().await.expect_err("it ends"));
    assert_eq!(server.task.await.expect("ran"), Drained { dropped: 0 });
}

/// Sends these bytes to a gRPC port and reads what it answers until it closes the connection.
async fn http1(http_port: Option<SocketAddr>, request: &str) -> String {
    let server = Server::bind(loopback(), ServeOptions::default()).await;
    let server = server.expect("a free port").with_http_port(http_port);
    let addr = server.local_addr();
    let shutdown = CancellationToken::new();
    let running = server.spawn(LiveRoutes::new(Routes::default()), shutdown.clone());
    let mut client = TcpStream::connect(addr).await.expect("connects");
    client.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("text");
    shutdown.cancel();
    running.await.expect("ran");
    answer
}

#[tokio::test]
async fn an_http_1_client_of_the_grpc_port_gets_a_readable_error() {
    let get = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /test.TestService/Unary HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], 8080));
    for (port, request, named) in [
        (Some(elsewhere), get, "http://127.0.0.1:8080/"),
        (None, get, "no HTTP/1.1 port"),
        (Some(elsewhere), post, "http://127.0.0.1:8080/"),
    ] {
        let answer = http1(port, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("speaks gRPC: HTTP/2"), "{answer}");
        assert!(answer.contains(named), "{answer}");
    }
    // Neither protocol, a TLS client for one, still ends in an orderly way.
    let answer = http1(None, "\x16\x03\x01\x02 hello\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

fn two_connections() -> ServeOptions {
    ServeOptions {
        max_connections: 2,
        ..ServeOptions::default()
    }
}

#[tokio::test]
async fn the_connection_that_is_idle_for_longest_makes_room_for_another() {
    let mut server = start_with(100, two_connections()).await;
    let busy = server.client().await;
    let waiting = tokio::spawn(async move { busy.say("wait").await });
    assert_eq!(server.next_event().await, Event::Began);
    let mut others = Vec::new();
    for _ in 0..5 {
        let other = server.client().await;
        assert_eq!(other.say("x").await.expect("answers"), "hello x");
        others.push(other);
    }
    let cut = "motet_server_cut_total{reason=\"idle_connection\"}";
    assert_eq!(server.metric(cut), 4);
    server
        .until("two are left", |s| {
            s.metric("motet_server_connections") == 2
        })
        .await;
    // An open stream without a request in flight is idle, too.
    let (_requests, mut answers) = each(&server).await;
    let next = server.client().await;
    assert_eq!(next.say("x").await.expect("answers"), "hello x");
    assert_draining(&answers.message().await.expect_err("it made room"));
    server.release.send_replace(true);
    assert_eq!(waiting.await.expect("ran").expect("answers"), "released");
}

#[tokio::test]
async fn where_no_connection_is_idle_a_new_one_waits() {
    let mut server = start_with(100, two_connections()).await;
    let busy = [server.client().await, server.client().await]
        .map(|client| tokio::spawn(async move { client.say("wait").await }));
    for _ in &busy {
        assert_eq!(server.next_event().await, Event::Began);
    }
    // The kernel accepts it, and the server does not take it up.
    let third = server.client().await;
    let mut waiting = tokio::spawn(async move { third.say("x").await });
    let silence = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(silence.is_err(), "{silence:?}");
    server.release.send_replace(true);
    for busy in busy {
        assert_eq!(busy.await.expect("ran").expect("answers"), "released");
    }
    let answer = waiting.await.expect("ran").expect("answers");
    assert_eq!(answer, "hello x");
}

#[tokio::test]
async fn a_client_that_resets_its_calls_is_slowed_and_others_are_not() {
    let options = ServeOptions {
        max_resets_per_second: 100,
        ..ServeOptions::default()
    };
    let server = start_with(100, options).await;
    let other = server.client().await;
    let client = server.client().await;
    for _ in 0..20 {
        for _ in 0..20 {
            let client = client.clone();
            let call = tokio::spawn(async move { client.say("hang").await });
            tokio::task::yield_now().await;
            call.abort();
        }
        assert_eq!(other.say("x").await.expect("answers"), "hello x");
    }
    server
        .until("it is slowed", |s| {
            s.metric("motet_server_slowed_total") > 0
        })
        .await;
    assert_eq!(client.say("x").await.expect("it is not ended"), "hello x");
}

#[tokio::test]
async fn a_client_that_goes_on_to_reset_its_calls_is_told_to_stay_calm() {
    let options = ServeOptions {
        max_resets_per_second: 10,
        resets_endured: Duration::ZERO,
        ..ServeOptions::default()
    };
    let server = start_with(100, options).await;
    let settings = http2::Builder::new(TokioExecutor::new());
    let (client, connection) = Client::connect_watched(server.addr, &settings).await;
    for _ in 0..100 {
        let client = client.clone();
        let call = tokio::spawn(async move { client.try_bytes(UNARY, Body::empty()).await });
        tokio::task::yield_now().await;
        call.abort();
    }
    let error = connection.await.expect("ran").expect_err("it is ended");
    let told = format!("{error:?}");
    assert!(
        told.contains("ENHANCE_YOUR_CALM") && told.contains("too many resets"),
        "{told}"
    );
    let cut = "motet_server_cut_total{reason=\"resets\"}";
    assert_eq!(server.metric(cut), 1);
    assert_eq!(
        server.client().await.say("x").await.expect("answers"),
        "hello x"
    );
}

/// A service that panics where no layer catches it: in its connection's task while `armed` is 1, in
/// the task of the call while it is 2.
struct Armed {
    armed: Arc<AtomicUsize>,
    inner: LiveRoutes,
}

impl Clone for Armed {
    /// Returns the connection clones the service for each of its calls.
    fn clone(&self) -> Self {
        assert_ne!(self.armed.load(Ordering::SeqCst), 1, "in the connection");
        let (armed, inner) = (self.armed.clone(), self.inner.clone());
        Self { armed, inner }
    }
}

impl tower::Service<http::Request<Body>> for Armed {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <LiveRoutes as tower::Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_ne!(self.armed.load(Ordering::SeqCst), 2, "in the call");
        self.inner.call(request)
    }
}

#[tokio::test]
async fn panics_outside_of_handlers_are_counted_and_the_server_goes_on() {
    let metrics = Metrics::new("test").expect("no environment is needed");
    let health = Health::new();
    let armed = Arc::new(AtomicUsize::new(0));
    let service = Armed {
        armed: armed.clone(),
        inner: LiveRoutes::new(Routes::new(health.server())),
    };
    let server = Server::bind(loopback(), ServeOptions::default()).await;
    let server = server.expect("a free port").with_metrics(metrics.server());
    let addr = server.local_addr();
    let shutdown = CancellationToken::new();
    let running = server.spawn(service, shutdown.clone());
    let check = async |client: &Client| {
        let request = tonic::Request::new(HealthListRequest {});
        client.unary("/grpc.health.v1.Health/List", request).await
    };
    for (task, at) in [("connection", 1), ("call", 2)] {
        let client = Client::connect(addr).await;
        check(&client).await.expect("it answers");
        armed.store(at, Ordering::SeqCst);
        check(&client).await.expect_err("it panics");
        armed.store(0, Ordering::SeqCst);
        let line = format!("motet_server_panics_total{{task=\"{task}\"}} 1\n");
        while !metrics.render().expect("text").contains(&line) {
            tokio::task::yield_now().await;
        }
    }
    let client = Client::connect(addr).await;
    check(&client).await.expect("it goes on");
    shutdown.cancel();
    assert_eq!(running.await.expect("ran"), Drained { dropped: 0 });
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

    /// Returns the rest of the next line that begins with `prefix`.
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
async fn signals_without_a_meaning_are_ignored() {
    let mut process = Process::start();
    let addr = process.line("ready ").await.parse().expect("an address");
    let client = Client::connect(addr).await;
    for name in ["HUP", "USR1", "USR2"] {
        process.signal(name).await;
    }
    // Signals are delivered before the bytes of this call are.
    assert_eq!(client.say("x").await.expect("it goes on"), "hello x");
    process.signal("TERM").await;
    assert_eq!(process.line("got ").await, "SIGTERM");
    assert_eq!(process.line("ended ").await, "Drained { dropped: 0 }");
}

#[tokio::test]
async fn a_signal_drains_the_process() {
    for (name, shown) in [("TERM", "SIGTERM"), ("INT", "SIGINT"), ("QUIT", "SIGQUIT")] {
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

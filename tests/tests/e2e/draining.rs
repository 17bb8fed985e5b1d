//! The end of a process: requests that were accepted are answered.

use motet_runtime::status::Reason;
use motet_tests::connection::Connection;
use motet_tests::http::{Metrics, get};
use motet_tests::in_process;
use motet_tests::program::{Process, Ready};
use motet_tests::proxy::Proxy;
use motet_tests::tensors::{raw, texts};
use motet_tests::wait::{soon, until};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::motet;
use crate::processes::endpoint;
use crate::rag::{PASSAGES, check_results, rag};

/// Returns a gateway that reaches the models of the shared process through a proxy.
async fn gateway(proxy: &Proxy, args: &[&str]) -> (Process, Ready) {
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, proxy.address));
    let mut gateway = motet(["gateway"])
        .args(args)
        .args(endpoints.as_flattened())
        .on_free_ports()
        .start();
    let ready = gateway.ready().await;
    (gateway, ready)
}

/// Returns a call in flight that the proxy holds.
async fn held(proxy: &Proxy, at: &Ready) -> JoinHandle<Result<Value, Status>> {
    let rag = rag(&Connection::open(at.grpc).await).await;
    proxy.close();
    let request = json!({"query": "tides", "documents": PASSAGES});
    let call = tokio::spawn(async move { rag.call("Run", request).await });
    // `chunks` and `q` depend on the request only.
    proxy.holds(2).await;
    call
}

#[tokio::test]
async fn requests_in_flight_finish_before_the_process_ends() {
    let proxy = Proxy::start(in_process::connect().await).await;
    for signal in ["TERM", "INT", "QUIT"] {
        let (gateway, at) = gateway(&proxy, &["--grace", "60s"]).await;
        let connection = Connection::open(at.grpc).await;
        let service = String::new();
        let watch = connection
            .health()
            .watch(HealthCheckRequest { service })
            .await;
        let mut watch = watch.expect("health").into_inner();
        let mut health = async || {
            soon("health", watch.message())
                .await
                .ok()
                .flatten()
                .map(|h| h.status())
        };
        assert_eq!(health().await, Some(ServingStatus::Serving));
        let call = held(&proxy, &at).await;

        gateway.signal(signal);
        assert_eq!(health().await, Some(ServingStatus::NotServing), "{signal}");
        let readiness = get(at.http.expect("HTTP is on"), "/readyz").await;
        assert_eq!(readiness.expect("it answers until the end").0, 503);
        until("no new connections", async || {
            match Connection::try_open(at.grpc).await {
                None => Some(()),
                Some(late) => late
                    .raw("grpc.health.v1.Health/Check", vec![])
                    .await
                    .err()
                    .map(|_| ()),
            }
        })
        .await;
        assert!(!call.is_finished());
        proxy.open();
        let answer = soon("the answer", call)
            .await
            .expect("it ran")
            .expect("it was accepted");
        check_results(&answer, &PASSAGES, 5);
        let ended = gateway.end().await;
        assert_eq!(ended.code, Some(0), "{signal}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("SIG{signal}")),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn signals_without_a_meaning_change_nothing() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let (gateway, at) = gateway(&proxy, &["--grace", "60s"]).await;
    let call = held(&proxy, &at).await;
    for signal in ["HUP", "USR1", "USR2"] {
        gateway.signal(signal);
    }
    proxy.open();
    let answer = soon("the answer", call).await.expect("it ran");
    check_results(&answer.expect("it was accepted"), &PASSAGES, 5);
    gateway.signal("TERM");
    let ended = gateway.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for signal in ["SIGHUP", "SIGUSR1", "SIGUSR2"] {
        assert!(ended.stderr.contains(signal), "{}", ended.stderr);
    }
}

/// Streams are ended by the server when nothing of theirs is in flight, whatever their clients do.
#[tokio::test]
async fn streams_end_when_their_requests_are_answered() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let (gateway, at) = gateway(&proxy, &["--grace", "60s"]).await;
    let connection = Connection::open(at.grpc).await;
    let rag = rag(&connection).await;

    let (ask, messages) = mpsc::channel(1);
    let messages = Request::new(ReceiverStream::new(messages));
    let mut busy = rag.stream("RunStream", messages).await.expect("a stream");
    let (_typed, messages) = mpsc::channel(1);
    let messages = Request::new(ReceiverStream::new(messages));
    let mut idle_typed = rag.stream("RunStream", messages).await.expect("a stream");
    let (_oip, messages) = mpsc::channel(1);
    let messages = Request::new(ReceiverStream::new(messages));
    let mut inference = connection.inference();
    let idle_oip = inference.model_stream_infer(messages).await;
    let mut idle_oip = idle_oip.expect("a stream").into_inner();

    proxy.close();
    let question = json!({"query": "tides", "documents": PASSAGES});
    let question = rag.message("RunStream", &question);
    ask.send(question).await.expect("it is read");
    // `chunks` and `q` depend on the request only.
    proxy.holds(2).await;

    gateway.signal("TERM");
    let draining = |error: Status| {
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert_eq!(Reason::of(&error), Some(Reason::Draining), "{error}");
    };
    let end = soon("the end", idle_typed.next()).await;
    draining(end.expect_err("the server ends"));
    let end = soon("the end", idle_oip.message()).await;
    draining(end.expect_err("the server ends"));
    proxy.open();
    let answer = soon("the answer", busy.next()).await;
    let answer = answer.expect("it was read").expect("an answer");
    check_results(&answer, &PASSAGES, 5);
    let end = soon("the end", busy.next()).await;
    draining(end.expect_err("the server ends"));
    let ended = gateway.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("dropped=0"), "{}", ended.stderr);
}

#[tokio::test]
async fn requests_that_outlast_the_grace_period_are_dropped() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let (gateway, at) = gateway(&proxy, &["--grace", "0s"]).await;
    let call = held(&proxy, &at).await;
    gateway.signal("TERM");
    let error = soon("the answer", call)
        .await
        .expect("it ran")
        .expect_err("it was cut off");
    assert_ne!(error.code(), Code::Ok);
    let ended = gateway.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("dropped=1"), "{}", ended.stderr);
    // Its own calls of the services ended with it.
    proxy.holds(0).await;
}

#[tokio::test]
async fn a_model_service_answers_queued_rows_before_it_ends() {
    let mut service = motet(["serve", "--model", "minilm", "--grace", "60s"])
        .on_free_ports()
        .start();
    let at = service.ready().await;
    let connection = Connection::open(at.grpc).await;
    // More tokens than a batch may have, so that rows wait.
    let many = vec![PASSAGES.concat(); 128];
    let request = raw("minilm", &[("text", texts(&many))]);
    let mut client = connection.inference();
    let call = tokio::spawn(async move { client.model_infer(request).await });
    let http = at.http.expect("HTTP is on");
    until("rows wait", async || {
        let depth = Metrics::read(http)
            .await
            .count("motet_queue_depth", &[("model", "minilm")]);
        (depth > 0.0).then_some(())
    })
    .await;
    service.signal("TERM");
    let answer = soon("the answer", call)
        .await
        .expect("it ran")
        .expect("it was accepted");
    assert_eq!(answer.into_inner().outputs[0].shape, [128, 384]);
    assert_eq!(service.end().await.code, Some(0));
}

#[tokio::test]
async fn a_signal_during_startup_ends_the_process() {
    let nobody = std::net::TcpListener::bind(in_process::ANY_PORT).expect("a free port");
    let at = nobody.local_addr().expect("bound");
    drop(nobody);
    for signal in ["TERM", "INT"] {
        let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, at));
        let mut gateway = motet(["gateway"])
            .args(endpoints.as_flattened())
            .on_free_ports()
            .start();
        gateway.says("waiting: model chunker").await;
        gateway.signal(signal);
        let ended = gateway.end().await;
        assert_eq!(
            (ended.code, &*ended.stdout),
            (Some(0), ""),
            "{}",
            ended.stderr
        );
    }
}

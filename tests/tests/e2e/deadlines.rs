//! Deadlines of clients, and the work of clients that do not wait.

use std::pin::Pin;
use std::time::Duration;

use motet_runtime::deadline::parse_timeout;
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::http::Metrics;
use motet_tests::in_process;
use motet_tests::program::{Process, Ready};
use motet_tests::proxy::Proxy;
use motet_tests::tensors::{raw, texts};
use motet_tests::wait::{soon, until};
use serde_json::json;
use tonic::{Code, Request, Status};

use crate::motet;
use crate::processes::endpoint;
use crate::rag::{PASSAGES, rag};

/// Returns a gateway that reaches the models of the shared process through a proxy.
async fn behind(proxy: &Proxy) -> (Process, Connection) {
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, proxy.address));
    let mut gateway = motet(["gateway"])
        .args(endpoints.as_flattened())
        .on_free_ports()
        .start();
    let connection = gateway.connect().await;
    (gateway, connection)
}

fn within<T>(message: T, timeout: &str) -> Request<T> {
    let mut request = Request::new(message);
    let timeout = timeout.parse().expect("ascii");
    request.metadata_mut().insert("grpc-timeout", timeout);
    request
}

#[tokio::test]
async fn a_late_answer_is_deadline_exceeded_and_frees_its_calls() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let (_gateway, connection) = behind(&proxy).await;
    let rag = rag(&connection).await;
    let request = json!({"query": "tides", "documents": PASSAGES});
    proxy.close();

    let late = rag
        .request("Run", within(rag.message("Run", &request), "100m"))
        .await;
    let late = late.expect_err("nothing answers");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert_eq!(status::read(&late).reason, "DEADLINE_EXCEEDED");
    proxy.holds(0).await;

    // On a stream either the late requests or the stream itself fail, whichever comes first.
    let message = rag.message("RunStream", &request);
    let endless =
        tokio_stream::StreamExt::chain(tokio_stream::once(message), tokio_stream::pending());
    let mut answers = rag
        .stream("RunStream", within(endless, "200m"))
        .await
        .expect("it begins");
    let error = loop {
        match soon("the end", answers.next()).await {
            Ok(Some(answer)) => assert_eq!(answer["error"]["code"], Code::DeadlineExceeded as i32),
            Ok(None) => panic!("a stream that was late ended well"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    proxy.holds(0).await;

    let oip = raw(
        "rag",
        &[("query", texts(&["x"])), ("documents", texts(&["y"]))],
    );
    let late = connection
        .inference()
        .model_infer(within(oip.clone(), "100m"))
        .await;
    assert_eq!(
        late.expect_err("nothing answers").code(),
        Code::DeadlineExceeded
    );
    // Triton's parameter, in microseconds.
    let mut with_parameter = oip;
    let timeout = motet_proto::oip::parameter(100_000_i64);
    with_parameter
        .parameters
        .insert("timeout".to_owned(), timeout);
    let late = connection.inference().model_infer(with_parameter).await;
    assert_eq!(
        late.expect_err("nothing answers").code(),
        Code::DeadlineExceeded
    );
    proxy.holds(0).await;
    proxy.open();
    rag.call("Run", request).await.expect("all is well again");
}

#[tokio::test]
async fn an_expired_or_malformed_deadline_is_refused_at_once() {
    let connection = in_process::connect().await;
    let rag = rag(&connection).await;
    for (timeout, code) in [
        ("0m", Code::DeadlineExceeded),
        ("1n", Code::DeadlineExceeded),
        ("soon", Code::InvalidArgument),
        ("5", Code::InvalidArgument),
        ("-1S", Code::InvalidArgument),
        ("123456789S", Code::InvalidArgument),
    ] {
        let message = rag.message("Run", &json!({"query": "tides", "documents": PASSAGES}));
        let error = rag
            .request("Run", within(message, timeout))
            .await
            .expect_err(timeout);
        assert_eq!(error.code(), code, "{timeout}: {error}");
    }
}

/// Each call of a model carries the remaining time: the client's, capped by the pipeline's.
#[tokio::test]
async fn the_remaining_time_is_passed_on_to_models() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let (_gateway, connection) = behind(&proxy).await;
    let rag = rag(&connection).await;
    let request = json!({"query": "tides", "documents": PASSAGES});
    let mut seen = 0;
    // The built-in pipeline allows 30 s at most.
    for (asked, limit) in [("7S", 7), ("20S", 20), ("1H", 30)] {
        let message = rag.message("Run", &request);
        rag.request("Run", within(message, asked))
            .await
            .expect("an answer");
        let message = rag.message("RunStream", &request);
        let once = within(tokio_stream::once(message), asked);
        let mut answers = rag.stream("RunStream", once).await.expect("a stream");
        let answer = answers.next().await.expect("no error").expect("an answer");
        assert!(answer.get("error").is_none(), "{answer}");

        let inferences = proxy.inferences();
        let new = &inferences[seen..];
        seen = inferences.len();
        assert_eq!(new.len(), 8, "chunks, q, d and rank, twice");
        let left = |headers: &http::HeaderMap| {
            let timeout = headers.get("grpc-timeout").expect("a deadline");
            parse_timeout(timeout.as_bytes()).expect("a time")
        };
        let mut last = Duration::MAX;
        for (at, headers) in new.iter().enumerate() {
            let left = left(headers);
            let limit = Duration::from_secs(limit);
            assert!(left <= limit && left > limit / 3, "{left:?} of {limit:?}");
            // `rank` makes the last of four calls.
            if at % 4 == 3 {
                assert!(left < last, "{left:?} after {last:?}");
                last = Duration::MAX;
            } else {
                last = last.min(left);
            }
        }
    }
}

/// A call of some method.
type Call = Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// A client that goes away, and how it does.
type Leave = fn(tokio::task::JoinHandle<()>, Connection);

/// The rows of a client that went away leave the queue, so that others do not wait for them.
#[tokio::test]
async fn a_client_that_goes_away_frees_its_rows() {
    let mut process = motet(["up"]).on_free_ports().start();
    let Ready { grpc, http } = process.ready().await;
    let http = http.expect("HTTP is on");
    let minilm = [("model", "minilm")];
    let count = async |name| Metrics::read(http).await.count(name, &minilm);
    let many = vec![PASSAGES.concat(); 48];
    // The call is dropped, which resets its stream; or the whole connection is.
    let leaves: [(&str, Leave); 2] = [
        ("stream", |call, _connection| call.abort()),
        ("connection", |call, connection| {
            call.abort();
            drop(connection);
        }),
    ];
    for (case, leave) in leaves {
        for surface in ["pipeline", "model"] {
            let cancelled = count("motet_queue_cancelled_total").await;
            let connection = Connection::open(grpc).await;
            let call = match surface {
                "pipeline" => {
                    let rag = rag(&connection).await;
                    let request = json!({"query": "tides", "documents": many});
                    tokio::spawn(async move { drop(rag.call("Run", request).await) })
                }
                _ => {
                    let (mut client, request) = (
                        connection.inference(),
                        raw("minilm", &[("text", texts(&many))]),
                    );
                    tokio::spawn(async move { drop(client.model_infer(request).await) })
                }
            };
            until("rows wait", async || {
                (count("motet_queue_depth").await > 0.0).then_some(())
            })
            .await;
            leave(call, connection);
            until("they leave", async || {
                let metrics = Metrics::read(http).await;
                let in_flight = metrics.count("motet_server_in_flight", &[]);
                let depth = metrics.count("motet_queue_depth", &minilm);
                (in_flight == 0.0 && depth == 0.0).then_some(())
            })
            .await;
            let cancelled = count("motet_queue_cancelled_total").await - cancelled;
            // If they had been computed, none would have been cancelled.
            assert!(cancelled > 0.0, "{case}, {surface}");
        }
    }
    let metrics = Metrics::read(http).await;
    let cancelled = [("pipeline", "rag"), ("code", "CANCELLED")];
    assert_eq!(
        metrics.value("motet_pipeline_requests_total", &cancelled),
        Some(2.0)
    );
    rag(&Connection::open(grpc).await)
        .await
        .call("Run", json!({"query": "x"}))
        .await
        .expect("an answer");
}

/// Across processes: the gateway cancels its calls when its client goes away.
#[tokio::test]
async fn a_client_that_goes_away_cancels_the_calls_of_its_gateway() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let (_gateway, connection) = behind(&proxy).await;
    let rag = rag(&connection).await;
    let request = json!({"query": "tides", "documents": PASSAGES});
    let unary = {
        let (rag, request) = (rag.clone(), request.clone());
        async move { rag.call("Run", request).await.map(drop) }
    };
    let stream = async move {
        let message = rag.message("RunStream", &request);
        let requests = Request::new(tokio_stream::once(message));
        let mut answers = rag.stream("RunStream", requests).await?;
        answers.next().await.map(drop)
    };
    let calls: [Call; 2] = [Box::pin(unary), Box::pin(stream)];
    proxy.close();
    for call in calls {
        let call = tokio::spawn(call);
        // `chunks` and `q` depend on the request only.
        proxy.holds(2).await;
        call.abort();
        proxy.holds(0).await;
    }
}

//! The trace of a request across gateway, services and batches.

use std::collections::{BTreeMap, BTreeSet};

use motet_tests::collector::{Collector, Span};
use motet_tests::connection::Connection;
use motet_tests::in_process;
use motet_tests::program::Program;
use motet_tests::proxy::Proxy;
use serde_json::json;
use tonic::Request;

use crate::motet;
use crate::processes::endpoint;
use crate::rag::{PASSAGES, rag};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// Calls the pipeline within a trace of the client.
async fn ask(connection: &Connection) {
    let rag = rag(connection).await;
    let message = rag.message("Run", &json!({"query": "tides", "documents": PASSAGES}));
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-{CLIENT}-01").parse().expect("ascii");
    request.metadata_mut().insert("traceparent", parent);
    rag.request("Run", request).await.expect("an answer");
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans
        .iter()
        .filter(|s| s.trace == TRACE && s.name == name)
        .collect()
}

fn children<'s>(spans: &'s [Span], of: &Span) -> Vec<&'s Span> {
    spans
        .iter()
        .filter(|s| s.trace == TRACE && s.parent == of.id)
        .collect()
}

fn one<'s>(spans: &[&'s Span], what: &str) -> &'s Span {
    match spans {
        [span] => span,
        _ => panic!("one {what}: {spans:#?}"),
    }
}

/// Returns whether the request's own span, which ends last, and those of its inferences and their
/// batches have arrived.
fn complete(spans: &[Span]) -> bool {
    let batches: BTreeSet<_> = spans
        .iter()
        .filter(|s| s.name == "batch")
        .map(|s| (s.trace.clone(), s.id.clone()))
        .collect();
    let computes = named(spans, "compute");
    let carried: BTreeSet<_> = computes.iter().map(|compute| &compute.parent).collect();
    named(spans, "motet.pipeline.Rag/Run").len() == 1
        && named(spans, "infer").len() == 4
        && carried.len() == 2
        && computes
            .iter()
            .all(|c| c.links.iter().all(|link| batches.contains(link)))
}

/// Checks the tree of spans. `services` are the expected service names.
fn check(spans: &[Span], gateway: &str, service: &str) {
    let request = one(&named(spans, "motet.pipeline.Rag/Run"), "request");
    assert_eq!((&*request.parent, &*request.service), (CLIENT, gateway));
    assert_eq!(request.attributes["rpc.grpc.status_code"], "0");
    let nodes: BTreeMap<&str, &Span> = children(spans, request)
        .into_iter()
        .map(|span| {
            assert_eq!((&*span.name, &*span.service), ("node", gateway));
            (&*span.attributes["node"], span)
        })
        .collect();
    let names: Vec<&str> = nodes.keys().copied().collect();
    assert_eq!(
        names,
        ["best", "cand", "chunks", "d", "near", "q", "rank", "shown"]
    );
    for (node, model) in [
        ("chunks", "chunker"),
        ("q", "minilm"),
        ("d", "minilm"),
        ("rank", "reranker"),
    ] {
        let node = nodes[node];
        assert_eq!(node.attributes["model"], model);
        let mut inner = one(&children(spans, node), "call of a node");
        // Within one process there is no request span between gateway and model.
        if gateway != service {
            assert_eq!(
                (&*inner.name, &*inner.service),
                ("inference.GRPCInferenceService/ModelInfer", service)
            );
            inner = one(&children(spans, inner), "inference of a call");
        }
        assert_eq!((&*inner.name, &*inner.service), ("infer", service));
        assert!(
            node.time.0 <= inner.time.0 && inner.time.1 <= node.time.1,
            "{node:?} {inner:?}"
        );
        let parts = children(spans, inner);
        let all = |name: &str| -> Vec<&Span> {
            parts.iter().copied().filter(|s| s.name == name).collect()
        };
        let part = |name: &str| one(&all(name), name);
        if model == "chunker" {
            assert!(!part("preprocess").id.is_empty());
            continue;
        }
        assert!(part("tokenize").time.0 <= part("queue").time.0);
        // The rows of one call may be in several batches; those of the reranker are in none, since
        // the embedder has just encoded the query and all passages.
        let (queue, computes) = (part("queue"), all("compute"));
        let reused = &part("assemble").attributes["rows_reused"];
        if model == "reranker" {
            assert_eq!(*reused, (1 + PASSAGES.len()).to_string());
            assert!(computes.is_empty(), "{computes:?}");
            continue;
        }
        assert_eq!(reused, "0");
        assert!(!computes.is_empty(), "{model} computed nothing");
        for compute in computes {
            assert!(queue.time.0 <= compute.time.0 && queue.time.1 <= compute.time.1);
            check_batch(spans, inner, compute, model);
        }
    }
}

/// Checks the batch of a call. It serves several calls, so it has a trace of its own, with links in
/// both directions.
fn check_batch(spans: &[Span], call: &Span, compute: &Span, model: &str) {
    let batches: Vec<&Span> = spans
        .iter()
        .filter(|s| s.name == "batch" && compute.links.contains(&(s.trace.clone(), s.id.clone())))
        .collect();
    let batch = one(&batches, "batch of a call");
    assert_ne!(batch.trace, TRACE);
    assert!(batch.parent.is_empty() && batch.attributes["model"] == model);
    assert!(
        batch
            .links
            .iter()
            .any(|(trace, id)| trace == TRACE && *id == call.id),
        "{batch:?}"
    );
    let forward: Vec<&Span> = spans
        .iter()
        .filter(|s| s.trace == batch.trace && s.name == "forward")
        .collect();
    let forward = one(&forward, "forward pass");
    assert_eq!(forward.parent, batch.id);
    assert_eq!(forward.attributes["rows"], batch.attributes["rows"]);
    assert!(
        forward.attributes["tokens"]
            .parse::<u32>()
            .expect("a number")
            > 0
    );
}

#[tokio::test]
async fn one_process_makes_one_trace() {
    let collector = Collector::start().await;
    let mut up = collector.attach(motet(["up"])).on_free_ports().start();
    ask(&up.connect().await).await;
    check(
        &collector.until("the trace", complete).await,
        "motet",
        "motet",
    );
}

#[tokio::test]
async fn a_gateway_and_its_services_make_one_trace() {
    let collector = Collector::start().await;
    let traced = |args: &[&str]| -> Program { collector.attach(motet(args)) };
    let mut models = traced(&["serve"]).on_free_ports().start();
    let models_at = models.ready().await.grpc;
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, models_at));
    let mut gateway = traced(&["gateway"])
        .args(endpoints.as_flattened())
        .on_free_ports()
        .start();
    ask(&gateway.connect().await).await;
    check(
        &collector.until("the trace", complete).await,
        "motet-gateway",
        "motet-models",
    );
}

#[tokio::test]
async fn sampled_spans_alone_are_exported_and_the_last_before_the_process_ends() {
    let collector = Collector::start().await;
    // By itself the exporter would wait for an hour.
    let program = collector
        .attach(motet(["up"]))
        .env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let mut up = program.on_free_ports().start();
    let connection = up.connect().await;
    let rag = rag(&connection).await;
    for flags in ["00", "01"] {
        let message = rag.message("Run", &json!({"query": "tides"}));
        let mut request = Request::new(message);
        let parent = format!("00-{flags}{}-{CLIENT}-{flags}", &TRACE[2..]);
        request
            .metadata_mut()
            .insert("traceparent", parent.parse().expect("ascii"));
        rag.request("Run", request).await.expect("an answer");
    }
    drop((rag, connection));
    up.signal("TERM");
    assert_eq!(up.end().await.code, Some(0));
    let spans = collector
        .until("the last spans", |spans| !spans.is_empty())
        .await;
    let requests: Vec<&Span> = spans.iter().filter(|s| s.name.ends_with("/Run")).collect();
    assert_eq!(
        one(&requests, "recorded request").trace,
        format!("01{}", &TRACE[2..])
    );
}

/// A gateway without an exporter propagates the trace of its caller, and starts none.
#[tokio::test]
async fn a_gateway_without_an_exporter_propagates_the_trace_of_its_caller() {
    let proxy = Proxy::start(in_process::connect().await).await;
    let endpoints = ["chunker", "minilm", "reranker"].map(|model| endpoint(model, proxy.address));
    let mut gateway = motet(["gateway"])
        .args(endpoints.as_flattened())
        .on_free_ports()
        .start();
    let rag = rag(&gateway.connect().await).await;
    let parent = format!("00-{TRACE}-{CLIENT}-01");
    let unsampled = format!("00-{TRACE}-{CLIENT}-00");
    let cases: [&[(&str, &str)]; 4] = [
        &[],
        &[("traceparent", &parent), ("tracestate", "a=1")],
        &[("traceparent", &unsampled), ("baggage", "tenant=7")],
        &[("baggage", "tenant=7;p,user=%20")],
    ];
    for headers in cases {
        let before = proxy.inferences().len();
        let message = rag.message("Run", &json!({"query": "tides", "documents": PASSAGES}));
        let mut request = Request::new(message);
        for (name, value) in headers {
            let value = value.parse().expect("ascii");
            request.metadata_mut().insert(*name, value);
        }
        rag.request("Run", request).await.expect("an answer");
        let calls = &proxy.inferences()[before..];
        assert_eq!(calls.len(), 4);
        for call in calls {
            for name in ["traceparent", "tracestate", "baggage"] {
                let sent = headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
                let handed_on = call.get(name).map(|value| value.to_str().expect("ascii"));
                assert_eq!(handed_on, sent, "{name} of {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_exported_without_configuration() {
    // OpenTelemetry's default address. If the port is taken, this cannot be tested here.
    let Ok(default) = tokio::net::TcpListener::bind("127.0.0.1:4317").await else {
        return;
    };
    let mut up = motet(["up"])
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .on_free_ports()
        .start();
    ask(&up.connect().await).await;
    up.signal("TERM");
    let ended = up.end().await;
    assert_eq!(
        (ended.code, ended.stderr.contains("export")),
        (Some(0), false),
        "{}",
        ended.stderr
    );
    let caller = futures_now(default.accept()).await;
    assert!(caller.is_none(), "{caller:?}");
}

/// Returns the output of a future that is ready at once.
async fn futures_now<F: Future>(future: F) -> Option<F::Output> {
    tokio::time::timeout(std::time::Duration::ZERO, future)
        .await
        .ok()
}

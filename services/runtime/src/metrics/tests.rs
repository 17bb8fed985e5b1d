use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use tonic::Code;

use super::catalogue::{Buckets, CATALOGUE, Kind};
use super::*;

/// Handles that keep their series there.
type Kept = (Watch, Vec<Box<dyn std::any::Any>>);

/// Metrics with a value in every instrument, and what keeps them there.
fn all_used() -> (Metrics, Kept) {
    let metrics = Metrics::new("test").expect("no environment is needed");
    let ms = Duration::from_millis;
    let pipeline = metrics.pipeline("rag", "typed");
    pipeline.record(Code::Ok, ms(3));
    pipeline.record(Code::DeadlineExceeded, ms(3000));
    let node = metrics.node("rag", "near");
    node.record(Code::Internal, ms(1));
    let shadow = metrics.shadow("rag", "rank", "rank[shadow 1]");
    shadow.record("same");
    let refusals = metrics.refusals("rag");
    refusals.refused();
    let repeats = metrics.repeats("rag", "d");
    repeats.retried();
    repeats.retry_refused("budget");
    repeats.hedged();
    repeats.hedge_won();
    repeats.hedge_refused();
    metrics.model_ready("minilm", true);
    let circuit = metrics.circuit("minilm");
    circuit.opened();
    circuit.opened();
    circuit.closed();
    circuit.refused();
    circuit.resent();
    let cache = metrics.cache("minilm");
    cache.rows(5, 2, 3);
    cache.rows(1, 0, 0);
    cache.kept(4096, 7);
    let model = metrics.model("minilm");
    model.request(Code::InvalidArgument, ms(5));
    model.task("embed", "tokens");
    model.batch(7, 300, ms(12));
    model.queue_wait(Duration::from_micros(150));
    model.batch_started("window", ms(2));
    model.batch_started("ready", Duration::ZERO);
    model.window(ms(4), 2.5, 3);
    model.bisected();
    model.memory_split();
    model.rows_failed(6);
    model.rows_reused(9);
    model.rows_reused(0);
    model.executor_crashed();
    let watch = model.watch(|| BatcherState {
        rows_queued: 4,
        executors: 2,
        rows_per_second: 12.5,
        cost_batch_seconds: 0.003,
        cost_token_seconds: 0.000_16,
        cost_error: 0.05,
    });
    model.refused("queue_full", 2);
    model.expired(3);
    model.cancelled(5);
    metrics.reloaded(true);
    metrics.reloaded(false);
    metrics.server().in_flight(2);
    metrics.server().in_flight(-1);
    metrics.server().streams("watches", 1);
    metrics.server().refused("concurrency");
    metrics.server().refused_credentials("missing");
    metrics.server().auth_reload_failed("keys");
    metrics.server().audit_lost(1);
    metrics.server().cut("slow_reader");
    metrics.server().slowed();
    metrics.server().connections(1);
    metrics.server().panicked("handler");
    metrics.server().handshake("ok");
    metrics.server().insecure("grpc", true);
    metrics
        .tls("server")
        .expires(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    metrics.tls("server").read_again(false);
    let calls = [pipeline, node].map(|handle| Box::new(handle) as Box<dyn std::any::Any>);
    let mut kept: Vec<Box<dyn std::any::Any>> = calls.into();
    let stream = metrics.stream("tickets");
    stream.connected(true);
    stream.lag(9);
    stream.in_flight(3);
    stream.oldest(ms(4000));
    stream.answered(2);
    stream.redelivered(1);
    stream.dead(1);
    stream.error(super::StreamErrorKind::Attempt);
    kept.push(Box::new(stream));
    let worker = metrics.worker("rag", || WorkerState {
        rows_answered: 7,
        rows_degraded: 1,
        rows_failed: 2,
        units_written: 3,
        rows_per_second: 2.5,
        seconds_left: Some(4.0),
        ..WorkerState::default()
    });
    kept.push(Box::new(worker));
    kept.extend([
        Box::new(shadow) as Box<dyn std::any::Any>,
        Box::new(refusals),
        Box::new(repeats),
        Box::new(model),
    ]);
    (metrics, (watch, kept))
}

#[test]
fn the_text_holds_what_was_recorded() {
    let (metrics, _kept) = all_used();
    let text = metrics.render().expect("valid text");
    for line in [
        r#"motet_pipeline_requests_total{code="OK",pipeline="rag",surface="typed"} 1"#,
        r#"motet_pipeline_requests_total{code="DEADLINE_EXCEEDED",pipeline="rag",surface="typed"} 1"#,
        r#"motet_pipeline_errors_total{code="DEADLINE_EXCEEDED",pipeline="rag",surface="typed"} 1"#,
        r#"motet_pipeline_duration_seconds_bucket{code="OK",pipeline="rag",surface="typed",le="0.0025"} 0"#,
        r#"motet_pipeline_duration_seconds_bucket{code="OK",pipeline="rag",surface="typed",le="0.005"} 1"#,
        r#"motet_node_errors_total{code="INTERNAL",node="near",pipeline="rag"} 1"#,
        r#"motet_budget_refused_total{pipeline="rag"} 1"#,
        r#"motet_node_retries_total{node="d",pipeline="rag"} 1"#,
        r#"motet_node_retries_refused_total{node="d",pipeline="rag",reason="budget"} 1"#,
        r#"motet_node_hedges_total{node="d",pipeline="rag"} 1"#,
        r#"motet_node_hedges_won_total{node="d",pipeline="rag"} 1"#,
        r#"motet_node_hedges_refused_total{node="d",pipeline="rag"} 1"#,
        r#"motet_model_ready{model="minilm"} 1"#,
        r#"motet_circuit_open{model="minilm"} 0"#,
        r#"motet_circuit_openings_total{model="minilm"} 2"#,
        r#"motet_circuit_refused_total{model="minilm"} 1"#,
        r#"motet_calls_resent_total{model="minilm"} 1"#,
        r#"motet_cache_rows_total{model="minilm",result="hit"} 6"#,
        r#"motet_cache_rows_total{model="minilm",result="joined"} 2"#,
        r#"motet_cache_rows_total{model="minilm",result="miss"} 3"#,
        r#"motet_cache_memory_bytes{model="minilm"} 4096"#,
        r#"motet_cache_evictions_total{model="minilm"} 7"#,
        r#"motet_model_requests_total{code="INVALID_ARGUMENT",model="minilm"} 1"#,
        r#"motet_batch_rows_bucket{model="minilm",le="4"} 0"#,
        r#"motet_batch_rows_bucket{model="minilm",le="8"} 1"#,
        r#"motet_batch_tokens_sum{model="minilm"} 300"#,
        r#"motet_queue_wait_seconds_bucket{model="minilm",le="0.0001"} 0"#,
        r#"motet_batch_starts_total{cause="window",model="minilm"} 1"#,
        r#"motet_batch_starts_total{cause="ready",model="minilm"} 1"#,
        r#"motet_batch_deliberate_wait_seconds_bucket{model="minilm",le="0.0001"} 1"#,
        r#"motet_batch_deliberate_wait_seconds_count{model="minilm"} 2"#,
        r#"motet_batch_bisections_total{model="minilm"} 1"#,
        r#"motet_batch_memory_splits_total{model="minilm"} 1"#,
        r#"motet_batch_rows_failed_total{model="minilm"} 6"#,
        r#"motet_model_rows_reused_total{model="minilm"} 9"#,
        r#"motet_window_chosen_seconds_sum{model="minilm"} 0.004"#,
        r#"motet_window_rows_expected_total{model="minilm"} 2.5"#,
        r#"motet_window_rows_arrived_total{model="minilm"} 3"#,
        r#"motet_queue_depth{model="minilm"} 4"#,
        r#"motet_arrival_rate_per_second{model="minilm"} 12.5"#,
        r#"motet_cost_batch_seconds{model="minilm"} 0.003"#,
        r#"motet_cost_token_seconds{model="minilm"} 0.00016"#,
        r#"motet_cost_error_ratio{model="minilm"} 0.05"#,
        r#"motet_executor_alive{model="minilm"} 2"#,
        r#"motet_executor_crashes_total{model="minilm"} 1"#,
        r#"motet_queue_refused_total{model="minilm",reason="queue_full"} 2"#,
        r#"motet_queue_expired_total{model="minilm"} 3"#,
        r#"motet_queue_cancelled_total{model="minilm"} 5"#,
        r#"motet_stream_lag{stream="tickets"} 9"#,
        r#"motet_stream_oldest_seconds{stream="tickets"} 4"#,
        r#"motet_stream_answered_total{stream="tickets"} 2"#,
        r#"motet_stream_errors_total{kind="attempt",stream="tickets"} 1"#,
        r#"motet_worker_rows_total{outcome="answered",pipeline="rag"} 7"#,
        r#"motet_worker_rows_total{outcome="failed",pipeline="rag"} 2"#,
        r#"motet_worker_units_total{outcome="written",pipeline="rag"} 3"#,
        r#"motet_worker_rate_per_second{pipeline="rag"} 2.5"#,
        r#"motet_worker_left_seconds{pipeline="rag"} 4"#,
        "motet_reloads_total 1",
        "motet_reload_errors_total 1",
        "motet_server_in_flight 1",
        r#"motet_server_refused_total{reason="concurrency"} 1"#,
        r#"motet_server_handshakes_total{result="ok"} 1"#,
        r#"motet_server_insecure{port="grpc"} 1"#,
        r#"motet_tls_certificate_expiry_seconds{certificate="server"} 1800000000"#,
        r#"motet_tls_files_read_total{certificate="server",result="failed"} 1"#,
        r#"motet_build_info{service="test",version=""#,
    ] {
        assert!(
            text.lines().any(|have| have.starts_with(line)),
            "{line} is not in\n{text}"
        );
    }
    assert!(!text.contains(r#"errors_total{code="OK""#));
}

#[test]
fn every_declared_name_label_and_description_is_the_exported_one() {
    let (metrics, _kept) = all_used();
    let families = metrics.0.registry.gather();
    let exported: BTreeSet<_> = families.iter().map(|f| f.name().to_owned()).collect();
    let declared: BTreeSet<_> = CATALOGUE.iter().map(|i| i.prometheus.to_owned()).collect();
    assert_eq!(exported, declared);
    for family in &families {
        let instrument = CATALOGUE
            .iter()
            .find(|i| i.prometheus == family.name())
            .expect("declared");
        assert_eq!(family.help(), instrument.description);
        for metric in family.get_metric() {
            let labels: BTreeSet<_> = metric.get_label().iter().map(|l| l.name()).collect();
            let expected: BTreeSet<_> = instrument.labels.iter().copied().collect();
            assert_eq!(labels, expected, "{}", instrument.name);
        }
        if let Kind::Histogram(buckets) = instrument.kind {
            let bounds: Vec<_> = family.get_metric()[0]
                .get_histogram()
                .get_bucket()
                .iter()
                .map(|b| b.upper_bound())
                .filter(|b| b.is_finite())
                .collect();
            assert_eq!(bounds, buckets.bounds());
        }
    }
    for buckets in [Buckets::Seconds, Buckets::Rows, Buckets::Tokens] {
        assert!(buckets.bounds().is_sorted());
    }
}

#[test]
fn what_is_watched_is_current_and_goes_with_its_watch() {
    let metrics = Metrics::new("test").expect("no environment is needed");
    let alive = Arc::new(AtomicUsize::new(1));
    let read = alive.clone();
    let state = move || BatcherState {
        executors: read.load(Ordering::Relaxed),
        ..BatcherState::default()
    };
    let watches = [
        metrics.model("a").watch(state),
        metrics.model("b").watch(BatcherState::default),
    ];
    let has = |line: &str| metrics.render().expect("valid text").contains(line);
    assert!(has("motet_executor_alive{model=\"a\"} 1\n"));
    assert!(has("motet_executor_alive{model=\"b\"} 0\n"));
    alive.store(5, Ordering::Relaxed);
    assert!(has("motet_executor_alive{model=\"a\"} 5\n"));
    let [a, _b] = watches;
    drop(a);
    assert!(!has("model=\"a\""));
    assert!(has("model=\"b\""));
    assert_eq!(Arc::strong_count(&alive), 1, "the reader is dropped too");
}

#[test]
fn series_go_with_what_they_describe() {
    let metrics = Metrics::new("test").expect("no environment is needed");
    let ms = Duration::from_millis;
    let lines = || metrics.render().expect("valid text").lines().count();
    let before = lines();
    for pipeline in (0..500).map(|i| format!("p{i}")) {
        let call = metrics.pipeline(&pipeline, "typed");
        let nodes = [metrics.node(&pipeline, "a"), metrics.node(&pipeline, "b")];
        let (refusals, repeats) = (metrics.refusals(&pipeline), metrics.repeats(&pipeline, "a"));
        for code in [Code::Ok, Code::Internal] {
            call.record(code, ms(1));
            nodes.iter().for_each(|node| node.record(code, ms(1)));
        }
        refusals.refused();
        repeats.retried();
        repeats.retry_refused("budget");
        metrics.shadow(&pipeline, "a", "a[1]").record("same");
    }
    assert_eq!(lines(), before);
    // One that is replaced keeps what it counted, and goes with its last handle.
    let old = metrics.node("rag", "near");
    old.record(Code::Ok, ms(1));
    let new = metrics.node("rag", "near");
    new.record(Code::Ok, ms(1));
    drop(old);
    let count = r#"motet_node_requests_total{code="OK",node="near",pipeline="rag"} 2"#;
    assert!(metrics.render().expect("valid text").contains(count));
    drop(new);
    assert_eq!(lines(), before);
}

#[test]
fn two_sets_of_metrics_in_one_process_do_not_mix() {
    let (one, two) = (
        Metrics::new("one").expect("ok"),
        Metrics::new("two").expect("ok"),
    );
    one.model("m").expired(1);
    assert!(
        !two.render()
            .expect("valid text")
            .contains("motet_queue_expired_total")
    );
}

#[test]
fn the_page_is_written_from_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).expect("the page can be written");
    }
    let held = std::fs::read_to_string(path).expect("the page is there");
    assert_eq!(held, page(), "write it anew with UPDATE_DOCS=1");
}

//! Metrics of a worker, while it works.

use motet_tests::brokers::free_address;
use motet_tests::http::{self, Metrics};
use motet_tests::wait::until;
use serde_json::json;

use super::{Place, ends, jsonl, row};

#[tokio::test]
async fn a_worker_shows_its_progress_over_http() {
    let place = Place::new(0);
    let mut rows: Vec<_> = (0..3000).map(row).collect();
    rows[1]["score"] = json!("high");
    place.0.file("rows.jsonl", jsonl(rows));
    let address = free_address();
    let args = format!("--id id --unit 50 --rate 500/s --out out --http {address}");
    let mut batch = place.best(&args).start();
    batch.says("ready http=").await;
    let read = async || {
        let (status, _) = http::get(address, "/metrics").await?;
        (status == 200).then_some(())?;
        let metrics = Metrics::read(address).await;
        (metrics.count("motet_worker_units_total", &[("outcome", "written")]) > 0.0)
            .then_some(metrics)
    };
    let metrics = until("a unit that is written", read).await;
    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels = [labels, &[("pipeline", "best")]].concat();
        let value = metrics.value(name, &labels);
        value.unwrap_or_else(|| panic!("{name} is not in {metrics:?}"))
    };
    assert_eq!(value("motet_worker_rows_planned", &[]), 3000.0);
    assert_eq!(value("motet_worker_units_planned", &[]), 60.0);
    assert_eq!(
        value("motet_worker_rows_total", &[("outcome", "failed")]),
        1.0
    );
    assert!(value("motet_worker_rows_total", &[("outcome", "answered")]) >= 48.0);
    assert!(value("motet_worker_rate_per_second", &[]) > 0.0);
    assert!(value("motet_worker_left_seconds", &[]) > 0.0);
    assert_eq!(value("motet_worker_calls_failed_total", &[]), 0.0);
    assert_eq!(value("motet_worker_in_flight_max", &[]), 64.0);
    // Those of the models and pipelines of this process are there, too.
    let calls = metrics.count("motet_pipeline_requests_total", &[("pipeline", "best")]);
    assert!(calls > 0.0, "{metrics:?}");
    assert_eq!(
        http::get(address, "/readyz").await.map(|answer| answer.0),
        Some(200)
    );
    batch.signal("TERM");
    let ended = batch.end().await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert_eq!(http::get(address, "/metrics").await, None);
}

#[tokio::test]
async fn a_worker_is_shown_to_strangers_only_where_that_is_wanted() {
    let place = Place::new(10);
    let ended = ends(place.best("--out out --http 0.0.0.0:0"), 42).await;
    assert!(ended.stderr.contains("--insecure"), "{}", ended.stderr);
    let ended = ends(place.best("--out out --http 0.0.0.0:0 --insecure"), 0).await;
    assert!(
        ended.stderr.contains("INSECURE: `http`"),
        "{}",
        ended.stderr
    );
    // The same holds where a server answers.
    let to = motet_tests::in_process::shared().grpc;
    let rows = [json!({ "query": "why", "documents": ["a", "b"] })];
    place.0.file("rag.jsonl", jsonl(rows));
    let args = format!("rag --to {to} --in rag.jsonl --out rag --http");
    let ended = ends(place.batch(&format!("{args} 0.0.0.0:0")), 42).await;
    assert!(ended.stderr.contains("--insecure"), "{}", ended.stderr);
    ends(place.batch(&format!("{args} 127.0.0.1:0")), 0).await;
}

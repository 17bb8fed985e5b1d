//! Ops that are too much work, and ops whose request ends.

use motet_proto::tensor::Tensor;
use motet_runtime::status;
use tokio::time::{Duration, Instant};
use tonic::Code;

use crate::testing::{plan, run_plan};

/// A pipeline that picks all keys one by one.
const PICKS: &str = "
pipeline: picks
inputs: { q: \"float[D]\", keys: { type: \"float[N,D]\", max_items: 100000000 } }
nodes: { m: { op: mmr, in: { query: $q, keys: $keys }, with: { k: 65536 } } }
outputs: { i: $m.index }
";

fn vectors(rows: usize, width: usize) -> [Tensor; 2] {
    let ones = |shape: Vec<usize>| {
        let count = shape.iter().product();
        Tensor::from_values(shape, vec![1.0f32; count]).unwrap()
    };
    [ones(vec![width]), ones(vec![rows, width])]
}

#[tokio::test]
async fn an_op_over_the_limit_on_work_is_refused_before_it_starts() {
    let plan = plan(PICKS, &[]);
    let started = Instant::now();
    let error = run_plan(&plan, &vectors(65_536, 32)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(status::read(&error).reason, "OVER_LIMIT");
    assert!(error.message().contains("mmr"), "{error}");
    // It would take minutes.
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_op_stops_when_its_request_is_dropped() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let plan = plan(PICKS, &[]);
        // Within the limit, and half a minute of work.
        let inputs = vectors(40_000, 30);
        let run = run_plan(&plan, &inputs);
        let end = tokio::time::timeout(Duration::from_millis(100), run).await;
        assert!(end.is_err(), "it was not done in time: {end:?}");
    });
    let started = Instant::now();
    // Waits for the threads that still compute.
    drop(runtime);
    assert!(started.elapsed() < Duration::from_secs(5));
}

//! Pipelines that call pipelines, and what a request's records say of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::{self, cost, lookahead};
use motet_proto::tensor::Tensor;
use tonic::{Code, Status};

use crate::exec::critical_path;
use crate::testing::{FakeModel, backend, lengths_of, plan, plans_over, run_plan};

const INNER: &str = "
pipeline: inner
inputs: { text: \"string[N]\" }
nodes:
  a: { model: m, in: { text: $text } }
  b: { model: m, in: { text: $text } }
outputs: { a: $a.size, b: $b.size }
";

/// A model that answers after some time of the paused clock.
fn after(time: Duration) -> FakeModel {
    FakeModel::new(move |request| async move {
        tokio::time::sleep(time).await;
        Ok(lengths_of(request))
    })
}

#[tokio::test(start_paused = true)]
async fn records_of_a_called_pipeline_count_from_the_start_of_the_request() {
    let inner = INNER;
    let outer = "
pipeline: outer
inputs: { text: \"string[N]\" }
nodes:
  first: { model: slow, in: { text: $text } }
  words: { op: template, in: { s: $first.size, t: $text }, with: { text: \"{t}{s}\" } }
  then: { pipeline: inner, in: { text: $words.out } }
outputs: { a: $then.a, b: $then.b }
";
    let slow = after(Duration::from_millis(100));
    let model = after(Duration::from_millis(10));
    let backends = [backend("slow", &slow), backend("m", &model)];
    let plan = plans_over(&[inner, outer], &backends);
    let outcome = run_plan(&plan, &[Tensor::strings(["ab"])]).await.unwrap();
    let called = &outcome.records[2];
    let inside = &called.stats.nested[0].records;
    assert_eq!(inside.len(), 2);
    for record in inside {
        assert!(record.started >= Duration::from_millis(100), "{record:?}");
        assert!(record.started >= called.started && record.ended <= called.ended);
    }
}

#[tokio::test]
async fn calls_of_a_called_pipeline_have_the_number_of_the_request() {
    let numbers: Arc<Mutex<Vec<i64>>> = Arc::default();
    let seen = numbers.clone();
    let model = FakeModel::new(move |request: ModelInferRequest| {
        let number = request.parameters.get(lookahead::REQUEST);
        if let Some(ParameterChoice::Int64Param(number)) =
            number.and_then(|p| p.parameter_choice.clone())
        {
            seen.lock().unwrap().push(number);
        }
        // Only a motet service gets hints; its answers show that it is one.
        let mut answer = lengths_of(request);
        let queue = (cost::QUEUE_US.to_owned(), oip::parameter(1i64));
        answer.parameters.extend([queue]);
        std::future::ready(Ok(answer))
    });
    let outer = "
pipeline: outer
inputs: { text: \"string[N]\" }
nodes:
  one: { pipeline: inner, in: { text: $text } }
  two: { pipeline: inner, in: { text: $text } }
outputs: { a: $one.a, b: $one.b, c: $two.a, d: $two.b }
";
    let plan = plans_over(&[INNER, outer], &[backend("m", &model)]);
    run_plan(&plan, &[Tensor::strings(["ab"])]).await.unwrap();
    numbers.lock().unwrap().clear();
    run_plan(&plan, &[Tensor::strings(["ab"])]).await.unwrap();
    let numbers = numbers.lock().unwrap();
    assert_eq!(numbers.len(), 4, "calls that may meet carry a number");
    assert!(numbers.iter().all(|n| *n == numbers[0]), "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn the_critical_path_goes_through_a_substitute() {
    let failing = FakeModel::new(|_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Err(Status::new(Code::Internal, "no"))
    });
    let slow = after(Duration::from_millis(50));
    let quick = after(Duration::from_millis(20));
    let plan = plan(
        "
pipeline: replaced
inputs: { text: \"string[N]\" }
nodes:
  near: { model: slow, in: { text: $text } }
  best: { model: failing, in: { text: $text }, on_error: { use: { size: $near.size } } }
  other: { model: quick, in: { text: $text } }
  last: { op: template, in: { a: $best.size, b: $other.size }, with: { text: \"{a} {b}\" } }
outputs: { out: $last.out }
",
        &[("slow", &slow), ("failing", &failing), ("quick", &quick)],
    );
    let outcome = run_plan(&plan, &[Tensor::strings(["ab"])]).await.unwrap();
    let path: Vec<&str> = critical_path(&plan, &outcome.records)
        .into_iter()
        .map(|node| plan.pipeline.nodes[node].name.as_str())
        .collect();
    assert_eq!(path, ["near", "best", "last"]);
    let best = outcome.records.iter().find(|r| r.stats.error.is_some());
    assert_eq!(best.unwrap().stats.error.as_deref(), Some("node best: no"));
}

#[tokio::test]
async fn a_failed_arm_says_why() {
    let (bad, good) = (FakeModel::failing(Code::Unavailable), FakeModel::lengths());
    let plan = plan(
        "
pipeline: chain
inputs: { text: \"string[N]\" }
nodes:
  size: { fallback: [ { model: bad, in: { text: $text } }, { model: good, in: { text: $text } } ] }
outputs: { size: $size.size }
",
        &[("bad", &bad), ("good", &good)],
    );
    let outcome = run_plan(&plan, &[Tensor::strings(["ab"])]).await.unwrap();
    let arms = &outcome.records[0].stats.nested;
    let why = arms[0].records[0]
        .stats
        .error
        .as_deref()
        .unwrap_or_default();
    assert_eq!(why, "node size[1]: it broke");
    assert_eq!(arms[1].records[0].stats.error, None);
}

mod bounds;
mod called;
mod decimals;
mod kinds;
mod nesting;
mod ops;
mod random;
mod whose_fault;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use motet_proto::tensor::Tensor;
use motet_runtime::status;
use tokio::sync::Barrier;
use tokio::time::Duration;
use tonic::Code;

use super::critical_path;
use crate::testing::{FakeModel, answer_with, floats, lengths_of, plan, run_plan, value};

const TWO_SIDES: &str = "
pipeline: sides
inputs: { text: \"string[N]\" }
nodes:
  a: { model: left, in: { text: $text } }
  b: { model: right, in: { text: $text } }
outputs: { a: $a.size, b: $b.size }
";

#[tokio::test]
async fn independent_nodes_run_at_the_same_time() {
    // Neither answers before both were asked.
    let barrier = Arc::new(Barrier::new(2));
    let meet = FakeModel::new(move |request| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Ok(lengths_of(request))
        }
    });
    let plan = plan(TWO_SIDES, &[("left", &meet), ("right", &meet)]);
    let outcome = run_plan(&plan, &[Tensor::strings(["ab", ""])])
        .await
        .unwrap();
    assert_eq!(floats(&value(&outcome, 0)), [2.0, 0.0]);
    assert_eq!(floats(&value(&outcome, 1)), [2.0, 0.0]);
    assert_eq!(outcome.records.len(), 2);
}

#[tokio::test]
async fn a_list_of_none_is_answered_without_a_call() {
    let model = FakeModel::lengths();
    let plan = plan(TWO_SIDES, &[("left", &model), ("right", &model)]);
    let outcome = run_plan(&plan, &[Tensor::strings::<&str>([])])
        .await
        .unwrap();
    assert_eq!(value(&outcome, 0).shape(), [0]);
    assert!(model.seen().is_empty());
}

#[tokio::test]
async fn a_scalar_goes_as_a_list_of_one_and_comes_back_as_a_scalar() {
    let model = FakeModel::lengths();
    let plan = plan(
        "
pipeline: lifted
inputs: { text: string, limit: { type: int, default: 3 } }
nodes:
  a: { model: m, in: { text: $text }, with: { limit: $limit } }
outputs: { size: $a.size }
",
        &[("m", &model)],
    );
    let outcome = run_plan(&plan, &[Tensor::scalar_string("abc"), Tensor::scalar(4i64)])
        .await
        .unwrap();
    assert_eq!(value(&outcome, 0).shape(), [0; 0]);
    assert_eq!(floats(&value(&outcome, 0)), [3.0]);
    let seen = &model.seen()[0];
    assert_eq!(seen.inputs[0].1.shape(), [1]);
    assert_eq!(seen.parameters, ["limit", "priority"]);
    assert_eq!(
        seen.outputs,
        ["size"],
        "what nothing reads is not asked for"
    );
    assert!(
        seen.timeout.is_some(),
        "what is left of the deadline goes along"
    );

    let error = run_plan(
        &plan,
        &[Tensor::scalar_string("abc"), Tensor::scalar(17i64)],
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(
        error.message(),
        "limit: 17 is out of range: it must be from 1 to 16, as node a needs it"
    );
}

#[tokio::test]
async fn a_failure_names_pipeline_node_and_model_and_ends_the_rest() {
    /// Counts when it is dropped.
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let endless = {
        let dropped = dropped.clone();
        FakeModel::new(move |_| {
            let guard = Dropped(dropped.clone());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
    };
    let failing = FakeModel::failing(Code::Unavailable);
    let plan = plan(TWO_SIDES, &[("left", &endless), ("right", &failing)]);
    let error = run_plan(&plan, &[Tensor::strings(["x"])])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(error.message(), "node b: it broke");
    let metadata = status::read(&error).metadata;
    for (key, value) in [("pipeline", "sides"), ("node", "b"), ("model", "right")] {
        assert_eq!(metadata[key], value);
    }
    assert_eq!(
        dropped.load(Ordering::SeqCst),
        1,
        "the other call was cancelled"
    );
}

const WITH_SUBSTITUTE: &str = "
pipeline: forgiving
inputs: { text: \"string[N]\" }
nodes:
  a: { model: left, in: { text: $text } }
  b: { model: right, in: { text: $text }, on_error: { use: { size: $a.size }, mark: degraded } }
outputs: { b: $b.size }
";

#[tokio::test]
async fn a_substitute_stands_in_for_a_failed_node() {
    let failing = FakeModel::failing(Code::Internal);
    let good = FakeModel::lengths();
    let forgiving = plan(WITH_SUBSTITUTE, &[("left", &good), ("right", &failing)]);
    let outcome = run_plan(&forgiving, &[Tensor::strings(["abcd"])])
        .await
        .unwrap();
    assert_eq!(floats(&value(&outcome, 0)), [4.0]);
    let degraded = outcome
        .records
        .iter()
        .find(|r| r.stats.degraded.is_some())
        .unwrap();
    assert_eq!(forgiving.pipeline.nodes[degraded.node].name, "b");
    assert_eq!(degraded.stats.degraded.as_deref(), Some("node b: it broke"));

    let none_works = plan(WITH_SUBSTITUTE, &[("left", &failing), ("right", &failing)]);
    let error = run_plan(&none_works, &[Tensor::strings(["abcd"])])
        .await
        .unwrap_err();
    assert_eq!(error.message(), "node b: it broke");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_names_what_was_still_running() {
    let endless = FakeModel::new(|_| std::future::pending());
    let good = FakeModel::lengths();
    let plan = plan(TWO_SIDES, &[("left", &endless), ("right", &good)]);
    let error = run_plan(&plan, &[Tensor::strings(["x"])])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&error).metadata["pipeline"], "sides");
    assert_eq!(status::read(&error).metadata["node"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_node_has_a_deadline_of_its_own() {
    let endless = FakeModel::new(|_| std::future::pending());
    let good = FakeModel::lengths();
    let yaml = WITH_SUBSTITUTE.replace("on_error:", "deadline: 20ms, on_error:");
    let plan = plan(&yaml, &[("left", &good), ("right", &endless)]);
    let started = tokio::time::Instant::now();
    let outcome = run_plan(&plan, &[Tensor::strings(["ab"])]).await.unwrap();
    assert_eq!(floats(&value(&outcome, 0)), [2.0]);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "in virtual time"
    );
}

#[tokio::test]
async fn answers_that_break_the_promise_are_the_models_fault() {
    let give = |name: &'static str, tensor: Tensor| {
        FakeModel::new(move |_| {
            let response = answer_with(&[(name, &tensor)]);
            async move { Ok(response) }
        })
    };
    let list = |n: usize| Tensor::from_values(vec![n], vec![0f32; n]).unwrap();
    let good = FakeModel::lengths();
    for (model, why) in [
        (
            give("other", list(1)),
            "node a got a wrong answer: tensor `size` is missing",
        ),
        (
            give("size", Tensor::scalar(1i64)),
            "node a got a wrong answer: tensor `size`: elements are int, not float",
        ),
        (
            give("size", list(3)),
            "node a gave a tensor `size` that has length 3 in dimension 0, but must have 1, \
             which is N in this request",
        ),
    ] {
        let plan = plan(TWO_SIDES, &[("left", &model), ("right", &good)]);
        let error = run_plan(&plan, &[Tensor::strings(["x"])])
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(error.message(), format!("node a: {why}"));
    }
}

#[tokio::test]
async fn the_critical_path_follows_the_slower_side() {
    let yaml = "
pipeline: path
inputs: { text: \"string[N]\" }
nodes:
  fast: { model: left, in: { text: $text } }
  slow: { model: right, in: { text: $text } }
  all:  { op: concat, in: { a: $fast.size, b: $slow.size } }
  best: { op: topk, in: { score: $all.out }, with: { k: 2 } }
outputs: { index: $best.index }
";
    // `slow` answers only after `fast` has.
    let (done, wait) = tokio::sync::watch::channel(false);
    let done = Arc::new(done);
    let fast = FakeModel::new(move |request| {
        done.send_replace(true);
        async move { Ok(lengths_of(request)) }
    });
    let slow = FakeModel::new(move |request| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|done| *done).await.unwrap();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            Ok(lengths_of(request))
        }
    });
    let plan = plan(yaml, &[("left", &fast), ("right", &slow)]);
    let outcome = run_plan(&plan, &[Tensor::strings(["a", "bbb"])])
        .await
        .unwrap();
    let names: Vec<&str> = critical_path(&plan, &outcome.records)
        .into_iter()
        .map(|n| plan.pipeline.nodes[n].name.as_str())
        .collect();
    assert_eq!(names, ["slow", "all", "best"]);
    assert_eq!(*value(&outcome, 0).values::<i32>().unwrap(), [1, 3]);
}

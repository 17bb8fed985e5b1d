//! Tests of the cache through pipelines that call models in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use motet_proto::inference::ModelInferRequest;
use motet_proto::oip;
use motet_proto::tensor::Tensor;
use motet_runtime::status;
use proptest::prelude::*;
use tokio::sync::watch;
use tokio::time::Duration;
use tonic::{Code, Status};

use super::rows::{RowLayout, SplitRequest};
use crate::call::CallStats;
use crate::call::layers::cache::Cache;
use crate::model::Backend;
use crate::plan::Plan;
use crate::testing::{FakeModel, backend, floats, lengths_of, plan_over, run_plan, value};

/// Returns a pipeline that embeds a list.
fn list(cache: &str, backend: &Backend) -> Arc<Plan> {
    let yaml = format!(
        "
pipeline: listed
inputs: {{ text: \"string[N]\", limit: {{ type: int, default: 8 }} }}
nodes: {{ a: {{ model: m, in: {{ text: $text }}, with: {{ limit: $limit }}, {cache} }} }}
outputs: {{ size: $a.size }}
"
    );
    plan_over(&yaml, std::slice::from_ref(backend))
}

async fn ask_limited(
    plan: &Arc<Plan>,
    texts: &[&str],
    limit: i64,
) -> Result<(Vec<f32>, CallStats, usize), Status> {
    let inputs = [Tensor::strings(texts), Tensor::scalar(limit)];
    let outcome = run_plan(plan, &inputs).await?;
    let stats = &outcome.records[0].stats;
    Ok((floats(&value(&outcome, 0)), stats.call_stats, stats.rows))
}

/// Returns the answer, and the numbers of rows that were hits, joined, and sent.
async fn ask(plan: &Arc<Plan>, texts: &[&str]) -> Result<(Vec<f32>, [usize; 3]), Status> {
    let (sizes, stats, sent) = ask_limited(plan, texts, 8).await?;
    let known = [stats.cache_hits as usize, stats.cache_joined as usize];
    Ok((sizes, [known[0], known[1], sent]))
}

/// Returns the texts of each call of a model.
fn sent(model: &FakeModel) -> Vec<Vec<String>> {
    let texts = |tensor: &Tensor| {
        let texts = tensor.as_strings().unwrap();
        texts.texts().map(str::to_owned).collect()
    };
    model
        .seen()
        .iter()
        .map(|call| texts(&call.inputs[0].1))
        .collect()
}

#[tokio::test]
async fn only_missing_rows_are_sent() {
    let model = FakeModel::lengths();
    let plan = list("cache: {}", &backend("m", &model));
    let first = ask(&plan, &["a", "bb", "a"]).await.unwrap();
    assert_eq!(first, (vec![1.0, 2.0, 1.0], [0, 1, 2]));
    let known = ask(&plan, &["bb", "a"]).await.unwrap();
    assert_eq!(known, (vec![2.0, 1.0], [2, 0, 0]));
    let mixed = ask(&plan, &["ccc", "a", "", "bb"]).await.unwrap();
    assert_eq!(mixed, (vec![3.0, 1.0, 0.0, 2.0], [2, 0, 2]));
    assert_eq!(sent(&model), [vec!["a", "bb"], vec!["ccc", ""]]);
    // Another setting may come to another answer.
    let (_, stats, rows) = ask_limited(&plan, &["a"], 9).await.unwrap();
    assert_eq!((stats.cache_hits, rows), (0, 1));
}

#[tokio::test]
async fn pipelines_share_the_cache_and_a_scalar_is_a_row() {
    let model = FakeModel::lengths();
    let shared = backend("m", &model);
    let listed = list("cache: {}", &shared);
    let single = plan_over(
        "
pipeline: single
inputs: { text: string, limit: { type: int, default: 8 } }
nodes: { a: { model: m, in: { text: $text }, with: { limit: $limit }, cache: {} } }
outputs: { size: $a.size }
",
        &[shared],
    );
    ask(&listed, &["abc", "d"]).await.unwrap();
    let inputs = [Tensor::scalar_string("abc"), Tensor::scalar(8i64)];
    let outcome = run_plan(&single, &inputs).await.unwrap();
    assert_eq!(floats(&value(&outcome, 0)), [3.0]);
    assert_eq!(value(&outcome, 0).shape(), [0; 0]);
    assert_eq!(model.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_node_has_its_own_ttl() {
    let model = FakeModel::lengths();
    let shared = backend("m", &model);
    let (fresh, old) = (
        list("cache: { ttl: 10s }", &shared),
        list("cache: {}", &shared),
    );
    ask(&fresh, &["a"]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(ask(&old, &["a"]).await.unwrap().1, [1, 0, 0]);
    assert_eq!(ask(&fresh, &["a"]).await.unwrap().1, [0, 0, 1]);
    assert_eq!(ask(&fresh, &["a"]).await.unwrap().1, [1, 0, 0]);
}

#[tokio::test]
async fn memory_is_bounded_and_freed_with_the_last_pipeline() {
    let model = FakeModel::lengths();
    let shared = backend("m", &model);
    let small = list("cache: { max: 64KiB }", &shared);
    let large = list("cache: { max: 1MiB }", &shared);
    let texts: Vec<String> = (0..1000).map(|n| format!("{n:0400}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    ask(&small, &texts).await.unwrap();
    assert_eq!(
        ask(&small, &texts).await.unwrap().1,
        [1000, 0, 0],
        "the largest bound holds"
    );
    drop(large);
    let (_, [hits, _, misses]) = ask(&small, &texts[900..]).await.unwrap();
    assert!((50..100).contains(&hits) && hits + misses == 100, "{hits}");
    drop(small);
    let again = list("cache: {}", &shared);
    assert_eq!(ask(&again, &["x"]).await.unwrap().1, [0, 0, 1]);
    assert_eq!(ask(&again, &texts[999..]).await.unwrap().1, [0, 0, 1]);
}

#[tokio::test]
async fn a_new_version_of_the_model_invalidates_the_rows() {
    let version = Arc::new(AtomicUsize::new(1));
    let model = {
        let version = version.clone();
        FakeModel::new(move |request| {
            let mut answer = lengths_of(request);
            answer.model_version = version.load(Ordering::SeqCst).to_string();
            async move { Ok(answer) }
        })
    };
    let plan = list("cache: {}", &backend("m", &model));
    ask(&plan, &["a", "b"]).await.unwrap();
    assert_eq!(ask(&plan, &["a"]).await.unwrap().1, [1, 0, 0]);
    version.store(2, Ordering::SeqCst);
    ask(&plan, &["c"]).await.unwrap();
    assert_eq!(ask(&plan, &["a", "c"]).await.unwrap().1, [1, 0, 1]);
    assert_eq!(ask(&plan, &["a", "c"]).await.unwrap().1, [2, 0, 0]);
}

/// Returns a model that answers once the gate is open, and whose call number n fails if `fails(n)`.
fn gated(
    fails: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (FakeModel, watch::Sender<bool>) {
    let (gate, opened) = watch::channel(false);
    let calls = AtomicUsize::new(0);
    let model = FakeModel::new(move |request| {
        let fails = fails(calls.fetch_add(1, Ordering::SeqCst));
        let mut opened = opened.clone();
        async move {
            opened.wait_for(|open| *open).await.unwrap();
            match fails {
                true => Err(status::internal("it broke").into()),
                false => Ok(lengths_of(request)),
            }
        }
    });
    (model, gate)
}

/// Starts a request and runs it as far as it gets.
async fn begin(
    plan: &Arc<Plan>,
    texts: &'static [&'static str],
) -> tokio::task::JoinHandle<Result<(Vec<f32>, [usize; 3]), Status>> {
    let plan = plan.clone();
    let task = tokio::spawn(async move { ask(&plan, texts).await });
    settle().await;
    task
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn identical_rows_in_flight_are_sent_once() {
    let (model, gate) = gated(|_| false);
    let plan = list("cache: {}", &backend("m", &model));
    let first = begin(&plan, &["a", "bb"]).await;
    let second = begin(&plan, &["bb", "ccc"]).await;
    let third = begin(&plan, &["ccc", "a"]).await;
    assert_eq!(sent(&model), [vec!["a", "bb"], vec!["ccc"]]);
    gate.send_replace(true);
    for (task, wanted) in [
        (first, (vec![1.0, 2.0], [0, 0, 2])),
        (second, (vec![2.0, 3.0], [0, 1, 1])),
        (third, (vec![3.0, 1.0], [0, 2, 0])),
    ] {
        assert_eq!(task.await.unwrap().unwrap(), wanted);
    }
}

#[tokio::test]
async fn a_cancelled_request_does_not_fail_those_that_wait_for_its_rows() {
    let (model, gate) = gated(|_| false);
    let plan = list("cache: {}", &backend("m", &model));
    let first = begin(&plan, &["a", "bb"]).await;
    let second = begin(&plan, &["bb"]).await;
    let third = begin(&plan, &["bb", "a"]).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    settle().await;
    // Whichever of them noticed first fetches them, each once more.
    let mut again = sent(&model).split_off(1).concat();
    again.sort();
    assert_eq!(again, ["a", "bb"]);
    gate.send_replace(true);
    assert_eq!(second.await.unwrap().unwrap().0, [2.0]);
    assert_eq!(third.await.unwrap().unwrap().0, [2.0, 1.0]);
}

#[tokio::test]
async fn a_failed_fetch_is_repeated_by_those_that_waited_for_it() {
    let (model, gate) = gated(|n| n == 0);
    let plan = list("cache: {}", &backend("m", &model));
    let first = begin(&plan, &["a"]).await;
    let second = begin(&plan, &["a"]).await;
    gate.send_replace(true);
    assert_eq!(first.await.unwrap().unwrap_err().code(), Code::Internal);
    assert_eq!(second.await.unwrap().unwrap(), (vec![1.0], [0, 0, 1]));
    assert_eq!(
        ask(&plan, &["a"]).await.unwrap().1,
        [1, 0, 0],
        "a failure is not kept"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_rows_in_flight_ends_with_the_deadline() {
    let (model, _gate) = gated(|_| false);
    let shared = backend("m", &model);
    let (slow, hasty) = (
        list("cache: {}", &shared),
        list("cache: {}, deadline: 20ms", &shared),
    );
    let first = begin(&slow, &["a"]).await;
    let error = ask(&hasty, &["a"]).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&error).metadata["model"], "m");
    assert_eq!(model.seen().len(), 1);
    first.abort();
}

#[tokio::test]
async fn wrong_answers_are_not_cached() {
    let model = FakeModel::new(|mut request: ModelInferRequest| async move {
        let (inputs, _) = oip::take_inputs(&mut request).unwrap();
        let text = inputs[0].1.gather(&[0]).unwrap();
        let mut shorter = ModelInferRequest::default();
        oip::put_inputs(&mut shorter, [("text", &text)]);
        Ok(lengths_of(shorter))
    });
    let plan = list("cache: {}", &backend("m", &model));
    for _ in 0..2 {
        let error = ask(&plan, &["a", "b"]).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(
            error.message(),
            "node a: model m gave a wrong answer: tensor `size` has the shape [1], though \
             2 rows of [] were asked for"
        );
    }
    assert_eq!(model.seen().len(), 2);
}

/// Returns the keys of the rows of a request to a model that takes one query and two texts per row.
fn keys(limit: i64, query: &str, rows: &[(&str, &str)]) -> Vec<Arc<[u8]>> {
    let layout = RowLayout::new(
        &Cache {
            ttl: Duration::ZERO,
            max_bytes: 0,
            row_inputs: vec!["a".to_owned(), "b".to_owned()],
            outputs: Vec::new(),
        },
        |_| true,
    );
    let mut request = ModelInferRequest::default();
    let limit = oip::parameter(limit);
    request.parameters.insert("limit".to_owned(), limit);
    let urgent = oip::parameter(1i64);
    request.parameters.insert("priority".to_owned(), urgent);
    let a = Tensor::strings(rows.iter().map(|r| r.0));
    let b = Tensor::strings(rows.iter().map(|r| r.1));
    let query = Tensor::scalar_string(query);
    oip::put_inputs(&mut request, [("query", &query), ("a", &a), ("b", &b)]);
    SplitRequest::new(&layout, request).unwrap().keys().to_vec()
}

proptest! {
    /// Two keys are equal exactly if everything that the answer depends on is.
    #[test]
    fn keys_are_equal_exactly_for_equal_rows(
        one in (0i64..2, "[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"),
        two in (0i64..2, "[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"),
    ) {
        let key = |(limit, query, a, b): &(i64, String, String, String)| {
            keys(*limit, query, &[("other", "row"), (a, b)])[1].clone()
        };
        prop_assert_eq!(key(&one) == key(&two), one == two);
    }

    /// Answers are those of a pipeline without a cache, and each text is sent once.
    #[test]
    fn answers_are_those_without_a_cache(
        requests in prop::collection::vec(prop::collection::vec("[a-d]{0,3}", 0..8), 1..12),
    ) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().build().unwrap();
        runtime.block_on(async {
            let model = FakeModel::lengths();
            let plan = list("cache: {}", &backend("m", &model));
            for texts in &requests {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let inputs = [Tensor::strings(&texts), Tensor::scalar(8i64)];
                let outcome = run_plan(&plan, &inputs).await.unwrap();
                let sizes: Vec<f32> = texts.iter().map(|t| t.len() as f32).collect();
                assert_eq!(floats(&value(&outcome, 0)), sizes);
            }
            let mut all: Vec<String> = sent(&model).concat();
            let calls = all.len();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), calls, "no text was sent twice");
        });
    }
}

#[test]
fn a_shared_input_is_not_copied_into_each_key() {
    let query = "q".repeat(1 << 20);
    let rows: Vec<(&str, &str)> = vec![("a", "b"); 100];
    let bytes: usize = keys(1, &query, &rows).iter().map(|key| key.len()).sum();
    assert!(bytes < 10_000, "100 keys have {bytes} bytes");
    let other = "r".repeat(1 << 20);
    assert_ne!(keys(1, &query, &rows), keys(1, &other, &rows));
}

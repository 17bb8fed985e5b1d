//! Tests of the policies through pipelines that call models in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use motet_proto::tensor::Tensor;
use motet_runtime::status;
use tokio::time::{Duration, Instant};
use tonic::{Code, Status};

use super::CallStats;
use crate::plan::Plan;
use crate::testing::{
    FakeModel, Way, answer_with, floats, lengths_of, plan, plan_over, remote, run_plan, value,
};

/// Returns a pipeline of one call with these policies.
fn one_call(policies: &str, model: &FakeModel) -> Arc<Plan> {
    let yaml = format!(
        "
pipeline: one
inputs: {{ text: \"string[N]\" }}
nodes:
  a: {{ model: m, in: {{ text: $text }}, {policies} }}
outputs: {{ size: $a.size }}
"
    );
    plan(&yaml, &[("m", model)])
}

/// Returns a model whose call number n fails with `fails(n)`, or else answers.
fn failing_when(fails: impl Fn(usize) -> Option<Status> + Send + Sync + 'static) -> FakeModel {
    let calls = AtomicUsize::new(0);
    FakeModel::new(move |request| {
        let error = fails(calls.fetch_add(1, Ordering::SeqCst));
        async move { error.map_or_else(|| Ok(lengths_of(request)), Err) }
    })
}

async fn ask(plan: &Arc<Plan>) -> Result<(Vec<f32>, CallStats), Status> {
    let outcome = run_plan(plan, &[Tensor::strings(["abc"])]).await?;
    let stats = outcome.records[0].stats.call_stats;
    Ok((floats(&value(&outcome, 0)), stats))
}

fn away() -> Status {
    status::unavailable("it is away").into()
}

#[tokio::test(start_paused = true)]
async fn only_transient_errors_are_retried() {
    let full = |after_ms: u64| {
        let after = Duration::from_millis(after_ms);
        Status::from(status::resource_exhausted("full", Some(after)))
    };
    // Policies, number of failures, error; then whether the last call succeeds, number of calls.
    for (policies, failures, error, answered, calls) in [
        ("retry: { max: 2 }", 0, away(), true, 1),
        ("retry: { max: 2 }", 2, away(), true, 3),
        ("retry: { max: 2 }", 3, away(), false, 3),
        ("retry: {}", 3, away(), false, 3),
        ("retry: { max: 1 }", 1, full(500), true, 2),
        ("retry: { max: 1 }", 1, full(6000), false, 1),
        ("retry: { max: 1 }", 1, Status::internal("broke"), false, 1),
        (
            "retry: { max: 1, codes: [INTERNAL] }",
            1,
            Status::internal("broke"),
            true,
            2,
        ),
        ("retry: { max: 1, codes: [INTERNAL] }", 1, away(), false, 1),
        (
            "retry: { max: 3 }",
            1,
            Status::invalid_argument("bad"),
            false,
            1,
        ),
        ("deadline: 1s", 1, away(), false, 1),
    ] {
        let model = {
            let error = error.clone();
            failing_when(move |n| (n < failures).then(|| error.clone()))
        };
        let plan = one_call(policies, &model);
        let what = format!("{policies}, {failures} x {error}");
        match ask(&plan).await {
            Ok((sizes, stats)) => {
                assert!(answered, "{what}");
                assert_eq!(sizes, [3.0]);
                assert_eq!(stats.retries as usize, calls - 1, "{what}");
            }
            Err(found) => {
                assert!(!answered, "{what}: {found}");
                assert_eq!(found.code(), error.code(), "{what}");
                let attempts = status::read(&found).metadata.get("attempts").cloned();
                let wanted = (calls > 1).then(|| calls.to_string());
                assert_eq!(attempts, wanted, "{what}");
            }
        }
        assert_eq!(model.seen().len(), calls, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_after_the_deadline() {
    let model = failing_when(|_| Some(away()));
    // Few of the pauses, which are of up to 10 s, are shorter than 50 ms.
    let plan = one_call("deadline: 50ms, retry: { max: 9, backoff: 10s }", &model);
    let started = Instant::now();
    let error = ask(&plan).await.unwrap_err();
    assert_eq!(
        error.code(),
        Code::Unavailable,
        "the error itself, not that it is late"
    );
    assert!(started.elapsed() <= Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn retries_stop_when_the_budget_is_spent_until_calls_refill_it() {
    // Every second call fails, which keeps the circuit closed.
    let model = failing_when(|n| (n % 2 == 0).then(away));
    let plan = one_call("retry: { max: 1, backoff: 1ms }", &model);
    let mut answered = 0;
    while let Ok((_, stats)) = ask(&plan).await {
        assert_eq!(stats.retries, 1);
        answered += 1;
        assert!(answered < 100, "a budget ends");
    }
    // Ten tokens, a fifth of one for each call, and almost none for the time.
    assert!((10..=13).contains(&answered), "{answered}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The call without a retry left the model at an odd call, which succeeds.
    for retries in [0, 1] {
        let (_, stats) = ask(&plan).await.unwrap();
        assert_eq!(stats.retries, retries);
    }
}

/// Returns a pipeline of one call of a model in another process.
fn one_remote_call(policies: &str, model: &FakeModel) -> Arc<Plan> {
    let yaml = format!(
        "
pipeline: one
inputs: {{ text: \"string[N]\" }}
nodes:
  a: {{ model: m, in: {{ text: $text }}, {policies} }}
outputs: {{ size: $a.size }}
"
    );
    plan_over(&yaml, &[remote("m", model)])
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_reach_a_model_open_its_circuit() {
    let model = FakeModel::lengths();
    let plan = one_remote_call("deadline: 1s", &model);
    model.set_way(Way::Refused);
    for _ in 0..8 {
        let error = ask(&plan).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }
    assert_eq!(model.arrivals(), 5, "the circuit opened");
    let error = ask(&plan).await.unwrap_err();
    let details = status::read(&error);
    assert_eq!(details.reason, "CIRCUIT_OPEN");
    assert!(details.retry_after.is_some());
    assert!(
        error
            .message()
            .starts_with("node a: model m was not reached several times"),
        "{error}"
    );
    assert_eq!(
        (&*details.metadata["node"], &*details.metadata["model"]),
        ("a", "m")
    );
    // Probes go on without any call.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let probes = model.arrivals() - 5;
    assert!((20..30).contains(&probes), "{probes}");
    ask(&plan).await.unwrap_err();
    assert_eq!(model.seen().len(), 0);

    model.set_way(Way::Open);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        assert_eq!(ask(&plan).await.unwrap().0, [3.0]);
    }
    assert_eq!(model.seen().len(), 3);
    let arrivals = model.arrivals();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(model.arrivals(), arrivals, "nothing is probed");
}

#[tokio::test(start_paused = true)]
async fn a_graph_whose_nodes_share_a_model_recovers() {
    let model = FakeModel::lengths();
    let yaml = "
pipeline: two
inputs: { text: \"string[N]\" }
nodes:
  a: { model: m, in: { text: $text } }
  b: { model: m, in: { text: $text } }
outputs: { a: $a.size, b: $b.size }
";
    let plan = plan_over(yaml, &[remote("m", &model)]);
    let text = [Tensor::strings(["abc"])];
    model.set_way(Way::Refused);
    for _ in 0..9 {
        run_plan(&plan, &text).await.unwrap_err();
    }
    model.set_way(Way::Open);
    let back = Instant::now();
    while run_plan(&plan, &text).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn errors_that_a_model_answers_do_not_open_its_circuit() {
    let model = FakeModel::new(async |_| Err(Status::unavailable("its own trouble")));
    let plan = one_remote_call("deadline: 1s", &model);
    for _ in 0..20 {
        let error = ask(&plan).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(error.message(), "node a: its own trouble");
    }
    assert_eq!(model.seen().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn silence_opens_the_circuit_if_a_probe_is_met_with_it_too() {
    let (model, _) = taking(|_| Some(300));
    let plan = one_remote_call("deadline: 50ms", &model);
    // It is slow, but it answers probes.
    for _ in 0..20 {
        let error = ask(&plan).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(model.seen().len(), 20);

    model.set_way(Way::Silent);
    let mut late = 0;
    while ask(&plan).await.unwrap_err().code() == Code::DeadlineExceeded {
        late += 1;
        assert!(late < 100, "the circuit opens");
    }
    assert_eq!(
        status::read(&ask(&plan).await.unwrap_err()).reason,
        "CIRCUIT_OPEN"
    );
    model.set_way(Way::Open);
    tokio::time::sleep(Duration::from_secs(1)).await;
    ask(&plan).await.unwrap_err();
    assert_eq!(model.seen().len(), 21, "it is called again");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_lost_with_its_connection_is_made_again() {
    let model = FakeModel::lengths();
    let plan = one_remote_call("deadline: 1s", &model);
    for lost in [1, 4] {
        model.break_next(lost);
        let (sizes, stats) = ask(&plan).await.unwrap();
        assert_eq!((sizes, stats.retries as usize), (vec![3.0], lost));
    }
    model.break_next(5);
    let error = ask(&plan).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(error.message(), "node a: model m broke off the connection");

    // Many connections that break at once are no outage.
    model.break_next(64);
    let calls = (0..64).map(|_| ask(&plan));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap().1.retries, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_lost_are_made_again_within_a_budget() {
    let model = FakeModel::lengths();
    let plan = one_remote_call("deadline: 1s", &model);
    let mut answered = 0;
    loop {
        model.break_next(1);
        if ask(&plan).await.is_err() {
            break;
        }
        answered += 1;
        assert!(answered < 1000, "a budget ends");
    }
    assert!(answered >= 256, "{answered}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_the_circuit_if_the_deadline_allows() {
    let model = FakeModel::lengths();
    let plan = one_remote_call("retry: { max: 9, backoff: 1ms }", &model);
    model.set_way(Way::Refused);
    tokio::spawn({
        let model = model.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            model.set_way(Way::Open);
        }
    });
    let (_, stats) = ask(&plan).await.unwrap();
    assert!(stats.circuit_open);
    assert!(stats.retries >= 5, "{}", stats.retries);
    assert_eq!(model.seen().len(), 1);
}

/// Returns a model whose calls take these milliseconds in turn, `None` for ever, and the number of
/// its calls in flight.
fn taking(
    ms: impl Fn(usize) -> Option<u64> + Send + Sync + 'static,
) -> (FakeModel, Arc<AtomicUsize>) {
    struct UnderWay(Arc<AtomicUsize>);
    impl Drop for UnderWay {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let under_way = Arc::new(AtomicUsize::new(0));
    let calls = AtomicUsize::new(0);
    let counter = under_way.clone();
    let model = FakeModel::new(move |request| {
        let takes = ms(calls.fetch_add(1, Ordering::SeqCst));
        counter.fetch_add(1, Ordering::SeqCst);
        let guard = UnderWay(counter.clone());
        async move {
            let _guard = guard;
            match takes {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            Ok(lengths_of(request))
        }
    });
    (model, under_way)
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_hedged_and_the_loser_is_cancelled() {
    let (model, under_way) = taking(|n| if n == 0 { None } else { Some(5) });
    let plan = one_call("hedge: { after: 20ms }", &model);
    let started = Instant::now();
    let (sizes, stats) = ask(&plan).await.unwrap();
    assert_eq!(sizes, [3.0]);
    assert_eq!(started.elapsed(), Duration::from_millis(25));
    assert_eq!((stats.hedges, stats.hedge_won), (1, true));
    assert_eq!(model.seen().len(), 2);
    assert_eq!(
        under_way.load(Ordering::SeqCst),
        0,
        "the slow call was dropped"
    );

    // The first attempt may still win.
    let (model, under_way) = taking(|_| Some(30));
    let plan = one_call("hedge: { after: 20ms, max: 3 }", &model);
    let (_, stats) = ask(&plan).await.unwrap();
    assert_eq!((stats.hedges, stats.hedge_won), (1, false));
    assert_eq!(under_way.load(Ordering::SeqCst), 0);

    // At most `max` hedges, one after another.
    let (model, _) = taking(|_| None);
    let plan = one_call("deadline: 200ms, hedge: { after: 20ms, max: 3 }", &model);
    let error = ask(&plan).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(model.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn hedges_stop_when_the_budget_is_spent() {
    let (model, _) = taking(|_| Some(50));
    let plan = one_call("hedge: { after: 20ms, budget: 20% }", &model);
    let mut hedges = 0;
    for _ in 0..100 {
        hedges += ask(&plan).await.unwrap().1.hedges;
    }
    // A burst of ten, and a fifth of a hundred calls.
    assert!((28..=30).contains(&hedges), "{hedges}");
}

#[tokio::test(start_paused = true)]
async fn a_percentile_of_latencies_decides_which_calls_are_slow() {
    // Calls of 10 ms with occasional slow ones, among them the 31st.
    let (model, _) = taking(|n| if n % 30 == 29 { None } else { Some(10) });
    let plan = one_call("hedge: { after: p90 }", &model);
    for n in 0..29 {
        assert_eq!(ask(&plan).await.unwrap().1.hedges, 0, "call {n}");
    }
    let started = Instant::now();
    let (_, stats) = ask(&plan).await.unwrap();
    assert!(stats.hedge_won);
    assert_eq!(started.elapsed(), Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_hidden_by_one_that_succeeds() {
    let calls = AtomicUsize::new(0);
    let model = FakeModel::new(move |request| {
        let n = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis([40, 10][n])).await;
            if n == 1 {
                Err(away())
            } else {
                Ok(lengths_of(request))
            }
        }
    });
    let plan = one_call("hedge: { after: 20ms }", &model);
    let (_, stats) = ask(&plan).await.unwrap();
    assert_eq!((stats.hedges, stats.hedge_won), (1, false));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_finite_is_an_error_and_its_neighbours_get_theirs() {
    let model = FakeModel::new(async |mut request| {
        let (inputs, _) = motet_proto::oip::take_inputs(&mut request).unwrap();
        let text = &inputs[0].1;
        let texts = text.as_strings().unwrap();
        let size = |text: &[u8]| match text {
            b"bad" => f32::NAN,
            text => text.len() as f32,
        };
        let sizes = texts.iter().map(size).collect();
        let size = Tensor::from_values(text.shape().to_vec(), sizes).unwrap();
        Ok(answer_with(&[("size", &size)]))
    });
    let plan = one_remote_call("deadline: 1s", &model);
    for _ in 0..9 {
        let texts = [Tensor::strings(["good", "bad"])];
        let error = run_plan(&plan, &texts).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(
            error.message(),
            "node a: `size[1]` of the answer of model m is not finite"
        );
        let details = status::read(&error);
        assert_eq!(details.reason, "RESULT_NOT_FINITE");
        assert_eq!(
            (&*details.metadata["node"], &*details.metadata["model"]),
            ("a", "m")
        );
    }
    assert_eq!(ask(&plan).await.unwrap().0, [3.0], "its circuit is closed");
    let yaml = "
pipeline: each
inputs: { text: \"string[N]\" }
nodes:
  a: { map: { over: $text, on_item_error: drop, do: { model: m, in: { text: $item } } } }
outputs: { size: $a.size }
";
    let plan = plan_over(yaml, &[remote("m", &model)]);
    let texts = [Tensor::strings(["good", "bad", "better"])];
    let outcome = run_plan(&plan, &texts).await.unwrap();
    assert_eq!(floats(&value(&outcome, 0)), [4.0, 6.0]);
}

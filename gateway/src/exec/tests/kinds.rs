//! Nodes that hold other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use motet_proto::inference::ModelInferRequest;
use motet_proto::oip;
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::Metrics;
use tokio::time::Duration;
use tonic::{Code, Status};

use super::TWO_SIDES;
use crate::exec::{OutputSelection, RequestLimits, bind_inputs, run};
use crate::plan::Plan;
use crate::testing::{
    FakeModel, answer_with, backend, floats, lengths_of, plan, plan_counted, run_plan, value,
};

/// A model that answers texts of at least `least` bytes, and fails for shorter ones.
fn picky(least: usize) -> FakeModel {
    FakeModel::new(move |request| async move {
        let (inputs, _) = oip::take_inputs(&mut request.clone()).unwrap();
        let texts = inputs[0].1.as_strings().unwrap();
        if texts.iter().any(|t| t.len() < least) {
            return Err(Status::internal("too short"));
        }
        Ok(lengths_of(request))
    })
}

/// Every size of the text is this.
fn constant(size: f32) -> FakeModel {
    FakeModel::new(move |mut request: ModelInferRequest| async move {
        let (inputs, _) = oip::take_inputs(&mut request).unwrap();
        let shape = inputs[0].1.shape().to_vec();
        let sizes = vec![size; inputs[0].1.len()];
        let size = Tensor::from_values(shape, sizes).unwrap();
        Ok(answer_with(&[("size", &size)]))
    })
}

fn texts(list: &[&str]) -> Tensor {
    Tensor::strings(list)
}

/// The first value of each output, `None` where it is absent.
async fn outputs(plan: &Arc<Plan>, inputs: Vec<Option<Tensor>>) -> Vec<Option<Tensor>> {
    let inputs = bind_inputs(plan, inputs).unwrap();
    let limits = RequestLimits {
        deadline: Deadline::within(Duration::from_secs(5)),
        priority: None,
    };
    let outcome = run(plan, inputs, OutputSelection::All, limits)
        .await
        .unwrap();
    outcome.outputs.into_iter().flatten().collect()
}

const FALLBACK: &str = "
pipeline: chain
inputs: { text: \"string[N]\" }
nodes:
  size:
    fallback:
      - { model: left, in: { text: $text } }
      - { model: right, in: { text: $text }, deadline: 20ms }
      - { value: { size: [0.5] } }
outputs: { size: $size.size }
";

#[tokio::test(start_paused = true)]
async fn the_first_arm_that_does_not_fail_answers() {
    let (good, other) = (FakeModel::lengths(), FakeModel::lengths());
    let bad = FakeModel::failing(Code::Unavailable);
    let slow = FakeModel::new(|_| std::future::pending());
    for (left, right, size, arm, asked) in [
        (&good, &other, 2.0, 0, 0),
        (&bad, &good, 2.0, 1, 1),
        (&bad, &slow, 0.5, 2, 1),
    ] {
        let before = right.seen().len();
        let plan = plan(FALLBACK, &[("left", left), ("right", right)]);
        let outcome = run_plan(&plan, &[texts(&["ab"])]).await.unwrap();
        assert_eq!(floats(&value(&outcome, 0)), [size]);
        assert_eq!(outcome.records[0].stats.arm, Some(arm));
        assert_eq!(outcome.records[0].stats.nested.len(), arm + 1);
        assert_eq!(right.seen().len() - before, asked, "arms run one by one");
    }
    let plan = plan(
        &FALLBACK.replace("      - { value: { size: [0.5] } }\n", ""),
        &[("left", &bad), ("right", &bad)],
    );
    let error = run_plan(&plan, &[texts(&["ab"])]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(
        error.message(),
        "node size: every arm failed: node size[1]: it broke; node size[2]: it broke"
    );
}

const SWITCH: &str = "
pipeline: chosen
inputs: { text: \"string[N]\", lang: { type: string, optional: true }, strict: { type: bool, default: false } }
nodes:
  size:
    switch:
      - { when: \"lang == 'de' and not strict\", do: { model: left, in: { text: $text } } }
      - { when: \"length(text) > 1 or lang != null\", do: { model: right, in: { text: $text } } }
outputs: { size: $size.size }
";

#[tokio::test]
async fn the_first_arm_whose_condition_holds_runs() {
    let (left, right) = (constant(1.0), constant(2.0));
    let plan = plan(SWITCH, &[("left", &left), ("right", &right)]);
    let lang = |l: &str| Some(Tensor::scalar_string(l));
    let strict = Some(Tensor::scalar_bool(true));
    let (one, two) = (texts(&["a"]), texts(&["a", "b"]));
    for (text, lang, strict, size) in [
        (&one, lang("de"), None, Some(1.0)),
        (&one, lang("de"), strict, Some(2.0)),
        (&one, lang("fr"), None, Some(2.0)),
        (&two, None, None, Some(2.0)),
        (&one, None, None, None),
    ] {
        let given = vec![Some(text.clone()), lang, strict];
        let found = outputs(&plan, given).await.remove(0);
        let found = found.map(|t| floats(&t)[0]);
        assert_eq!(found, size);
    }
}

#[tokio::test]
async fn what_is_absent_has_a_default_and_what_may_be_is_not_run() {
    let model = FakeModel::lengths();
    let plan = plan(
        "
pipeline: perhaps
inputs: { caption: { type: string, optional: true } }
nodes:
  size: { model: m, in: { text: $caption }, when: caption != null }
  known: { op: default, in: { value: $size.size, default: 7.5 } }
outputs: { size: $size.size, known: $known.out }
",
        &[("m", &model)],
    );
    let scalar = |x: f32| Some(Tensor::scalar(x));
    let given = outputs(&plan, vec![Some(Tensor::scalar_string("abc"))]).await;
    assert_eq!(given, [scalar(3.0), scalar(3.0)]);
    let absent = outputs(&plan, vec![None]).await;
    assert_eq!(absent, [None, scalar(7.5)]);
    assert_eq!(model.seen().len(), 1);
}

const ENSEMBLE: &str = "
pipeline: together
inputs: { text: \"string[N]\" }
nodes:
  safe:
    ensemble:
      of: [ { model: a, in: { text: $text } }, { model: b, in: { text: $text } }, { model: c, in: { text: $text } } ]
      combine: { weighted_mean: [0.5, 0.25, 0.25] }
      quorum: 2
      deadline: 60ms
outputs: { size: $safe.size }
";

#[tokio::test(start_paused = true)]
async fn an_ensemble_needs_its_quorum_in_time() {
    let (one, two, six) = (constant(1.0), constant(2.0), constant(6.0));
    let slow = FakeModel::new(|_| std::future::pending());
    let bad = FakeModel::failing(Code::Internal);
    let check = async |c: &FakeModel, expected: &[f32], why: Option<&str>| {
        let plan = plan(ENSEMBLE, &[("a", &one), ("b", &two), ("c", c)]);
        let outcome = run_plan(&plan, &[texts(&["x"])]).await.unwrap();
        assert_eq!(floats(&value(&outcome, 0)), expected);
        assert_eq!(outcome.records[0].stats.degraded.as_deref(), why);
    };
    check(&six, &[2.5], None).await;
    let late = "2 of 3 arms answered: safe[3] was not in time";
    check(&slow, &[4.0 / 3.0], Some(late)).await;
    let failed = "2 of 3 arms answered: node safe[3]: it broke";
    check(&bad, &[4.0 / 3.0], Some(failed)).await;

    let plan = plan(ENSEMBLE, &[("a", &bad), ("b", &bad), ("c", &slow)]);
    let error = run_plan(&plan, &[texts(&["x"])]).await.unwrap_err();
    assert_eq!(
        error.message(),
        "node safe: 0 of 3 arms answered: node safe[1]: it broke; node safe[2]: it broke; \
         safe[3] was not in time (2 must)"
    );
}

const MAP: &str = "
pipeline: each
inputs: { text: \"string[N]\", twice: { type: float, default: 2 } }
nodes:
  items:
    map:
      over: $text
      as: one
      max_items: 3
      concurrency: 2
      on_item_error: fail
      nodes:
        size: { model: m, in: { text: $one } }
        kept: { op: select, in: { own: $size.size, factor: $twice } }
      outputs: { size: $kept.own, factor: $kept.factor }
outputs: { size: $items.size, factor: $items.factor }
";

#[tokio::test]
async fn a_map_runs_its_graph_for_each_element() {
    let model = picky(2);
    let fail = plan(MAP, &[("m", &model)]);
    let found = outputs(&fail, vec![Some(texts(&["ab", "abcd"])), None]).await;
    assert_eq!(floats(found[0].as_ref().unwrap()), [2.0, 4.0]);
    assert_eq!(floats(found[1].as_ref().unwrap()), [2.0, 2.0]);

    let none = outputs(&fail, vec![Some(texts(&[])), None]).await;
    assert_eq!(none[0].as_ref().unwrap().shape(), [0]);

    let error = run_plan(&fail, &[texts(&["ab", "a"]), Tensor::scalar(1f32)]).await;
    assert_eq!(
        error.unwrap_err().message(),
        "node items: element 1: node size: too short"
    );
    let error = run_plan(&fail, &[texts(&["ab"; 4]), Tensor::scalar(1f32)]).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(
        error.message(),
        "node items: 4 elements are more than `max_items` (3)"
    );

    let drop = MAP
        .replace("error: fail", "error: drop")
        .replace("factor: $items.factor", "index: $items.index");
    let drop = plan(&drop, &[("m", &model)]);
    let found = outputs(&drop, vec![Some(texts(&["a", "ab", "abc"])), None]).await;
    assert_eq!(floats(found[0].as_ref().unwrap()), [2.0, 3.0]);
    assert_eq!(*found[1].as_ref().unwrap().values::<i32>().unwrap(), [1, 2]);

    let null = MAP
        .replace("error: fail", "error: \"null\"")
        .replace("factor: $items.factor", "failed: $items.failed");
    let null = plan(&null, &[("m", &model)]);
    let found = outputs(&null, vec![Some(texts(&["a", "ab", "abc"])), None]).await;
    assert_eq!(floats(found[0].as_ref().unwrap()), [0.0, 2.0, 3.0]);
    let failed = found[1].as_ref().unwrap().to_bools().unwrap();
    assert_eq!(failed, [true, false, false]);
}

#[tokio::test]
async fn a_map_runs_only_so_many_elements_at_a_time() {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let model = {
        let (most, now) = (most.clone(), now.clone());
        FakeModel::new(move |request| {
            let (most, now) = (most.clone(), now.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(lengths_of(request))
            }
        })
    };
    let plan = plan(MAP, &[("m", &model)]);
    outputs(&plan, vec![Some(texts(&["a", "b", "c"])), None]).await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

const SPLIT: &str = "
pipeline: canary
inputs: { text: \"string[N]\", user: { type: string, default: nobody } }
nodes:
  size:
    split:
      sticky: $user
      arms:
        - { weight: 50, do: { model: old, in: { text: $text } } }
        - { weight: 50, do: { model: new, in: { text: $text } } }
      shadow: [ { percent: 100, do: { model: next, in: { text: $text } } } ]
outputs: { size: $size.size }
";

#[tokio::test]
async fn users_keep_their_arm_and_shadows_are_only_compared() {
    let (old, new) = (constant(1.0), constant(2.0));
    let next = constant(1.0);
    let metrics = Metrics::new("test").unwrap();
    let backends = [
        backend("old", &old),
        backend("new", &new),
        backend("next", &next),
    ];
    let plan = plan_counted(SPLIT, &backends, &metrics);
    let count = |outcome: &str| -> usize {
        let text = metrics.render().unwrap();
        let wanted = format!("outcome=\"{outcome}\"");
        let of_shadow = |l: &&str| l.starts_with("motet_node_shadows_total") && l.contains(&wanted);
        let mut lines = text.lines().filter(of_shadow);
        lines
            .next()
            .map_or(0, |l| l.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let mut seen = [0, 0];
    for user in 0..40 {
        let mut arms = Vec::new();
        for _ in 0..3 {
            let user = Tensor::scalar_string(&format!("user-{user}"));
            let found = outputs(&plan, vec![Some(texts(&["a"])), Some(user)]).await;
            let arm = floats(found[0].as_ref().unwrap())[0];
            arms.push(arm);
            seen[arm as usize - 1] += 1;
            // A shadow ends on its own, soon after the answer.
            for _ in 0..1000 {
                if count("same") + count("different") == seen[0] + seen[1] {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        assert!(arms.iter().all(|a| *a == arms[0]));
    }
    assert!(seen.iter().all(|n| *n > 24), "{seen:?}");
    assert_eq!([count("same"), count("different")], seen);
}

#[tokio::test]
async fn only_what_is_wanted_runs() {
    let (left, right) = (FakeModel::lengths(), FakeModel::lengths());
    let plan = plan(TWO_SIDES, &[("left", &left), ("right", &right)]);
    let inputs = bind_inputs(&plan, vec![Some(texts(&["ab"]))]).unwrap();
    let limits = RequestLimits {
        deadline: Deadline::within(Duration::from_secs(5)),
        priority: None,
    };
    let wanted = OutputSelection::Columns(&[false, true]);
    let outcome = run(&plan, inputs, wanted, limits).await.unwrap();
    assert_eq!(outcome.outputs[0], [None]);
    assert_eq!(floats(&value(&outcome, 1)), [2.0]);
    assert_eq!((left.seen().len(), right.seen().len()), (0, 1));
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_cancelled() {
    // `spare` only substitutes `main`, which answers: nothing waits for `spare`.
    let endless = FakeModel::new(|_| std::future::pending());
    let good = FakeModel::lengths();
    let yaml = "
pipeline: spare
inputs: { text: \"string[N]\" }
nodes:
  spare: { model: slow, in: { text: $text } }
  main: { model: good, in: { text: $text }, on_error: { use: { size: $spare.size } } }
outputs: { size: $main.size }
";
    let plan = plan(yaml, &[("slow", &endless), ("good", &good)]);
    let outcome = run_plan(&plan, &[texts(&["ab"])]).await.unwrap();
    let spare = outcome.records.iter().find(|r| r.node == 0).unwrap();
    assert!(spare.stats.cancelled);
}

#[tokio::test]
async fn a_failure_reaches_the_next_node_with_something_to_stand_for_it() {
    let bad = FakeModel::failing(Code::Internal);
    let yaml = "
pipeline: through
inputs: { text: \"string[N]\" }
nodes:
  first: { model: bad, in: { text: $text } }
  next:
    op: topk
    in: { score: $first.size }
    with: { k: 1 }
    on_error: { use: { index: [0], score: [9.5] }, mark: degraded }
outputs: { score: $next.score }
";
    let plan = plan(yaml, &[("bad", &bad)]);
    let outcome = run_plan(&plan, &[texts(&["ab"])]).await.unwrap();
    assert_eq!(floats(&value(&outcome, 0)), [9.5]);
    let why = outcome
        .records
        .iter()
        .find_map(|r| r.stats.degraded.clone());
    assert_eq!(why.as_deref(), Some("node first: it broke"));
}

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::{self, cost, lookahead};
use motet_proto::tensor::Tensor;
use tokio::time::Duration;

use crate::testing::{FakeModel, lengths_of, plan, run_plan};

/// Hints of calls, by the text that they sent.
type RecordedHints = Arc<Mutex<HashMap<String, HashMap<String, i64>>>>;

/// A model that is a motet service or not, and the hints of its last calls.
fn recording_model(is_motet: bool) -> (FakeModel, RecordedHints) {
    let hints = RecordedHints::default();
    let record = hints.clone();
    let model =
        FakeModel::new(move |request: ModelInferRequest| {
            let (inputs, _) = oip::take_inputs(&mut request.clone()).unwrap();
            let text = inputs[0]
                .1
                .as_strings()
                .unwrap()
                .texts()
                .next()
                .unwrap_or_default();
            let numbers = request.parameters.iter().filter_map(|(name, value)| {
                match value.parameter_choice {
                    Some(ParameterChoice::Int64Param(n)) => Some((name.clone(), n)),
                    _ => None,
                }
            });
            let numbers: HashMap<String, i64> = numbers.collect();
            record.lock().unwrap().insert(text.to_owned(), numbers);
            let mut answer = lengths_of(request);
            if is_motet {
                let queue = oip::parameter(5i64);
                answer.parameters.insert(cost::QUEUE_US.to_owned(), queue);
            }
            async move { Ok(answer) }
        });
    (model, hints)
}

/// `q` reaches the model at once, `d` after `first`, and `e` only after `d`.
const CHAIN: &str = "
pipeline: chain
inputs: { query: string, texts: \"string[N]\" }
nodes:
  q: { model: m, in: { text: $query }, cache: { ttl: 1ms } }
  a: { model: first, in: { text: $texts } }
  n: { op: topk, in: { score: $a.size }, with: { k: 1000 } }
  t: { op: gather, in: { text: $texts, index: $n.index } }
  d: { model: m, in: { text: $t.text } }
  o: { op: topk, in: { score: $d.size }, with: { k: 1 } }
  u: { op: gather, in: { text: $t.text, index: $o.index } }
  e: { model: m, in: { text: $u.text } }
outputs: { q: $q.size, e: $e.size }
";

/// Runs often enough to learn, and returns the hints of the last calls of `q` and `e`: `e` sends
/// what `d` sent first.
async fn run(is_motet: bool) -> [HashMap<String, i64>; 2] {
    let (model, hints) = recording_model(is_motet);
    let slow = FakeModel::new(|request| async move {
        tokio::time::sleep(Duration::from_millis(3)).await;
        Ok(lengths_of(request))
    });
    let plan = plan(CHAIN, &[("m", &model), ("first", &slow)]);
    let inputs = [
        Tensor::scalar_string("query"),
        Tensor::strings(["ddd", "e", "ff"]),
    ];
    for _ in 0..8 {
        run_plan(&plan, &inputs).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let hints = hints.lock().unwrap();
    ["query", "ddd"].map(|text| hints[text].clone())
}

#[tokio::test(start_paused = true)]
async fn a_call_announces_those_that_will_reach_the_same_model() {
    let [q, e] = run(true).await;
    // Three rows of `d` and the one of `e`.
    assert_eq!(q[lookahead::SEQUEL_ROWS], 4);
    let within = q[lookahead::SEQUEL_US];
    assert!((3000..10_000).contains(&within), "{within}");
    // Nothing comes after `e`.
    assert!(!e.contains_key(lookahead::SEQUEL_ROWS), "{e:?}");
    assert_eq!(q[lookahead::REQUEST], e[lookahead::REQUEST]);
}

#[tokio::test(start_paused = true)]
async fn a_service_of_another_kind_gets_no_hints() {
    for hints in run(false).await {
        let own = hints.keys().filter(|name| name.starts_with("motet."));
        assert_eq!(own.count(), 0, "{hints:?}");
    }
}

/// Elements of a list and arms are of one request, wherever they stand.
const INSIDE: &str = "
pipeline: inside
inputs: { texts: \"string[N]\" }
nodes:
  each:
    map: { over: $texts, as: text, do: { model: m, in: { text: $text } } }
  both:
    ensemble: { of: [ { model: m, in: { text: [\"left\"] } }, { model: m, in: { text: [\"right\"] } } ], combine: mean }
outputs: { each: $each.size, both: $both.size }
";

#[tokio::test(start_paused = true)]
async fn calls_inside_nodes_say_of_which_request_they_are() {
    let (model, hints) = recording_model(true);
    let plan = plan(INSIDE, &[("m", &model)]);
    let inputs = [Tensor::strings(["a", "bb"])];
    let mut numbers = Vec::new();
    // The first answer shows that the model takes hints.
    for _ in 0..3 {
        run_plan(&plan, &inputs).await.unwrap();
        let hints = hints.lock().unwrap().clone();
        let of = |text: &str| hints[text].get(lookahead::REQUEST).copied();
        numbers.push(["a", "bb", "left", "right"].map(of));
    }
    let [_, second, third] = numbers[..] else {
        panic!("{numbers:?}");
    };
    for number in [second, third] {
        assert!(number[0].is_some() && number.iter().all(|n| *n == number[0]));
    }
    assert_ne!(second[0], third[0]);
}

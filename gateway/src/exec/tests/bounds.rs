//! Requests that are much work: they let others run, and have limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use motet_proto::tensor::Tensor;
use tonic::Code;

use crate::exec::REQUEST_ELEMENTS_MAX;
use crate::testing::{plan, run_plan, value};

const TRIVIAL_MAP: &str = "
pipeline: trivial
inputs: { text: { type: \"string[N]\", max_items: 65536 } }
nodes:
  each:
    map: { over: { t: $text }, max_items: 65536, do: { op: template, in: { t: $t }, with: { text: \"{t}\" } } }
outputs: { out: $each.out }
";

const NESTED_MAP: &str = "
pipeline: nested
inputs:
  a: { type: \"string[N]\", max_items: 65536 }
  b: { type: \"string[M]\", max_items: 65536 }
nodes:
  outer:
    map:
      over: { x: $a }
      max_items: 65536
      do:
        nodes:
          inner:
            map:
              over: { y: $b }
              max_items: 65536
              do: { op: template, in: { x: $x, y: $y }, with: { text: \"{x}{y}\" } }
        outputs: { out: $inner.out }
outputs: { out: $outer.out }
";

/// A long chain of nodes that each are answered at once.
fn chain(nodes: usize) -> String {
    let node = |i: usize| match i {
        0 => "  n0: { op: template, in: { t: $text }, with: { text: \"{t}\" } }\n".to_owned(),
        _ => format!(
            "  n{i}: {{ op: template, in: {{ t: $n{}.out }}, with: {{ text: \"{{t}}\" }} }}\n",
            i - 1
        ),
    };
    let all: String = (0..nodes).map(node).collect();
    let last = nodes - 1;
    format!(
        "pipeline: chain\ninputs: {{ text: string }}\nnodes:\n{all}outputs: {{ out: $n{last}.out }}\n"
    )
}

/// Runs a request on a runtime of one thread, and returns how often another task ran meanwhile.
async fn turns_of_others(yaml: &str, inputs: &[Tensor]) -> usize {
    let plan = plan(yaml, &[]);
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    tokio::task::yield_now().await;
    let before = turns.load(Ordering::Relaxed);
    run_plan(&plan, inputs).await.unwrap();
    let after = turns.load(Ordering::Relaxed);
    other.abort();
    after - before
}

#[tokio::test]
async fn trivial_nodes_let_other_requests_run() {
    let words: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
    let turns = turns_of_others(TRIVIAL_MAP, &[Tensor::strings(&words)]).await;
    assert!(turns >= 5, "a map of 5000 elements gave way {turns} times");
    let turns = turns_of_others(&chain(900), &[Tensor::scalar_string("a")]).await;
    assert!(turns >= 1, "a chain of 900 nodes gave way {turns} times");
}

#[tokio::test]
async fn a_map_in_a_map_is_refused_before_it_starts_when_it_is_too_large() {
    let plan = plan(NESTED_MAP, &[]);
    let words = |n: usize| Tensor::strings(vec!["w"; n]);
    let outcome = run_plan(&plan, &[words(3), words(4)]).await.unwrap();
    assert_eq!(value(&outcome, 0).shape(), [3, 4]);
    let error = run_plan(&plan, &[words(8000), words(8000)])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    let says = error.message();
    assert!(
        says.contains("64008000 elements") && says.contains(&REQUEST_ELEMENTS_MAX.to_string()),
        "{says}"
    );
}

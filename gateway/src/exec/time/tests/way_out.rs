//! Time that is kept for the way out of what can fail without loss.

use std::sync::Arc;

use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use proptest::prelude::*;
use tokio::time::{Duration, Instant};

use crate::exec::time::{before_way_out, before_ways_out};
use crate::plan::Plan;
use crate::testing::{FakeModel, backend, lengths_of, plans_over, run_within, value};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn ten_milliseconds_or_a_twentieth_or_what_is_expected_are_kept() {
    let now = Instant::now();
    for (left, ways, limit) in [
        (0, &[0][..], 0),
        (10, &[0], 5),
        (20, &[0], 10),
        (30, &[0], 20),
        (200, &[0], 190),
        (1000, &[0], 950),
        (10_000, &[0], 9500),
        // A way out that is expected to take longer gets that, up to an equal part.
        (1000, &[200], 800),
        (1000, &[900], 500),
        // Several are tried one after another.
        (1000, &[0, 0], 900),
        (1000, &[0, 300, 0], 600),
        (30, &[0, 0], 10),
        (1000, &[], 1000),
    ] {
        let ways: Vec<Duration> = ways.iter().map(|way| ms(*way)).collect();
        let until = Deadline::after(now, ms(left));
        let found = before_ways_out(now, until, &ways).remaining(now);
        assert_eq!(found, ms(limit), "{left} ms before {ways:?}");
    }
}

proptest! {
    #[test]
    fn each_way_out_gets_its_turn(
        left in 1u64..100_000,
        expected in prop::collection::vec(0u64..20_000, 1..8),
    ) {
        let start = Instant::now();
        let until = Deadline::after(start, ms(left));
        let expected: Vec<Duration> = expected.into_iter().map(ms).collect();
        // Each takes all that it may.
        let mut now = start;
        for at in 0..expected.len() {
            let end = before_ways_out(now, until, &expected[at + 1..]);
            prop_assert!(!end.is_past(now) && end <= until);
            if at + 1 < expected.len() {
                let kept = until.remaining(end.instant());
                prop_assert!(kept >= ms(10).min(until.remaining(now) / 2));
            }
            now = end.instant();
        }
        prop_assert_eq!(now, until.instant());
        prop_assert!(before_way_out(start, until) < until);
    }
}

/// Every construct that has another way out, around calls of the model `hung`, which never
/// answers; `quick` does. Each is followed by an op, and has `size` as its result.
const CONSTRUCTS: [(&str, &str); 12] = [
    (
        "a substitute",
        "a: { model: hung, in: { text: $text }, on_error: { use: { size: $zero } } }",
    ),
    (
        "a substitute of a node that follows",
        "b: { model: hung, in: { text: $text } }
  a: { value: { size: $b.size }, on_error: { use: { size: $zero } } }",
    ),
    (
        "two substitutes, one after the other",
        "b: { model: hung, in: { text: $text }, on_error: { use: { size: $zero } } }
  n: { op: topk, in: { score: $b.size }, with: { k: 1 } }
  t: { op: gather, in: { text: $text, index: $n.index } }
  a: { model: hung, in: { text: $t.text }, on_error: { use: { size: $n.score } } }",
    ),
    (
        "a fallback to a constant",
        "a: { fallback: [ { model: hung, in: { text: $text } }, { value: { size: [0.5] } } ] }",
    ),
    (
        "a fallback of three",
        "a: { fallback: [ { model: hung, in: { text: $text } }, \
         { model: hung, in: { text: $text } }, { value: { size: [0.5] } } ] }",
    ),
    (
        "a fallback to another model",
        "a: { fallback: [ { model: hung, in: { text: $text } }, \
         { model: quick, in: { text: $text } } ] }",
    ),
    (
        "a fallback in a switch",
        "a: { switch: [ { default: { fallback: [ { model: hung, in: { text: $text } }, \
         { value: { size: [0.5] } } ] } } ] }",
    ),
    (
        "a switch with a substitute",
        "a: { switch: [ { default: { model: hung, in: { text: $text } } } ], \
         on_error: { use: { size: $zero } } }",
    ),
    (
        "a split with a substitute",
        "a: { split: { arms: [ { weight: 1, do: { model: hung, in: { text: $text } } }, \
         { weight: 1, do: { model: hung, in: { text: $text } } } ] }, \
         on_error: { use: { size: $zero } } }",
    ),
    (
        "a quorum that is met",
        "a: { ensemble: { of: [ { model: hung, in: { text: $text } }, \
         { model: quick, in: { text: $text } } ], combine: mean, quorum: 1 } }",
    ),
    (
        "a map that drops",
        "m: { map: { over: $text, on_item_error: drop, \
         do: { model: half, in: { text: $item } } } }
  a: { value: { size: $m.size } }",
    ),
    (
        "a pipeline that is called, whose node has a substitute",
        "c: { pipeline: called, in: { text: $text, zero: $zero } }
  a: { value: { size: $c.size } }",
    ),
];

const CALLED: &str = "
pipeline: called
inputs: { text: \"string[N]\", zero: \"float[N]\" }
nodes:
  b: { model: hung, in: { text: $text }, on_error: { use: { size: $zero } } }
outputs: { size: $b.size }
";

fn construct(nodes: &str) -> Arc<Plan> {
    let yaml = format!(
        "
pipeline: p
inputs: {{ text: \"string[N]\", zero: \"float[N]\" }}
nodes:
  {nodes}
  best: {{ op: topk, in: {{ score: $a.size }}, with: {{ k: 1 }} }}
outputs: {{ score: $best.score }}
"
    );
    let hung = FakeModel::new(|_| std::future::pending());
    let half = FakeModel::new(|request| async move {
        let answer = lengths_of(request);
        if answer.raw_output_contents[0][..] == 1f32.to_le_bytes() {
            std::future::pending::<()>().await;
        }
        Ok(answer)
    });
    let backends = [
        backend("hung", &hung),
        backend("half", &half),
        backend("quick", &FakeModel::lengths()),
    ];
    plans_over(&[CALLED, &yaml], &backends)
}

#[tokio::test(start_paused = true)]
async fn a_degraded_answer_is_in_time_from_the_first_call_on() {
    for (name, nodes) in CONSTRUCTS {
        let plan = construct(nodes);
        for time in [ms(30), ms(300), ms(10_000)] {
            // More often than a forecast needs.
            for call in 0..20 {
                let started = Instant::now();
                let zero = Tensor::from_values(vec![2], vec![0f32; 2]).unwrap();
                let inputs = [Tensor::strings(["a", "bcd"]), zero];
                let outcome = run_within(&plan, &inputs, time).await;
                let outcome = outcome.unwrap_or_else(|e| panic!("{name}, {time:?}, {call}: {e}"));
                assert_eq!(value(&outcome, 0).len(), 1, "{name}");
                let left = time.saturating_sub(started.elapsed());
                assert!(left >= ms(2), "{name}, {time:?}, {call}: {left:?} left");
            }
        }
    }
}

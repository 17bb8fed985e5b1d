//! A decimal of a file is the nearest float of the type beside it, wherever it stands.

use half::{bf16, f16};
use motet_proto::tensor::Tensor;

use crate::testing::{floats, plan, run_plan, value};

/// The floats of each type below, at and above the one nearest to 0.7.
fn around() -> Vec<(&'static str, [Tensor; 3])> {
    let short = |make: fn(u16) -> Tensor, bits: u16| [bits - 1, bits, bits + 1].map(make);
    let half = |bits| Tensor::scalar(f16::from_bits(bits));
    let brain = |bits| Tensor::scalar(bf16::from_bits(bits));
    let single = 0.7f32.to_bits();
    let double = 0.7f64.to_bits();
    vec![
        ("f16", short(half, f16::from_f64(0.7).to_bits())),
        ("bf16", short(brain, bf16::from_f64(0.7).to_bits())),
        (
            "float",
            [single - 1, single, single + 1].map(|b| Tensor::scalar(f32::from_bits(b))),
        ),
        (
            "f64",
            [double - 1, double, double + 1].map(|b| Tensor::scalar(f64::from_bits(b))),
        ),
    ]
}

#[tokio::test]
async fn a_condition_compares_with_the_nearest_float() {
    // The operator, and whether it holds below, at and above 0.7.
    let operators = [
        (">=", [false, true, true]),
        (">", [false, false, true]),
        ("<=", [true, true, false]),
        ("<", [true, false, false]),
        ("==", [false, true, false]),
        ("!=", [true, false, true]),
    ];
    for (ty, values) in around() {
        for (operator, expected) in operators {
            let mirrored = match operator {
                ">=" => "<=",
                ">" => "<",
                "<=" => ">=",
                "<" => ">",
                same => same,
            };
            for condition in [format!("x {operator} 0.7"), format!("0.7 {mirrored} x")] {
                let plan = plan(
                    &format!(
                        "
pipeline: compared
inputs: {{ x: {ty} }}
nodes:
  s:
    switch:
      - {{ when: \"{condition}\", do: {{ value: {{ out: true }} }} }}
      - {{ default: {{ value: {{ out: false }} }} }}
outputs: {{ s: $s.out }}
"
                    ),
                    &[],
                );
                for (x, expected) in values.iter().zip(expected) {
                    let outcome = run_plan(&plan, std::slice::from_ref(x)).await.unwrap();
                    let found = value(&outcome, 0).to_bools().unwrap();
                    assert_eq!(found, [expected], "{condition} for {ty}");
                }
            }
        }
    }
}

#[tokio::test]
async fn limits_of_an_input_are_floats_of_its_type() {
    for (ty, values) in around() {
        for (limits, allowed) in [
            ("min: 0.7", [false, true, true]),
            ("max: 0.7", [true, true, false]),
            // The limits are equal, so the default is within them.
            ("min: 0.7, max: 0.7, default: 0.7", [false, true, false]),
        ] {
            let plan = plan(
                &format!(
                    "
pipeline: limited
inputs: {{ x: {{ type: {ty}, {limits} }} }}
nodes: {{ s: {{ op: select, in: {{ x: $x }} }} }}
outputs: {{ x: $s.x }}
"
                ),
                &[],
            );
            for (x, allowed) in values.iter().zip(allowed) {
                let result = run_plan(&plan, std::slice::from_ref(x)).await;
                assert_eq!(result.is_ok(), allowed, "{limits} of {ty}: {result:?}");
                if let Err(error) = result {
                    // The limit is shown as it is written.
                    assert!(error.message().contains(" 0.7"), "{error}");
                    assert!(!error.message().contains("0.69999998"), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn settings_of_ops_are_floats() {
    let plan = plan(
        "
pipeline: kept
inputs: { v: \"float[N]\", least: { type: f64, default: 0.7 } }
nodes:
  written: { op: threshold, in: { score: $v }, with: { min: 0.7 } }
  given: { op: threshold, in: { score: $v }, with: { min: $least } }
outputs: { written: $written.score, given: $given.score }
",
        &[],
    );
    let below = f32::from_bits(0.7f32.to_bits() - 1);
    let scores = Tensor::from_values(vec![3], vec![below, 0.7, 1.0]).unwrap();
    let least = Tensor::scalar(0.7f64);
    let outcome = run_plan(&plan, &[scores, least]).await.unwrap();
    for output in 0..2 {
        assert_eq!(floats(&value(&outcome, output)), [0.7, 1.0]);
    }
}

#[tokio::test]
async fn a_setting_of_a_request_is_held_to_its_range() {
    let plan = plan(
        "
pipeline: apart
inputs: { q: \"float[D]\", keys: \"float[N,D]\", lambda: float }
nodes: { m: { op: mmr, in: { query: $q, keys: $keys }, with: { k: 2, lambda: $lambda } } }
outputs: { i: $m.index }
",
        &[],
    );
    let query = Tensor::from_values(vec![1], vec![1.0f32]).unwrap();
    let keys = Tensor::from_values(vec![2, 1], vec![1.0f32, 2.0]).unwrap();
    for (lambda, message) in [
        (0.0f32, None),
        (1.0, None),
        (
            1.1,
            Some("lambda: 1.1 is out of range: it must be from 0 to 1"),
        ),
        (
            -0.1,
            Some("lambda: -0.1 is out of range: it must be from 0 to 1"),
        ),
        (f32::NAN, Some("lambda: NaN is out of range")),
    ] {
        let inputs = [query.clone(), keys.clone(), Tensor::scalar(lambda)];
        match (run_plan(&plan, &inputs).await, message) {
            (Ok(_), None) => {}
            (Err(error), Some(message)) => {
                assert_eq!(error.code(), tonic::Code::InvalidArgument);
                assert!(error.message().starts_with(message), "{error}");
            }
            (found, _) => panic!("{lambda}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn floats_are_written_in_their_shortest_form() {
    for (ty, [_, x, _]) in around() {
        let plan = plan(
            &format!(
                "
pipeline: written
inputs: {{ x: {ty} }}
nodes:
  t: {{ op: template, in: {{ x: $x }}, with: {{ text: \"score {{x}}\" }} }}
  c: {{ op: cast, in: {{ value: $x }}, with: {{ to: string }} }}
outputs: {{ t: $t.out, c: $c.out }}
"
            ),
            &[],
        );
        let outcome = run_plan(&plan, &[x]).await.unwrap();
        assert_eq!(value(&outcome, 0).as_text().unwrap(), "score 0.7", "{ty}");
        assert_eq!(value(&outcome, 1).as_text().unwrap(), "0.7", "{ty}");
    }
}

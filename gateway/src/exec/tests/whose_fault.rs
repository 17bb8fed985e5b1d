//! Values that an op cannot use are the caller's fault where the caller sent them.

use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;
use motet_runtime::status;
use tonic::Code;

use crate::testing::{FakeModel, answer_with, plan, run_plan};

/// A pipeline with these nodes, whose output is the first output of the node `x`. The model `m`
/// answers `size: float[1]`, 2.5 for every text.
async fn fails(inputs: &str, nodes: &str, output: &str, given: &[Tensor]) -> status::Details {
    let model = FakeModel::new(async |_| {
        let size = Tensor::from_values(vec![1], vec![2.5f32]).unwrap();
        Ok(answer_with(&[("size", &size)]))
    });
    let yaml = format!(
        "\npipeline: p\ninputs: {inputs}\nnodes:\n{nodes}\noutputs: {{ v: $x.{output} }}\n"
    );
    let plan = plan(&yaml, &[("m", &model)]);
    let error = run_plan(&plan, given).await.expect_err(nodes);
    let details = status::read(&error);
    let code = match details.reason.as_str() {
        "INVALID_ARGUMENT" | "BAD_TENSOR" => Code::InvalidArgument,
        _ => Code::Internal,
    };
    assert_eq!(error.code(), code, "{nodes}: {error:?}");
    details
}

/// The inputs that the error of such a pipeline blames; none where it is the node's own failure.
async fn blamed(inputs: &str, nodes: &str, output: &str, given: &[Tensor]) -> Vec<String> {
    let details = fails(inputs, nodes, output, given).await;
    let violations = details.violations.into_iter();
    let fields: Vec<String> = violations.map(|(field, _)| field).collect();
    let callers = details.reason != "OP_FAILED";
    assert_eq!(fields.is_empty(), !callers, "{nodes}: {}", details.reason);
    fields
}

#[tokio::test]
async fn a_text_that_is_not_a_number_is_blamed_on_who_sent_it() {
    const CAST: &str = "{ op: cast, in: { value: $t }, with: { to: int } }";
    let computed = "
  m: { model: m, in: { text: [a] } }
  w: { op: template, in: { s: $m.size }, with: { text: \"{s} bytes\" } }";
    for (nodes, fields) in [
        (format!("  x: {CAST}"), &["t"][..]),
        // By way of ops, of written values and of nodes that choose.
        (
            "
  a: { op: template, in: { t: $t, u: $u }, with: { text: \"{t} {u}\" } }
  x: { op: cast, in: { value: $a.out }, with: { to: int } }"
                .to_owned(),
            &["t", "u"],
        ),
        (
            "
  s: { op: select, in: { a: $t, b: $u } }
  x: { op: cast, in: { value: $s.a }, with: { to: int } }"
                .to_owned(),
            &["t"],
        ),
        (
            "
  v: { value: { out: $t } }
  d: { op: default, in: { value: $v.out, default: \"1\" } }
  x: { op: cast, in: { value: $d.out }, with: { to: int } }"
                .to_owned(),
            &["t"],
        ),
        (
            "
  c: { switch: [ { when: \"u == 'z'\", do: { value: { out: $t } } }, { default: { value: { out: $u } } } ] }
  x: { op: cast, in: { value: $c.out }, with: { to: int } }"
                .to_owned(),
            &["t", "u"],
        ),
        // Inside other nodes.
        (format!("  x: {{ fallback: [ {CAST}, {CAST} ] }}"), &["t"]),
        (
            format!("  x: {{ switch: [ {{ when: \"u != ''\", do: {CAST} }}, {{ default: {CAST} }} ] }}"),
            &["t"],
        ),
        (
            format!("  x: {{ ensemble: {{ of: [ {CAST}, {CAST} ], combine: vote }} }}"),
            &["t"],
        ),
        (
            format!(
                "  x: {{ fallback: [ {CAST}, {} ] }}",
                CAST.replace("$t", "$u")
            ),
            &["u", "t"],
        ),
        (
            "
  l: { op: split_text, in: { text: $t }, with: { by: lines } }
  x:
    map:
      over: $l.text
      do: { op: cast, in: { value: $item }, with: { to: int } }"
                .to_owned(),
            &["t"],
        ),
        // A model had a part in it.
        (
            format!(
                "{computed}
  x: {{ op: cast, in: {{ value: $w.out }}, with: {{ to: int }} }}"
            ),
            &[],
        ),
        (
            format!(
                "{computed}
  a: {{ op: concat, in: {{ w: $w.out, t: [b] }} }}
  x: {{ op: cast, in: {{ value: $a.out }}, with: {{ to: int }} }}"
            ),
            &[],
        ),
        (
            format!(
                "{computed}
  x:
    fallback:
      - {{ op: cast, in: {{ value: $ts }}, with: {{ to: int }} }}
      - {{ op: cast, in: {{ value: $w.out }}, with: {{ to: int }} }}"
            ),
            &[],
        ),
        // The author of the file wrote it.
        (
            "  x: { op: cast, in: { value: \"many\" }, with: { to: int } }".to_owned(),
            &[],
        ),
    ] {
        let inputs = "{ t: string, u: string, ts: { type: \"string[N]\", default: [x] } }";
        let given = [
            Tensor::scalar_string("abc"),
            Tensor::scalar_string("def"),
            Tensor::strings(["ghi"]),
        ];
        assert_eq!(blamed(inputs, &nodes, "out", &given).await, fields, "{nodes}");
    }
}

#[tokio::test]
async fn the_argument_that_is_wrong_decides() {
    let texts = Tensor::strings(["a", "b"]);
    let index = |i: i32| Tensor::from_values(vec![1], vec![i]).unwrap();
    let empty_rows = Tensor::from_values(vec![2, 0], Vec::<f32>::new()).unwrap();
    let name = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    for (inputs, nodes, output, given, fields) in [
        (
            "{ v: \"float[N,L]\" }",
            "  x: { op: argmax, in: { score: $v } }",
            "index",
            vec![empty_rows],
            &["v"][..],
        ),
        // An index that is out of range is at fault, and not the rows that it counts.
        (
            "{ t: \"string[N]\", i: \"i32[K]\" }",
            "  x: { op: gather, in: { text: $t, index: $i } }",
            "text",
            vec![texts.clone(), index(2)],
            &["i"],
        ),
        // One that is written in the file is right for longer lists.
        (
            "{ t: \"string[N]\" }",
            "  x: { op: gather, in: { text: $t, index: [5] } }",
            "text",
            vec![texts.clone()],
            &["t"],
        ),
        (
            "{ t: \"string[N]\" }",
            "
  m: { model: m, in: { text: $t } }
  i: { op: cast, in: { value: $m.size }, with: { to: i32 } }
  x: { op: gather, in: { text: $t, index: $i.out } }",
            "text",
            vec![Tensor::strings(["a"])],
            &[],
        ),
        (
            "{ t: string, by: string }",
            "  x: { op: split_text, in: { text: $t }, with: { separator: $by } }",
            "text",
            vec![Tensor::scalar_string("a"), Tensor::scalar_string("")],
            &["by"],
        ),
        (
            "{ from: int }",
            "  x: { op: range, in: { end: 3, start: $from, step: 0 } }",
            "index",
            vec![Tensor::scalar(1i64)],
            &[],
        ),
    ] {
        assert_eq!(
            blamed(inputs, nodes, output, &given).await,
            name(fields),
            "{nodes}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_blamed_on_who_sent_them() {
    let bytes = Tensor::byte_strings([&[0xff][..]]);
    assert_eq!(bytes.element(), ElementType::Bytes);
    let one = bytes.clone().reshape(Vec::new()).unwrap();
    for (ty, nodes, output, given) in [
        (
            "bytes",
            "  x: { op: split_text, in: { text: $b }, with: { by: lines } }",
            "text",
            one,
        ),
        (
            "\"bytes[N]\"",
            "  x: { model: m, in: { text: $b } }",
            "size",
            bytes,
        ),
    ] {
        let inputs = format!("{{ b: {ty} }}");
        let details = fails(&inputs, nodes, output, &[given]).await;
        assert_eq!(details.violations[0].0, "b", "{nodes}");
        assert!(details.violations[0].1.contains("UTF-8"), "{details:?}");
    }
}

#[tokio::test]
async fn arms_that_fail_for_several_reasons_are_not_the_callers_fault() {
    let failing = FakeModel::failing(Code::Unavailable);
    for (arms, code) in [
        (
            "[ { op: cast, in: { value: $t }, with: { to: float } }, { model: m, in: { text: $t } } ]",
            Code::Unavailable,
        ),
        (
            "[ { model: m, in: { text: $t } }, { op: cast, in: { value: $t }, with: { to: float } } ]",
            Code::Unavailable,
        ),
        (
            "[ { op: cast, in: { value: $t }, with: { to: float } }, { op: cast, in: { value: $t }, with: { to: float } } ]",
            Code::InvalidArgument,
        ),
    ] {
        let arms = arms.replace(
            "{ model: m, in: { text: $t } }",
            "{ nodes: { a: { model: m, in: { text: $t } } }, outputs: { out: $a.size } }",
        );
        for kind in [
            format!("{{ fallback: {arms} }}"),
            // One answer would be enough, so that no arm is cancelled when another fails.
            format!("{{ ensemble: {{ of: {arms}, combine: mean, quorum: 1 }} }}"),
        ] {
            let yaml = format!(
                "\npipeline: p\ninputs: {{ t: \"string[N]\" }}\nnodes: {{ x: {kind} }}\noutputs: {{ v: $x.out }}\n"
            );
            let plan = plan(&yaml, &[("m", &failing)]);
            let error = run_plan(&plan, &[Tensor::strings(["abc"])]).await;
            assert_eq!(error.unwrap_err().code(), code, "{kind}");
        }
    }
}

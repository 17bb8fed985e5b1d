//! The checked form of valid pipelines.

mod common;

use motet_gateway::call::layers::deadline::Limit;
use motet_gateway::check::{
    CheckedPipeline, Length, NodeKind, OutputKind, SettingValue, Source, ValueType,
};
use motet_gateway::scalar::Scalar;
use std::time::Duration;

const BUILTIN: &str = include_str!("../../services/cli/src/builtin.yaml");

fn one(text: &str) -> CheckedPipeline {
    let (mut checked, report) = common::check(text, false);
    assert_eq!(report, "");
    assert_eq!(checked.len(), 1);
    checked.remove(0)
}

fn show(pipeline: &CheckedPipeline, ty: &ValueType) -> String {
    let dims: Vec<String> = ty
        .dims
        .iter()
        .map(|dim| match dim {
            Length::Fixed(n) => n.to_string(),
            Length::Symbol(id) => pipeline.symbols[id.0].name.clone(),
        })
        .collect();
    if dims.is_empty() {
        ty.element.to_string()
    } else {
        format!("{}[{}]", ty.element, dims.join(","))
    }
}

fn source(pipeline: &CheckedPipeline, source: &Source) -> String {
    match source {
        Source::Input(i) => format!("${}", pipeline.inputs[*i].name),
        Source::Node { node, output } => {
            let node = &pipeline.nodes[*node];
            format!("${}.{}", node.name, node.outputs[*output].name)
        }
        Source::Literal(literal) => {
            let values: Vec<String> = literal.values.iter().map(ToString::to_string).collect();
            format!("{}({})", literal.element, values.join(","))
        }
    }
}

/// Returns a line for each node: kind, arguments, outputs.
fn nodes(pipeline: &CheckedPipeline) -> Vec<String> {
    pipeline
        .nodes
        .iter()
        .map(|node| {
            let kind = match &node.kind {
                NodeKind::Model(call) => call.model.clone(),
                NodeKind::Op(node) => format!("{:?}", node.op),
                other => panic!("no node here is {other:?}"),
            };
            let arguments: Vec<String> = node
                .inputs
                .iter()
                .map(|a| {
                    let single_row = if a.single_row { "^" } else { "" };
                    let utf8 = if a.check_utf8 { "!" } else { "" };
                    format!(
                        "{}={single_row}{utf8}{}",
                        a.port,
                        source(pipeline, &a.source)
                    )
                })
                .collect();
            let results: Vec<String> = node
                .outputs
                .iter()
                .map(|o| {
                    let used = if o.used { "" } else { "?" };
                    let single_row = if o.single_row { "^" } else { "" };
                    format!("{}{used}: {single_row}{}", o.name, show(pipeline, &o.ty))
                })
                .collect();
            format!(
                "{} {kind}({}) -> {} after {:?}",
                node.name,
                arguments.join(", "),
                results.join(", "),
                node.dependencies
            )
        })
        .collect()
}

#[test]
fn the_builtin_pipeline_is_checked() {
    let rag = one(BUILTIN);
    assert_eq!(rag.name, "rag");
    assert_eq!(rag.version, 1);
    assert_eq!(
        nodes(&rag),
        [
            "chunks chunker(text=$documents) -> text: string[chunks.M], source: i32[chunks.M], \
             start?: i32[chunks.M], end?: i32[chunks.M], tokens?: i32[chunks.M] after []",
            "q minilm(text=^$query) -> embedding: ^float[384] after []",
            "d minilm(text=$chunks.text) -> embedding: float[chunks.M,384] after [0]",
            "near topk[0](query=$q.embedding, keys=$d.embedding) -> index: i32[near.K], \
             score: float[near.K] after [1, 2]",
            "cand gather[0](text=$chunks.text, source=$chunks.source, index=$near.index) -> \
             text: string[near.K], source: i32[near.K] after [0, 3]",
            "rank reranker(query=$query, text=$cand.text) -> score: float[near.K] after [4]",
            "best topk[1](score=$rank.score) -> index: i32[best.K], score: float[best.K] after [5]",
            "shown gather[0](text=$cand.text, source=$cand.source, index=$best.index) -> \
             text: string[best.K], source: i32[best.K] after [4, 6]",
        ]
    );
    let settings = |node: usize| -> Vec<(&str, SettingValue)> {
        let parameters = &rag.nodes[node].parameters;
        parameters
            .iter()
            .map(|p| (p.name.as_str(), p.value.clone()))
            .collect()
    };
    let literal = |value| SettingValue::Literal(value);
    assert_eq!(
        settings(0),
        [
            ("max_tokens", literal(Scalar::Int(128))),
            ("overlap", literal(Scalar::Int(16)))
        ]
    );
    assert_eq!(
        settings(3),
        [
            ("k", literal(Scalar::Int(50))),
            ("metric", literal(Scalar::String("cosine".to_owned())))
        ]
    );
    let top_n = SettingValue::Input {
        name: "top_n".to_owned(),
        input: 2,
        min: Some(1),
        max: Some(65_536),
    };
    assert_eq!(settings(6), [("k", top_n)]);

    let on_error = rag.nodes[5].on_error.as_ref().unwrap();
    assert!(on_error.mark_degraded);
    assert_eq!(on_error.dependencies, [3]);
    let substitute = on_error.values[0].as_ref().unwrap();
    assert_eq!(source(&rag, &substitute.source), "$near.score");

    let input = &rag.inputs[2];
    assert_eq!(input.default.as_ref().unwrap().values, [Scalar::Int(5)]);
    assert_eq!(
        (&input.min, &input.max),
        (&Some(Scalar::Int(1)), &Some(Scalar::Int(100)))
    );
    assert_eq!(show(&rag, &rag.inputs[1].ty), "string[N]");
    assert_eq!(rag.deadline.default, Duration::from_secs(10));
    assert_eq!(rag.deadline.max, Duration::from_secs(30));

    let [results] = rag.outputs.as_slice() else {
        panic!("{:?}", rag.outputs);
    };
    let OutputKind::Records { columns, length } = &results.kind else {
        panic!("{results:?}");
    };
    let columns: Vec<String> = columns
        .iter()
        .map(|c| {
            format!(
                "{} {} {}",
                c.name,
                source(&rag, &c.source),
                show(&rag, &c.ty)
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            "index $shown.source i32[best.K]",
            "score $best.score float[best.K]",
            "text $shown.text string[best.K]"
        ]
    );
    let Length::Symbol(id) = length else {
        panic!("{length:?}");
    };
    assert_eq!(rag.symbols[id.0].name, "best.K");
    assert_eq!(rag.symbols.len(), 4);
}

#[test]
fn checks_that_depend_on_the_request_are_kept() {
    let checked = one("
pipeline: a
inputs: { raw: \"bytes[N]\", v: \"float[D]\", text: string, list: \"string[L]\" }
nodes:
  late: { op: select, in: { score: $r.score } }
  unused: { model: minilm, in: { text: $text } }
  e: { model: minilm, in: { text: $raw } }
  l: { model: vectors, in: { vector: $v } }
  f: { model: foreign, in: { INPUT__0: $text } }
  r: { model: reranker, in: { query: $text, text: [a, b] }, deadline: 5ms }
  n: { op: topk, in: { query: $f.dense/out, keys: $e.embedding }, with: { k: 3 } }
  j: { op: concat, in: { a: $list, b: $raw2.x } }
  raw2: { op: select, in: { x: $list } }
outputs: { a: $late.score, b: $l.label, c: $n.index, d: $j.out, e: $l.label }
"
    .replace("  unused: { model: minilm, in: { text: $text } }\n", "")
    .as_str());
    assert_eq!(
        nodes(&checked),
        [
            "r reranker(query=$text, text=string(\"a\",\"b\")) -> score: float[2] after []",
            "late select[0](score=$r.score) -> score: float[2] after [0]",
            "e minilm(text=!$raw) -> embedding: float[N,f.D_out_1] after []",
            "l vectors(vector=^$v) -> label: ^string after []",
            "f foreign(INPUT__0=^$text) -> OUTPUT__0?: ^bytes, dense/out: ^float[f.D_out_1] \
             after []",
            "n topk[0](query=$f.dense/out, keys=$e.embedding) -> index: i32[n.K], \
             score?: float[n.K] after [2, 4]",
            "raw2 select[0](x=$list) -> x: string[L] after []",
            "j concat[0](a=$list, b=$raw2.x) -> out: string[j.N] after [6]",
        ]
    );
    assert_eq!(
        checked.nodes[0].policies.deadline,
        Some(Limit::Duration(Duration::from_millis(5)))
    );
    let fixed: Vec<(&str, Option<usize>)> = checked
        .symbols
        .iter()
        .map(|s| (s.name.as_str(), s.fixed))
        .collect();
    assert_eq!(
        fixed,
        [
            ("N", None),
            ("D", Some(384)),
            ("L", None),
            ("f.D_out_1", Some(384)),
            ("n.K", None),
            ("j.N", None)
        ]
    );
}

#[test]
fn nodes_that_no_output_depends_on_are_dropped() {
    let text = "
pipeline: a
inputs: { text: string }
nodes:
  unused: { model: minilm, in: { text: $text } }
  spare: { model: chunker, in: { text: $text } }
  a: { model: chunker, in: { text: $text }, on_error: { use: { text: $spare.text } } }
outputs: { x: $a.text }
";
    let (checked, report) = common::check(text, false);
    // Two chunkers have two lengths: a substitute must have the length of what it replaces.
    assert!(
        report.contains("lengths differ: `spare.M` is not `a.M`"),
        "{report}"
    );
    assert!(checked.is_empty());
    let text = text.replace("$spare.text", "[\"\"]");
    let (checked, report) = common::check(&text, false);
    assert!(report.contains("2 warnings"), "{report}");
    assert_eq!(checked[0].nodes.len(), 1);
    assert_eq!(checked[0].nodes[0].name, "a");
    // The lengths of the substitute are not bound if the node succeeds.
    assert!(checked[0].symbols.iter().all(|s| s.fixed.is_none()));
}

#[test]
fn ports_of_a_method_are_fields_of_its_messages() {
    let checked = one("
pipeline: a
inputs: { image: bytes, lang: { type: string, optional: true }, texts: \"string[T]\" }
nodes:
  a:
    grpc: ocr.v1.Ocr/Read
    endpoint: ocr
    in: { image: $image, options.lang: $lang, items.text: $texts }
    retry: {}
    hedge: {}
  b:
    grpc: /ocr.v1.Ocr/Watch
    endpoint: grpc://ocr:1
    in: { image: $image }
    max_items: 9
    out: { text: text, words: words, x: boxes.x, y: boxes.y }
outputs:
  text: $a.text
  words: $a.words
  lang: $a.lang
  pages: { t: $b.text }
  w: $b.words
  boxes: { x: $b.x, y: $b.y }
");
    let show = |node: usize| -> Vec<String> {
        let outputs = checked.nodes[node].outputs.iter();
        outputs
            .map(|o| format!("{}: {}", o.name, show(&checked, &o.ty)))
            .collect()
    };
    // A map and messages have no tensor type, and are left out.
    assert_eq!(
        show(0),
        ["text: string", "lang: string", "words: string[a.words]"]
    );
    assert_eq!(
        show(1),
        [
            "text: string[b.M]",
            "words: string[b.words]",
            "x: i32[b.boxes]",
            "y: i32[b.boxes]"
        ]
    );
    let call = |node: usize| match &checked.nodes[node].kind {
        NodeKind::Grpc(call) => call.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(call(0).path, "/ocr.v1.Ocr/Read");
    assert_eq!(call(0).messages_max, None);
    assert_eq!(call(1).messages_max, Some(9));
    assert_eq!(call(1).endpoint.to_string(), "grpc://ocr:1");
    let lang = &checked.nodes[0].inputs[1];
    assert!(lang.optional && lang.port == "options.lang");
    assert!(checked.nodes[0].policies.retry.is_some() && checked.nodes[0].policies.hedge.is_some());
}

#[test]
fn a_setting_sets_the_length_of_an_output() {
    let outputs = |setting: &str| {
        let input = match setting.contains("$d") {
            true => ", d: { type: int, default: 64, min: 1, max: 384 }",
            false => "",
        };
        let checked = one(&format!(
            "\
pipelines:
- pipeline: p
  inputs: {{ text: \"string[N]\"{input} }}
  nodes:
    e: {{ model: wide, in: {{ text: $text }}{setting} }}
  outputs: {{ e: $e.embedding }}
"
        ));
        nodes(&checked).remove(0)
    };
    let embedding =
        |length: &str| format!("e wide(text=$text) -> embedding: float[N,{length}] after []");
    assert_eq!(outputs(""), embedding("768"));
    assert_eq!(outputs(", with: { dimensions: 64 }"), embedding("64"));
    assert_eq!(
        outputs(", with: { dimensions: $d }"),
        embedding("e.dimensions")
    );
}

#[test]
fn the_examples_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/examples");
    let mut text = String::from("pipelines:\n");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        // Those are configurations.
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name != "motet.yaml" && !name.ends_with("streams.yaml")
        })
        .collect();
    files.sort();
    for file in &files {
        text.push_str("  -\n");
        for line in std::fs::read_to_string(file).unwrap().lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    let (checked, report) = common::check(&text, false);
    assert_eq!(report, "");
    assert_eq!(checked.len(), files.len());
}

//! Ops through the gRPC surface: a pipeline with each op, decimals, and attribution of errors.

use motet_proto::v1::{LoadRequest, UnloadRequest};
use motet_runtime::status;
use motet_tests::connection::Connection;
use motet_tests::in_process;
use motet_tests::reflected::Service;
use serde_json::{Value, json};
use tonic::{Code, Status};

/// Loads pipelines, calls the last one, and unloads them.
async fn call(pipelines: &[(&str, &str)], request: Value) -> Result<Value, Status> {
    let connection = in_process::connect().await;
    for (name, body) in pipelines {
        load(&connection, name, body).await;
    }
    let (name, _) = pipelines[pipelines.len() - 1];
    let service = format!("motet.pipeline.{}", pascal_case(name));
    let service = Service::learn(&connection, &service).await.expect("loaded");
    let answer = service.call("Run", request).await;
    for (name, _) in pipelines.iter().rev() {
        let name = (*name).to_owned();
        let unloaded = connection.pipelines().unload(UnloadRequest { name }).await;
        unloaded.expect("it is loaded");
    }
    answer
}

async fn load(connection: &Connection, name: &str, body: &str) {
    let yaml = format!("pipeline: {name}\n{body}");
    let loaded = connection.pipelines().load(LoadRequest { yaml }).await;
    loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn pascal_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}

#[tokio::test]
async fn each_op_for_lists_and_texts_works_in_a_pipeline() {
    for (name, body, request, answer) in [
        (
            "op_filter",
            "inputs: { text: \"string[N]\", price: \"float[N]\", most: float }\n\
             nodes: { f: { op: filter, in: { text: $text, price: $price, most: $most },\n\
             \x20        with: { where: \"price <= most and text != 'b'\" } } }\n\
             outputs: { kept: { index: $f.index, text: $f.text, price: $f.price } }",
            json!({"text": ["a", "b", "c", "d"], "price": [0.7, 0.1, 0.8, 0.2], "most": 0.7}),
            json!({"kept": [
                {"index": 0, "text": "a", "price": 0.7},
                {"index": 3, "text": "d", "price": 0.2},
            ]}),
        ),
        (
            "op_filter_by_keep",
            "inputs: { text: \"string[N]\", keep: \"bool[N]\" }\n\
             nodes: { f: { op: filter, in: { keep: $keep, text: $text } } }\n\
             outputs: { text: $f.text }",
            json!({"text": ["a", "b", "c"], "keep": [true, false, true]}),
            json!({"text": ["a", "c"]}),
        ),
        (
            // The first three of a list, or all where it is shorter.
            "op_range_and_min",
            "inputs: { text: \"string[N]\" }\n\
             nodes:\n\
             \x20 n: { op: length, in: { of: $text } }\n\
             \x20 m: { op: min, in: { n: $n.out, most: 3 } }\n\
             \x20 r: { op: range, in: { end: $m.out } }\n\
             \x20 g: { op: gather, in: { text: $text, index: $r.index } }\n\
             outputs: { text: $g.text }",
            json!({"text": ["a", "b", "c", "d"]}),
            json!({"text": ["a", "b", "c"]}),
        ),
        (
            "op_max",
            "inputs: { score: \"float[N]\" }\n\
             nodes: { m: { op: max, in: { score: $score } } }\n\
             outputs: { score: $m.out, index: $m.index }",
            json!({"score": [0.25, 0.75, 0.5]}),
            json!({"score": 0.75, "index": 1}),
        ),
        (
            // The text that is nearest to each question.
            "op_similarity",
            "inputs: { question: \"string[M]\", text: \"string[N]\" }\n\
             nodes:\n\
             \x20 q: { model: minilm, in: { text: $question } }\n\
             \x20 t: { model: minilm, in: { text: $text } }\n\
             \x20 s: { op: similarity, in: { query: $q.embedding, keys: $t.embedding } }\n\
             \x20 b: { op: argmax, in: { score: $s.score } }\n\
             outputs: { best: $b.index }",
            json!({
                "question": ["Which animal barks?", "How do I boil an egg?"],
                "text": ["Put the egg into hot water for six minutes.", "Dogs bark at strangers."],
            }),
            json!({"best": [1, 0]}),
        ),
        (
            "op_dedupe",
            "inputs: { text: \"string[N]\" }\n\
             nodes:\n\
             \x20 e: { model: minilm, in: { text: $text } }\n\
             \x20 d: { op: dedupe, in: { keys: $e.embedding }, with: { min: 0.9 } }\n\
             \x20 g: { op: gather, in: { text: $text, index: $d.index } }\n\
             outputs: { text: $g.text, repeats: $d.repeats }",
            json!({"text": ["The sky is blue.", "Cats sleep all day.", "the sky is blue"]}),
            json!({"text": ["The sky is blue.", "Cats sleep all day."], "repeats": [0, 1, 0]}),
        ),
        (
            "op_split_text",
            "inputs: { text: \"string[N]\" }\n\
             nodes: { s: { op: split_text, in: { text: $text } } }\n\
             outputs: { p: { text: $s.text, source: $s.source, start: $s.start, end: $s.end } }",
            json!({"text": ["Größe\n\n eins ", "zwei"]}),
            json!({"p": [
                {"text": "Größe", "source": 0, "start": 0, "end": 5},
                {"text": "eins", "source": 0, "start": 8, "end": 12},
                {"text": "zwei", "source": 1, "start": 0, "end": 4},
            ]}),
        ),
    ] {
        let found = call(&[(name, body)], request).await;
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(numbers_as_text(&found), numbers_as_text(&answer), "{name}");
    }
}

/// Numbers as a client shows them: 32-bit floats in their shortest form, 64-bit integers not as
/// the strings that JSON makes of them, zeros not left out.
fn numbers_as_text(value: &Value) -> Value {
    match value {
        Value::Number(n) => match n.as_f64() {
            Some(x) => json!((x as f32).to_string()),
            None => json!(n.to_string()),
        },
        Value::Array(items) => items.iter().map(numbers_as_text).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, v)| **v != json!(0));
            let fields = fields.map(|(k, v)| (k.clone(), numbers_as_text(v)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn a_decimal_of_a_file_is_rounded_to_the_float_it_is_compared_with() {
    for (name, body, request, answer) in [
        (
            "decimal_condition",
            "inputs: { f: float }\n\
             nodes: { s: { switch: [ { when: \"f >= 0.7\", do: { value: { out: \"at least\" } } \
             },\n\
             \x20        { default: { value: { out: \"below\" } } } ] } }\n\
             outputs: { s: $s.out }",
            json!({"f": 0.7}),
            json!({"s": "at least"}),
        ),
        (
            "decimal_min",
            "inputs: { f: { type: float, min: 0.7, max: 5 } }\n\
             nodes: { s: { op: select, in: { f: $f } } }\n\
             outputs: { f: $s.f }",
            json!({"f": 0.7}),
            json!({"f": 0.7}),
        ),
        (
            "decimal_max",
            "inputs: { f: { type: float, min: 0, max: 0.1 } }\n\
             nodes: { s: { op: select, in: { f: $f } } }\n\
             outputs: { f: $s.f }",
            json!({"f": 0.1}),
            json!({"f": 0.1}),
        ),
        (
            "decimal_threshold",
            "inputs: { v: \"float[N]\" }\n\
             nodes: { s: { op: threshold, in: { score: $v }, with: { min: 0.7 } } }\n\
             outputs: { s: $s.score }",
            json!({"v": [0.7]}),
            json!({"s": [0.7]}),
        ),
        (
            "decimal_text",
            "inputs: { f: float }\n\
             nodes: { t: { op: template, in: { f: $f }, with: { text: \"score {f}\" } } }\n\
             outputs: { t: $t.out }",
            json!({"f": 0.1}),
            json!({"t": "score 0.1"}),
        ),
    ] {
        let found = call(&[(name, body)], request).await;
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(numbers_as_text(&found), numbers_as_text(&answer), "{name}");
    }
}

#[tokio::test]
async fn an_error_is_attributed_to_the_input_that_caused_it() {
    const CAST: &str = "{ op: cast, in: { value: $t }, with: { to: int } }";
    let number =
        format!("inputs: {{ t: string }}\nnodes: {{ x: {CAST} }}\noutputs: {{ v: $x.out }}");
    let fallback = format!(
        "inputs: {{ t: string }}\nnodes: {{ f: {{ fallback: [ {CAST}, {CAST} ] }} }}\n\
         outputs: {{ v: $f.out }}"
    );
    let calls = |node: &str| {
        format!(
            "inputs: {{ outer: string }}\nnodes:\n  e: {{ model: minilm, in: {{ text: $outer }} \
             }}\n\
             \x20 n: {{ op: length, in: {{ of: $e.embedding }} }}\n\
             \x20 w: {{ op: template, in: {{ n: $n.out }}, with: {{ text: \"{{n}} numbers\" }} }}\n\
             \x20 i: {node}\noutputs: {{ v: $i.v, w: $w.out }}"
        )
    };
    let of_caller = calls("{ pipeline: blame_inner_a, in: { t: $outer } }");
    let of_model = calls("{ pipeline: blame_inner_b, in: { t: $w.out } }");
    let limited = "inputs: { t: { type: int, max: 3 } }\nnodes: { s: { op: select, in: { v: $t } \
    } }\n\
                   outputs: { v: $s.v }";
    let over = calls("{ pipeline: blame_limited, in: { t: $n.out } }");
    for (pipelines, request, code, field) in [
        (
            vec![("blame_number", number.as_str())],
            json!({"t": "abc"}),
            Code::InvalidArgument,
            Some("t"),
        ),
        (
            vec![("blame_fallback", &fallback)],
            json!({"t": "abc"}),
            Code::InvalidArgument,
            Some("t"),
        ),
        (
            vec![(
                "blame_argmax",
                "inputs: { v: \"float[N,L]\" }\nnodes: { a: { op: argmax, in: { score: $v } } }\n\
                 outputs: { i: $a.index }",
            )],
            json!({"v": [{}, {}]}),
            Code::InvalidArgument,
            Some("v"),
        ),
        // A called pipeline reports its input, which is an argument of the node that calls it.
        (
            vec![("blame_inner_a", &number), ("blame_outer_a", &of_caller)],
            json!({"outer": "abc"}),
            Code::InvalidArgument,
            Some("outer"),
        ),
        (
            vec![("blame_inner_b", &number), ("blame_outer_b", &of_model)],
            json!({"outer": "abc"}),
            Code::Internal,
            None,
        ),
        (
            vec![("blame_limited", limited), ("blame_outer_c", &over)],
            json!({"outer": "abc"}),
            Code::Internal,
            None,
        ),
    ] {
        let name = pipelines[pipelines.len() - 1].0;
        let error = call(&pipelines, request).await.expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
        let violations = status::read(&error).violations;
        let fields: Vec<&str> = violations.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            field.into_iter().collect::<Vec<_>>(),
            "{name}: {error}"
        );
    }
}

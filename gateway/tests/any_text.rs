//! Properties of reading and checking arbitrary texts: no panic, no hang, every error has a
//! position.

mod common;

use proptest::prelude::*;
use proptest::sample::{Index, select};

const BUILTIN: &str = include_str!("../../services/cli/src/builtin.yaml");

/// A pipeline that calls methods of another server.
const METHODS: &str = "
pipeline: a
inputs: { image: bytes, lang: { type: string, optional: true }, texts: \"string[T]\" }
nodes:
  a:
    grpc: ocr.v1.Ocr/Read
    endpoint: ocr
    in: { image: $image, options.lang: $lang, items.text: $texts, options.mode: MODE_FAST }
  b:
    grpc: ocr.v1.Ocr/Watch
    endpoint: grpc://ocr:1
    in: { image: $image, number: 3 }
    max_items: 9
    out: { text: text, x: boxes.x, y: boxes.y }
  c:
    grpc: ocr.v1.Ocr/Echo
    endpoint: ocr
    in: { again.again.text: $a.text, texts: $b.text, wrapped: x, at.seconds: 1 }
    out: { n: note?, w: wrapped? }
outputs: { words: $a.words, n: $c.n, boxes: { x: $b.x, y: $b.y } }
";

/// Tokens of pipeline files.
const PIECES: [&str; 58] = [
    "grpc",
    "endpoint",
    "endpoints",
    "out",
    "ocr",
    "ocr.v1.Ocr/Read",
    "items.weights",
    "table",
    ".",
    "?",
    "pipeline",
    "inputs",
    "nodes",
    "outputs",
    "models",
    "pipelines",
    "server",
    "model",
    "op",
    "in",
    "with",
    "on_error",
    "use",
    "topk",
    "gather",
    "concat",
    "select",
    "minilm",
    "chunker",
    "away",
    "foreign",
    "$query",
    "$q.embedding",
    "$",
    "$$",
    "string[N]",
    "float[N,384]",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "#",
    "&a",
    "*a",
    "!t",
    "|\n",
    ">\n",
    "---",
    "日本🎉",
];

/// Checks a text. Returns the length of the report, so that it is rendered.
fn survives(text: &str) -> usize {
    common::check(text, false).1.len() + common::check(text, true).1.len()
}

proptest! {

    #[test]
    fn any_text_is_reported(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_sequence_of_tokens_is_reported(
        pieces in prop::collection::vec(select(PIECES.as_slice()), 0..60),
    ) {
        survives(&pieces.concat());
    }

    #[test]
    fn a_file_with_inserted_tokens_is_reported(
        file in select([BUILTIN, METHODS].as_slice()),
        changes in prop::collection::vec(
            (any::<Index>(), select(PIECES.as_slice()), 0usize..12),
            1..6,
        )
    ) {
        let mut text = file.to_owned();
        for (at, piece, gone) in changes {
            let places: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
            let start = at.index(places.len());
            let end = (start + gone).min(places.len() - 1);
            text.replace_range(places[start]..places[end], piece);
        }
        survives(&text);
    }

    #[test]
    fn a_file_with_exchanged_words_is_reported(
        file in select([BUILTIN, METHODS].as_slice()),
        swaps in prop::collection::vec((any::<Index>(), any::<Index>()), 1..8)
    ) {
        let mut words: Vec<&str> = file.split_inclusive([' ', '\n', '.', ',']).collect();
        for (a, b) in swaps {
            let (a, b) = (a.index(words.len()), b.index(words.len()));
            words.swap(a, b);
        }
        survives(&words.concat());
    }
}

#[test]
fn the_unchanged_files_are_valid() {
    for file in [BUILTIN, METHODS] {
        assert_eq!(common::check(file, false).1, "");
    }
}

#[test]
fn a_long_chain_and_a_wide_graph_are_checked_quickly() {
    let mut chain = String::from(
        "pipeline: a\ninputs: { t: \"string[N]\" }\nnodes:\n  n0: { op: select, in: { x: $t } }\n",
    );
    for i in (1..1000).rev() {
        chain.push_str(&format!(
            "  n{i}: {{ op: select, in: {{ x: $n{}.x }} }}\n",
            i - 1
        ));
    }
    chain.push_str("outputs: { x: $n999.x }\n");
    let (checked, report) = common::check(&chain, false);
    assert_eq!(report, "");
    assert_eq!(checked[0].nodes.len(), 1000);
    assert!(
        checked[0]
            .nodes
            .iter()
            .enumerate()
            .all(|(i, n)| n.dependencies.iter().all(|d| *d < i))
    );
}

#[test]
fn the_largest_graph_is_checked_in_linear_time() {
    // As many references as a file may have; quadratic work would take minutes.
    let columns: Vec<String> = (0..200).map(|i| format!("c{i}: $PREV.c{i}")).collect();
    let columns = columns.join(", ");
    let first = columns.replace("$PREV.c", "$t").replace(", c", ",\n    c");
    let inputs: Vec<String> = (0..200).map(|i| format!("  t{i}: string\n")).collect();
    let mut text = format!(
        "pipeline: a\ninputs:\n{}nodes:\n  n0: {{ op: select, in: {{ {first} }} }}\n",
        inputs.concat()
    );
    for i in 1..400 {
        text.push_str(&format!(
            "  n{i}: {{ op: select, in: {{ {} }} }}\n",
            columns.replace("PREV", &format!("n{}", i - 1))
        ));
    }
    text.push_str("outputs: { x: $n399.c0 }\n");
    let (checked, report) = common::check(&text, false);
    assert_eq!(report, "");
    assert_eq!(checked[0].nodes.len(), 400);
}

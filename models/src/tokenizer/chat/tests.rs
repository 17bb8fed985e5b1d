use std::path::Path;

use super::*;
use crate::source::{ModelFiles, Source};
use crate::tokenizer::{PairError, Tokenizer, TruncationSide};

fn tokenizer(fixture: &str) -> Tokenizer {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/classifiers");
    let files = ModelFiles::open(&Source::File(folder.join(fixture))).unwrap();
    Tokenizer::load(&files).unwrap()
}

#[test]
fn only_the_document_is_cut_wherever_it_stands() {
    let long = "the river, a letter. ".repeat(100) + "violin tomorrow orange ledger";
    for (fixture, before, after) in [
        (
            "qwen3-logits",
            "<Query>: wing of a river\n<Document>:",
            "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n",
        ),
        (
            "llama-logits",
            "document:",
            "\nquery: wing of a river\nanswer:",
        ),
    ] {
        let tokenizer = tokenizer(fixture);
        let ids = |text: &str| tokenizer.ids(text).unwrap();
        let whole = tokenizer.ids(&long).unwrap();
        for side in [TruncationSide::Right, TruncationSide::Left] {
            let limit = tokenizer.max_tokens();
            let row = tokenizer.encode_prompted_pair("", "wing of a river", &long, limit, side);
            let row = row.unwrap();
            assert_eq!(row.len(), limit, "{fixture}, {side:?}");
            assert!(row.cut() > 100 && row.cut() < whole.len());
            let (ids_before, ids_after) = (ids(before), ids(after));
            assert!(row.as_slice().ends_with(&ids_after), "{fixture}, {side:?}");
            let mut windows = row.as_slice().windows(ids_before.len());
            assert!(
                windows.any(|window| window == ids_before),
                "{fixture}, {side:?}"
            );
            // Beside the frame is the end of the document that is kept.
            let document = &row.as_slice()[..limit - ids_after.len()];
            assert_eq!(
                document.ends_with(&whole[whole.len() - 4..]),
                side == TruncationSide::Left,
                "{fixture}, {side:?}"
            );
        }
        let query = "wing ".repeat(400);
        let side = TruncationSide::Right;
        let error = tokenizer.encode_prompted_pair("", &query, "a", usize::MAX, side);
        let error = error.unwrap_err();
        assert!(matches!(error, PairError::FirstTooLong { .. }), "{error}");
    }
}

#[test]
fn a_template_is_rendered_as_transformers_does_or_refused() {
    let render = |source: &str| {
        let values = Value::from(Serde(json!({
            "messages": [{ "role": "query", "content": " a\n" }], "add_generation_prompt": true,
        })));
        ChatTemplate::new(source).and_then(|template| template.render(&values))
    };
    for (source, expected) in [
        (
            "{% for m in messages %}\n  {% if true %}\n{{ m.content.strip() }}!\n  {% endif %}\n{% endfor %}\n",
            "a!\n",
        ),
        ("{{ messages[0]['content'] | trim }}\n", "a"),
        (
            "{{ messages | selectattr('role', 'eq', 'x') | map(attribute='content') | first | default('d') }}",
            "d",
        ),
        (
            "{{ missing }}{{ messages[0] | tojson }}",
            r#"{"content":" a\n","role":"query"}"#,
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in [1, 2, 3] %}{% if m == 3 %}{% break %}{% endif %}{% set ns.n = ns.n + m %}{% endfor %}{{ ns.n }}",
            "3",
        ),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
    for (source, part) in [
        ("{{ raise_exception('only texts') }}", "only texts"),
        ("{% for m in messages %}", "syntax error"),
        (
            "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}",
            "fuel",
        ),
    ] {
        let error = render(source).unwrap_err();
        assert!(error.contains(part), "{source}: {error}");
    }
}

#[test]
fn a_template_without_a_place_for_both_texts_is_told() {
    let chat = |source: &str| Chat {
        template: ChatTemplate::new(source).unwrap(),
        is_structured: false,
        values: Map::new(),
        has_single: false,
    };
    let both = "{% for message in messages %}{{ message.content }}{% endfor %}";
    assert_eq!(chat(both).check(), Ok(()));
    let query = "{% for message in messages if message.role != 'document' %}{{ message.content }}{% endfor %}";
    let error = chat(query).check().unwrap_err();
    assert_eq!(error, "it leaves out the message of the role `document`");
}

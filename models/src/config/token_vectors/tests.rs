use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::config::modules;

/// The files that these tests write.
type Files = BTreeMap<&'static str, Value>;

fn read(files: &Files, classes: &[&str]) -> Result<Option<TokenVectors>, String> {
    let model = "file:/model".parse().unwrap();
    let json = JsonFiles {
        model: &model,
        shapes: &|| Ok(crate::source::Shapes::new()),
        read: &|name| {
            let file = files.get(name);
            Ok(file.map(|value| Cow::Owned(value.to_string().into_bytes())))
        },
    };
    let classes: Vec<String> = classes.iter().map(|class| (*class).to_owned()).collect();
    let found = modules::mask(&json).and_then(|mask| TokenVectors::read(&json, &classes, mask));
    found.map_err(|error| error.to_string())
}

const SETTINGS: &str = "config_sentence_transformers.json";
const TRANSFORMER: &str = "sentence_bert_config.json";
const METADATA: &str = "artifact.metadata";
const MODULES: &str = "modules.json";
const MASK: &str = "1_Mask/config.json";

fn with_mask(mask: Value) -> Files {
    let module = json!({ "path": "1_Mask", "type": "x.modules.MultiVectorMask" });
    Files::from([(MODULES, json!([module])), (MASK, mask)])
}

#[test]
fn a_model_without_these_files_gives_no_token_vectors() {
    let dense = json!({ "prompts": {}, "similarity_fn_name": "cosine", "other": 1 });
    for (files, classes) in [
        (Files::new(), vec!["BertModel"]),
        (Files::from([(SETTINGS, dense)]), vec![]),
        (
            Files::from([(SETTINGS, json!({ "model_type": "SentenceTransformer" }))]),
            vec![],
        ),
    ] {
        assert_eq!(read(&files, &classes).unwrap(), None, "{files:?}");
    }
}

#[test]
fn the_settings_of_the_colbert_library_have_its_defaults() {
    let none = read(&Files::new(), &["HF_ColBERT"]).unwrap().unwrap();
    let empty = read(&Files::from([(METADATA, json!({}))]), &[])
        .unwrap()
        .unwrap();
    assert_eq!((none.file, empty.file), ("config.json", METADATA));
    let file = METADATA;
    assert_eq!(
        TokenVectors {
            file,
            ..none.clone()
        },
        empty
    );
    let marker = |rules: &RowRules| rules.marker.as_ref().unwrap().text.clone();
    assert_eq!(marker(&none.query), "[unused0] ");
    assert_eq!(marker(&none.document), "[unused1] ");
    let expansion = none.query.expansion.as_ref().unwrap();
    assert_eq!(
        (expansion.tokens, expansion.attended, expansion.is_limit),
        (32, false, true)
    );
    assert_eq!(
        (none.query.max_tokens, none.document.max_tokens),
        (Some(32), None)
    );
    assert_eq!(
        (none.query.skipped.len(), none.document.skipped.len()),
        (0, 32)
    );
    let settings = json!({
        "query_token_id": "[Q]", "doc_token_id": "[D]", "query_maxlen": 8, "doc_maxlen": 99,
        "mask_punctuation": false, "attend_to_mask_tokens": true, "dim": 96, "nbits": 2,
    });
    let set = read(&Files::from([(METADATA, settings)]), &[])
        .unwrap()
        .unwrap();
    assert_eq!(
        (marker(&set.query), marker(&set.document)),
        ("[Q] ".into(), "[D] ".into())
    );
    let expansion = set.query.expansion.as_ref().unwrap();
    assert_eq!((expansion.tokens, expansion.attended), (8, true));
    assert_eq!(
        (set.query.max_tokens, set.document.max_tokens),
        (Some(8), Some(99))
    );
    assert!(set.document.skipped.is_empty());
    assert_eq!(set.projection, Projection::Weights { size: Some(96) });
}

#[test]
fn the_settings_of_pylate_have_its_defaults_and_the_newer_file_wins() {
    let files = |settings: Value, transformer: Value| {
        Files::from([(SETTINGS, settings), (TRANSFORMER, transformer)])
    };
    let read = |settings, transformer| read(&files(settings, transformer), &[]).unwrap().unwrap();
    let bare = read(json!({ "model_type": "ColBERT" }), json!({}));
    assert_eq!((bare.query.marker, bare.query.expansion), (None, None));
    assert_eq!(bare.document.skipped.len(), 32);
    assert_eq!(bare.projection, Projection::Modules { unit_length: true });
    let settings = json!({ "query_prefix": "[Q] ", "query_length": 20, "skiplist_words": ["a"] });
    let set = read(settings.clone(), json!({}));
    let expansion = set.query.expansion.unwrap();
    assert_eq!(
        (expansion.tokens, expansion.attended, expansion.is_limit),
        (20, false, true)
    );
    assert_eq!(
        (set.query.max_tokens, set.document.skipped),
        (Some(20), vec!["a".to_owned()])
    );
    let written = json!({ "strategy": "min", "attend": true, "length": 9, "token": "x" });
    let newer = read(
        settings.clone(),
        json!({ "query_expansion": written, "query_length": 30 }),
    );
    let expansion = newer.query.expansion.unwrap();
    assert_eq!(
        (expansion.tokens, expansion.attended, expansion.is_limit),
        (9, true, false)
    );
    assert_eq!(
        (newer.query.max_tokens, expansion.token.as_deref()),
        (Some(30), Some("x"))
    );
    let off = read(settings, json!({ "query_expansion": null }));
    assert_eq!(
        (off.query.expansion, off.query.max_tokens),
        (None, Some(20))
    );
    let never = read(
        json!({ "do_query_expansion": false, "query_length": 7 }),
        json!({}),
    );
    assert_eq!(
        (never.query.expansion, never.query.max_tokens),
        (None, Some(7))
    );
}

#[test]
fn a_mask_says_which_tokens_give_a_vector_and_of_which_texts() {
    let of = |mask| read(&with_mask(mask), &[]).unwrap().unwrap();
    let plain = of(json!({ "skiplist_words": ["a"] }));
    assert_eq!(
        (plain.query.skipped.len(), plain.document.skipped.len()),
        (0, 1)
    );
    assert_eq!(plain.projection, Projection::Modules { unit_length: false });
    let one = of(json!({ "skiplist_words": ["a"], "skiplist_tasks": "query" }));
    assert_eq!(
        (one.query.skipped.len(), one.document.skipped.len()),
        (1, 0)
    );
    let all = of(json!({
        "skiplist_words": ["a"], "skiplist_tasks": ["query", "document"],
        "keep_only_token_ids": [7],
    }));
    assert_eq!(
        (all.query.skipped.len(), all.document.skipped.len()),
        (1, 1)
    );
    assert_eq!((all.query.only, all.document.only), (None, Some(vec![7])));
    assert_eq!(of(json!({ "keep_only_token_ids": [] })).document.only, None);
}

#[test]
fn what_is_not_known_is_refused_with_file_and_key() {
    let one = |file, value: Value| Files::from([(file, value)]);
    let expansion = |written: Value| {
        let mut files = with_mask(json!({}));
        files.insert(TRANSFORMER, json!({ "query_expansion": written }));
        files
    };
    for (files, expected) in [
        (
            one(METADATA, json!({ "similarity": "l2" })),
            "artifact.metadata: similarity `l2` is not supported; supported: cosine",
        ),
        (
            one(METADATA, json!({ "interaction": "flipr" })),
            "artifact.metadata: interaction `flipr` is not supported; supported: colbert",
        ),
        (
            one(METADATA, json!({ "doc_maxlen": 2 })),
            "artifact.metadata: doc_maxlen is 2; it must be at least 4",
        ),
        (
            one(
                SETTINGS,
                json!({ "query_prefix": "x", "query_suffix": "y" }),
            ),
            "config_sentence_transformers.json: query_suffix is not supported for a model of token \
             vectors; supported: query_prefix, document_prefix,",
        ),
        (
            one(SETTINGS, json!({ "query_prefix": 7 })),
            "config_sentence_transformers.json: invalid type",
        ),
        (
            one(
                SETTINGS,
                json!({ "document_length": 1, "model_type": "ColBERT" }),
            ),
            "config_sentence_transformers.json: document_length is 1; it must be at least 4",
        ),
        (
            with_mask(json!({ "skiplist_tasks": ["passage"] })),
            "1_Mask/config.json: skiplist_tasks names `passage`; supported: query, document",
        ),
        (
            with_mask(json!({ "keep_most": 1 })),
            "1_Mask/config.json: unknown field `keep_most`",
        ),
        (
            expansion(json!({ "strategy": "max", "length": 9 })),
            "sentence_bert_config.json: query_expansion.strategy `max` is not supported; \
             supported: fixed, min",
        ),
        (
            expansion(json!({ "strategy": "min" })),
            "sentence_bert_config.json: query_expansion: missing field `length`",
        ),
        (
            expansion(json!({ "strategy": "min", "length": 9, "width": 1 })),
            "sentence_bert_config.json: query_expansion: unknown field `width`",
        ),
        (
            Files::from([
                (SETTINGS, json!({ "model_type": "MultiVectorEncoder" })),
                (
                    TRANSFORMER,
                    json!({ "query_expansion": { "strategy": "min", "length": 9 } }),
                ),
            ]),
            "sentence_bert_config.json: query_expansion is set, but modules.json has no \
             MultiVectorMask",
        ),
        (
            {
                let mut files = expansion(json!({ "strategy": "min", "length": 9 }));
                files.insert(SETTINGS, json!({ "query_length": 8 }));
                files
            },
            "sentence_bert_config.json: query_length is 8, but queries are expanded to 9 tokens",
        ),
    ] {
        let error = read(&files, &[]).unwrap_err();
        let error = error.strip_prefix("model file:/model: ").unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
}

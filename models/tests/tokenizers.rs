//! Tokenizers of models without tokenizer.json, and tokens that only other files name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use motet_models::{ModelFiles, Source, Tokenizer};
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns a copy of a fixture without tokenizer.json, in a directory of its own for each test, and
/// that tokenizer.
fn stripped(fixture: &str, test: &str) -> (PathBuf, Value) {
    let from = repository().join("tests/fixtures").join(fixture);
    let to = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("tokenizers")
        .join(format!("{fixture}-{test}"));
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(to.join("1_Pooling")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    (to, read_json(&from.join("tokenizer.json")))
}

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn write(dir: &Path, file: &str, content: &Value) {
    fs::write(dir.join(file), content.to_string()).unwrap();
}

fn open(dir: &Path) -> Result<Tokenizer, String> {
    let files = ModelFiles::open(&Source::File(dir.to_owned())).map_err(|e| e.to_string())?;
    Tokenizer::load(&files).map_err(|e| e.to_string())
}

/// Returns the tokens of a tokenizer.json in the order of their ids, a line each.
fn vocabulary(tokenizer: &Value) -> String {
    let tokens = tokenizer["model"]["vocab"].as_object().unwrap();
    let by_id: BTreeMap<u64, &String> = tokens
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token))
        .collect();
    assert!(by_id.keys().copied().eq(0..tokens.len() as u64));
    by_id
        .into_values()
        .map(|token| format!("{token}\n"))
        .collect()
}

fn merges(tokenizer: &Value) -> String {
    let merges = tokenizer["model"]["merges"].as_array().unwrap().iter();
    let line = |merge: &Value| {
        format!(
            "{} {}\n",
            merge[0].as_str().unwrap(),
            merge[1].as_str().unwrap()
        )
    };
    std::iter::once("#version: 0.2\n".to_owned())
        .chain(merges.map(line))
        .collect()
}

/// Returns a thousand lines and some awkward texts.
fn texts() -> Vec<String> {
    let pages = [
        "ARCHITECTURE.md",
        "README.md",
        "CHANGELOG.md",
        "gateway/docs/policies.md",
    ];
    let pages = pages.map(|page| fs::read_to_string(repository().join(page)).unwrap());
    let mut texts: Vec<String> = pages
        .iter()
        .flat_map(|page| page.lines())
        .map(str::to_owned)
        .collect();
    texts.extend(
        [
            "",
            " \t\n",
            "naïve Zürich FAÇADE Straße",
            "機器 learning 🎶",
            "a\u{0}b\u{200b}c \u{fffd}",
            "<pad> wing [PAD] <pad>flow </s> <mask> [MASK] [CLS]x",
            "don't  stop, e.g. 3.14",
        ]
        .map(str::to_owned),
    );
    texts
}

fn assert_same(built: &Tokenizer, expected: &Tokenizer, what: &str) {
    for text in texts() {
        let (found, expected) = (
            built.encode(&text).unwrap(),
            expected.encode(&text).unwrap(),
        );
        assert_eq!(found, expected, "{what}: {text:?}");
    }
    if let Ok(expected) = expected.encode_pair("a wing", "the flow", 20) {
        assert_eq!(
            built.encode_pair("a wing", "the flow", 20).unwrap(),
            expected,
            "{what}"
        );
    }
}

#[test]
fn a_tokenizer_is_built_of_vocabularies_and_merges() {
    for (fixture, cased) in [
        ("bert", false),
        ("distilbert", true),
        ("electra", false),
        ("mpnet", false),
        ("nomic-bert", false),
        ("roberta", true),
        ("qwen3", true),
        ("clip", true),
    ] {
        let (dir, mut tokenizer) = stripped(fixture, "built");
        match fixture {
            "roberta" | "qwen3" | "clip" => {
                write(&dir, "vocab.json", &tokenizer["model"]["vocab"]);
                fs::write(dir.join("merges.txt"), merges(&tokenizer)).unwrap();
            }
            _ => fs::write(dir.join("vocab.txt"), vocabulary(&tokenizer)).unwrap(),
        }
        let inputs = json!(["input_ids", "attention_mask"]);
        let mut config = json!({ "model_max_length": 40, "model_input_names": inputs });
        if cased {
            config["do_lower_case"] = false.into();
        }
        write(&dir, "tokenizer_config.json", &config);
        if fixture == "qwen3" {
            as_qwen(&mut tokenizer);
        }
        let built = open(&dir).unwrap();
        write(&dir, "tokenizer.json", &tokenizer);
        assert_same(&built, &open(&dir).unwrap(), fixture);
    }
}

/// Gives a tokenizer what `Qwen2Tokenizer` of transformers 5 has beside its vocabulary.
fn as_qwen(tokenizer: &mut Value) {
    let pattern = concat!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    tokenizer["normalizer"] = json!({ "type": "NFC" });
    tokenizer["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
          "invert": false },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
          "use_regex": false },
    ] });
    tokenizer["post_processor"] = Value::Null;
}

#[test]
fn the_settings_of_wordpiece_are_read() {
    let (dir, tokenizer) = stripped("bert", "settings");
    // Lines may end as those of Windows do.
    let lines = vocabulary(&tokenizer).replace('\n', "\r\n");
    fs::write(dir.join("vocab.txt"), lines).unwrap();
    let check = |config: Value, normalizer: Value| {
        let _ = fs::remove_file(dir.join("tokenizer.json"));
        write(&dir, "tokenizer_config.json", &config);
        let built = open(&dir).unwrap();
        let mut expected = tokenizer.clone();
        for (key, value) in normalizer.as_object().unwrap() {
            expected["normalizer"][key] = value.clone();
        }
        write(&dir, "tokenizer.json", &expected);
        assert_same(&built, &open(&dir).unwrap(), &config.to_string());
    };
    check(json!({}), json!({}));
    check(
        json!({ "do_lower_case": true, "strip_accents": false }),
        json!({ "strip_accents": false }),
    );
    check(
        json!({ "tokenize_chinese_chars": false }),
        json!({ "handle_chinese_chars": false }),
    );
    check(
        json!({ "do_lower_case": false, "strip_accents": true }),
        json!({ "lowercase": false, "strip_accents": true }),
    );
}

#[test]
fn added_tokens_of_other_files_are_one_token() {
    let (dir, tokenizer) = stripped("bert", "added");
    write(&dir, "tokenizer.json", &tokenizer);
    let id = |token: &str| tokenizer["model"]["vocab"][token].as_u64().unwrap() as u32;
    let ids = |text: &str| {
        let row = open(&dir).unwrap().encode(text).unwrap();
        row.as_slice()[1..row.len() - 1].to_vec()
    };
    // A token of the vocabulary that no text has otherwise.
    assert!(ids("##our").len() > 1);
    let added = json!({ "added_tokens_decoder": { id("##our").to_string(): {
        "content": "##our", "lstrip": false, "normalized": false, "rstrip": false,
        "single_word": false, "special": true,
    } } });
    write(&dir, "tokenizer_config.json", &added);
    assert_eq!(ids("##our"), [id("##our")]);
    assert_eq!(ids("wing##our wing"), [id("wing"), id("##our"), id("wing")]);
    write(&dir, "tokenizer_config.json", &json!({}));
    write(
        &dir,
        "special_tokens_map.json",
        &json!({ "additional_special_tokens": ["[NONE]", "##our"] }),
    );
    assert_eq!(ids("##our"), [id("##our")]);
    // One that is not in the vocabulary has no vector: it is text.
    write(
        &dir,
        "special_tokens_map.json",
        &json!({ "mask_token": { "content": "[NONE]" } }),
    );
    assert!(ids("[NONE]").len() > 1);
    fs::remove_file(dir.join("special_tokens_map.json")).unwrap();
    write(&dir, "added_tokens.json", &json!({ "##our": id("##our") }));
    assert_eq!(ids("##our"), [id("##our")]);
    write(&dir, "added_tokens.json", &json!({ "##our": 7 }));
    let error = open(&dir).unwrap_err();
    let expected = format!(
        "added_tokens.json: the added token `##our` has the id 7, but gets {}",
        id("##our")
    );
    assert!(error.ends_with(&expected), "{error}");
}

#[test]
fn small_letters_come_first_where_the_model_says_so() {
    let (dir, tokenizer) = stripped("distilbert", "lowercase");
    write(&dir, "tokenizer.json", &tokenizer);
    let ids = |text: &str| open(&dir).unwrap().encode(text).unwrap();
    assert_ne!(ids("Wing"), ids("wing"));
    write(
        &dir,
        "sentence_bert_config.json",
        &json!({ "do_lower_case": true }),
    );
    assert_eq!(ids("WING Zürich"), ids("wing zürich"));
}

#[test]
fn a_tokenizer_that_cannot_be_is_refused() {
    let check = |test: &str, spoil: &dyn Fn(&Path, &Value), expected: &str| {
        let (dir, tokenizer) = stripped("bert", test);
        spoil(&dir, &tokenizer);
        let error = open(&dir).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    };
    let touch = |dir: &Path, file: &str| fs::write(dir.join(file), "").unwrap();
    check("none", &|_, _| (), "file tokenizer.json is missing");
    check(
        "no-merges",
        &|dir, _| write(dir, "vocab.json", &json!({})),
        "file tokenizer.json is missing",
    );
    check(
        "sentencepiece",
        &|dir, _| touch(dir, "spiece.model"),
        "spiece.model: there is no tokenizer.json, and how a `bert` model uses this file is not \
         known; it is of: xlm-roberta, new, camembert, deberta-v2, llama, mistral, gemma3_text, \
         siglip, siglip_text_model. Save the tokenizer anew with `python -c \"from transformers import AutoTokenizer",
    );
    check(
        "unknown-family",
        &|dir, _| {
            write(dir, "vocab.json", &json!({}));
            touch(dir, "merges.txt");
        },
        "vocab.json: there is no tokenizer.json, and how a `bert` model uses this file is not known; \
         it is of: roberta, qwen2, qwen3, clip, clip_text_model",
    );
    check(
        "no-specials",
        &|dir, _| fs::write(dir.join("vocab.txt"), "wing\nflow\n").unwrap(),
        "vocab.txt: there is no token `[UNK]`",
    );
    check(
        "larger",
        &|dir, tokenizer| {
            let all = vocabulary(tokenizer) + "one\nmore\n";
            fs::write(dir.join("vocab.txt"), all).unwrap();
        },
        "vocab.txt: has 133 tokens, but the model's vocabulary (vocab_size in config.json) has 131",
    );
}

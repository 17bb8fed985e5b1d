//! Classifiers that are read from a model's files, and those that are refused.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use motet_models::{Classifier, Level, LoadError, ModelFiles, ScoreKind, Source};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/classifiers")
}

fn open(folder: PathBuf) -> ModelFiles {
    ModelFiles::open(&Source::File(folder)).unwrap()
}

/// Copies a fixture, changes its config.json, and gives what is said of it.
fn spoiled(
    name: &str,
    level: Level,
    change: impl FnOnce(&mut Value),
) -> Result<Classifier, String> {
    let from = folder().join(name);
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
    let to = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("classifiers")
        .join(number);
    // Without the files that a former run left there.
    let _ = std::fs::remove_dir_all(&to);
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    let path = to.join("config.json");
    let mut config = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    let files = open(to.clone());
    let message = |error: LoadError| {
        let text = error.to_string();
        let start = format!("model file:{}: ", to.display());
        text.strip_prefix(&start).unwrap_or(&text).to_owned()
    };
    files.classifier(level).map_err(message)
}

#[test]
fn what_does_not_fit_together_is_refused_with_file_and_key() {
    type Change = fn(&mut Value);
    let table: [(&str, Level, Change, &str); 11] = [
        (
            "bert-tokens",
            Level::Text,
            |_| {},
            "config.json: architectures is `BertForTokenClassification`, whose head classifies \
             tokens, not texts",
        ),
        (
            "bert-reranker",
            Level::Token,
            |_| {},
            "config.json: architectures is `BertForSequenceClassification`, whose head classifies \
             texts, not tokens",
        ),
        (
            "bert-reranker",
            Level::Token,
            |config| config["architectures"] = json!(null),
            "config.json: architectures names no class with a head, and the weights have the \
             tensors of one that classifies texts, not tokens",
        ),
        (
            "roberta-relevance",
            Level::Text,
            |config| config["id2label"] = json!({"0": "a", "1": "b", "2": "c"}),
            "config.json: id2label has 3 labels, but the head has 2 \
             (classifier.out_proj.weight): they must be as many",
        ),
        (
            "roberta-relevance",
            Level::Text,
            |config| config["id2label"] = json!({"0": "a", "2": "b"}),
            "config.json: id2label has 2 labels and one of them has the number `2`; numbers are 0 \
             to 1, without gaps",
        ),
        (
            "distilbert-multi-label",
            Level::Text,
            |config| config["problem_type"] = json!("ranking"),
            "config.json: problem_type `ranking` is not supported; supported: regression, \
             single_label_classification, multi_label_classification",
        ),
        (
            "electra-nli",
            Level::Text,
            |config| {
                config["sentence_transformers"] = json!({"activation_fn": "torch.nn.Softsign"});
            },
            "config.json: sentence_transformers.activation_fn `torch.nn.Softsign` is not \
             supported; supported: Identity, Sigmoid",
        ),
        (
            "qwen3-reranker",
            Level::Token,
            |config| config["architectures"] = json!(null),
            "model.safetensors has no tensor score.bias; the nearest are score.weight",
        ),
        (
            "qwen2-tokens",
            Level::Text,
            |config| config["architectures"] = json!(null),
            "config.json: architectures names no class with a head, and the weights have the \
             tensors of one that classifies tokens, not texts",
        ),
        (
            "eurobert-late",
            Level::Text,
            |config| config["classifier_pooling"] = json!("eos"),
            "config.json: classifier_pooling `eos` is not supported; supported: late, mean, bos",
        ),
        (
            "roberta-tokens",
            Level::Text,
            |config| config["architectures"] = json!(["RobertaModel"]),
            "model.safetensors has no tensor classifier.dense.weight; the nearest are \
             classifier.weight",
        ),
    ];
    for (name, level, change, expected) in table {
        let error = spoiled(name, level, change).unwrap_err();
        assert!(error.starts_with(expected), "{name}: {error}");
    }
}

#[test]
fn the_activation_of_pairs_is_read_from_each_place() {
    let raw = "torch.nn.modules.linear.Identity";
    let of = |change: &dyn Fn(&mut Value)| {
        let classifier = spoiled("electra-nli", Level::Text, change);
        classifier.unwrap().pair_score
    };
    assert_eq!(of(&|_| {}), None);
    let kind = of(&|config| config["sentence_transformers"] = json!({ "activation_fn": raw }));
    assert_eq!(kind, Some(ScoreKind::Raw));
    let kind = of(&|config| config["sbert_ce_default_activation_function"] = json!(raw));
    assert_eq!(kind, Some(ScoreKind::Raw));
}

/// Names of classes are not trusted where the weights say otherwise.
#[test]
fn a_classifier_is_found_by_its_weights() {
    for (name, level, found) in [
        ("bert-reranker", Level::Text, true),
        ("bert-tokens", Level::Text, false),
        ("roberta-tokens", Level::Text, false),
        ("roberta-tokens", Level::Token, true),
        ("qwen3-reranker", Level::Text, true),
        ("qwen3-reranker", Level::Token, false),
        ("mistral-tokens", Level::Text, false),
        ("mistral-tokens", Level::Token, true),
        ("qwen3-plain", Level::Text, true),
        ("llama-logits", Level::Text, true),
    ] {
        let classifier = open(folder().join(name)).find_classifier(level).unwrap();
        assert_eq!(classifier.is_some(), found, "{name}");
    }
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    // One that predicts words has a part of a classifier.
    for name in ["bert", "roberta", "distilbert", "modernbert", "llama"] {
        let files = open(families.join(name));
        assert_eq!(files.find_classifier(Level::Text).unwrap(), None, "{name}");
    }
}

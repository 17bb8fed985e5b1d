//! Mistakes in the configuration of models are found at their places, before anything is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use motet_config::{Diagnostics, Sources};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::{Loader, ResolvedModel, Resolver};

use crate::harness::block_on;

/// Returns the mistakes in `models`, as pairs of the text at fault and the message.
fn mistakes(models: &str) -> Vec<(String, String)> {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let text = format!("models:\n{models}\n");
    let tasks = motet_service::Tasks::builtin();
    let models =
        motet_service::spec::read_text("test.yaml", &text, &tasks, &mut sources, &mut diagnostics);
    motet_service::check(&models, &sources, &mut diagnostics);
    let place = |span| sources.snippet(span).to_owned();
    let pair = |d: &&motet_config::Diagnostic| (place(d.span.unwrap()), d.message.clone());
    diagnostics.sorted().iter().map(pair).collect()
}

fn check(models: &str, expected: &[(&str, &str)]) {
    let found = mistakes(models);
    assert_eq!(found.len(), expected.len(), "{models}\n{found:#?}");
    for ((place, message), (at, part)) in found.iter().zip(expected) {
        assert_eq!(place.trim().trim_matches('"'), *at, "{models}\n{message}");
        assert!(message.contains(part), "{models}\n{message}");
    }
}

#[test]
fn a_splitter_needs_one_tokenizer() {
    check(
        "  m: { task: preprocess }",
        &[("m", "model `m` needs `tokenizer`")],
    );
    check(
        "  m: { task: preprocess, tokenizer: \"x:y\", source: \"x:y\" }",
        &[("x:y", "has both `tokenizer` and `source`")],
    );
    check(
        "  m: { task: preprocess, tokenizer: minilm }\n  \
         minlm: { task: embed, source: \"builtin:all-minilm-l6-v2\" }",
        &[("minilm", "no model is named `minilm`")],
    );
    check(
        "  m: { task: preprocess, tokenizer: b }\n  b: { endpoint: \"grpc://b:1\" }",
        &[("b", "model `b` has no `source` to take a tokenizer from")],
    );
}

#[test]
fn each_mistake_is_reported_at_its_key() {
    const SOURCE: &str = "source: \"builtin:all-minilm-l6-v2\"";
    let embed = |rest: &str| format!("  m: {{ task: embed, {SOURCE}, {rest} }}");
    check(&embed("device: cpu, dtype: bf16, max_tokens: 256"), &[]);
    check(&embed("device: tpu"), &[("tpu", "unknown device `tpu`")]);
    check(
        &embed("device: cpu, dtype: f8"),
        &[("f8", "unknown dtype `f8`")],
    );
    check(&embed("device: cpu, dtype: int8"), &[]);
    check(&embed("engine: packed"), &[]);
    check(&embed("engine: candle, device: cpu"), &[]);
    check(&embed("engine: onnx"), &[("onnx", "unknown engine `onnx`")]);
    check(
        &embed("engine: candle, dtype: int8"),
        &[("candle", "does not compute in int8; take `packed`")],
    );
    if cfg!(feature = "cuda") {
        check(
            &embed("device: \"cuda:1\", dtype: int8"),
            &[("int8", "computed on CPUs only")],
        );
    } else {
        check(
            &embed("device: \"cuda:1\", dtype: int8"),
            &[
                ("cuda:1", "Cargo feature `cuda`"),
                ("int8", "computed on CPUs only"),
            ],
        );
    }
    check(
        &embed("max_tokens: 257"),
        &[("257", "takes between 3 and 256 tokens")],
    );
    check(
        &embed("max_tokens: 2"),
        &[("2", "takes between 3 and 256 tokens")],
    );
    check(
        &embed("max_tokens: 1000, device: x, dtype: y"),
        &[
            ("1000", "between 3"),
            ("x", "unknown device"),
            ("y", "unknown dtype"),
        ],
    );
    check(&embed("truncate: left, prompt: \"query: \""), &[]);
    check(
        &embed("truncate: sideways"),
        &[("sideways", "one of `error`, `right` and `left`")],
    );
    check(
        &embed("prompt_name: query"),
        &[(
            "query",
            "the model has no prompt `query`; its prompts: none",
        )],
    );
    check(
        &embed("prompt_name: query, prompt: a"),
        &[("query", "`prompt` and `prompt_name` are both given")],
    );
    check(
        &embed("max_tokens: 4, prompt: \"a b\""),
        &[("a b", "leaves no room for a text in the limit of 4")],
    );
    if !cfg!(feature = "cuda") {
        check(
            &embed("device: \"cuda:1\""),
            &[("cuda:1", "Cargo feature `cuda`")],
        );
    }
    let source = |source: &str| format!("  m: {{ task: rerank, source: \"{source}\" }}");
    check(
        &source("builtin:all-minilm"),
        &[("builtin:all-minilm", "all-minilm-l6-v2`?")],
    );
    check(
        &source("hf:BAAI/bge@main"),
        &[("hf:BAAI/bge@main", "is not on this machine")],
    );
    check(
        &source("hf:BAAI/bge/m3"),
        &[("hf:BAAI/bge/m3", "`BAAI/bge/m3` is no name of a repository")],
    );
    check(
        &source("hg:BAAI/bge"),
        &[("hg:BAAI/bge", "unknown scheme `hg`")],
    );
    check(
        &source("file:./no/such"),
        &[("file:./no/such", "does not exist")],
    );
    check(
        &source("all-minilm-l6-v2"),
        &[("all-minilm-l6-v2", "has no scheme")],
    );
}

#[test]
fn a_tokenizer_names_another_model_or_a_source() {
    let chunker = |tokenizer: &str, rest: &str| {
        format!("  c: {{ task: preprocess, tokenizer: \"{tokenizer}\" }}\n{rest}")
    };
    check(&chunker("builtin:all-minilm-l6-v2", ""), &[]);
    check(
        &chunker("builtin:x", ""),
        &[("builtin:x", "no built-in model `x`")],
    );
    check(&chunker("e", ""), &[("e", "no model is named `e`")]);
    let other =
        |source: &str, more: &str| format!("  e: {{ task: embed, source: \"{source}\"{more} }}");
    check(&chunker("e", &other("builtin:all-minilm-l6-v2", "")), &[]);
    // A mistake of the other model is reported once, there.
    check(
        &chunker("e", &other("builtin:x", "")),
        &[("builtin:x", "no built-in model")],
    );
    let short = other("builtin:all-minilm-l6-v2", ", max_tokens: 9");
    check(
        &chunker("e", &short),
        &[(
            "e",
            "takes 7 tokens of text in a row; chunks need at least 8",
        )],
    );
}

#[test]
fn chunks_fit_the_model_that_the_tokenizer_is_from() {
    let parameters = |max_tokens: usize| {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let text = format!(
            "models:\n  c: {{ task: preprocess, tokenizer: e }}\n  e:\n    task: embed\n    \
             source: \"builtin:all-minilm-l6-v2\"\n    max_tokens: {max_tokens}\n"
        );
        let tasks = motet_service::Tasks::builtin();
        let models =
            motet_service::spec::read_text("t", &text, &tasks, &mut sources, &mut diagnostics);
        let resolver = Resolver::new(&models, &sources);
        let signature = resolver.signature(&models[0]).unwrap();
        let numbers = |name: &str| {
            let parameter = signature.parameter(name).unwrap();
            (
                parameter.default.clone().unwrap().as_i64().unwrap(),
                parameter.max.unwrap(),
            )
        };
        (numbers("max_tokens"), numbers("overlap"))
    };
    assert_eq!(parameters(256), ((128, 254), (16, 127)));
    assert_eq!(parameters(66), ((64, 64), (16, 32)));
    assert_eq!(parameters(12), ((10, 10), (5, 5)));
}

/// A temporary directory with the files of the built-in model.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("motet-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("1_Pooling")).unwrap();
        let from =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/builtin/all-minilm-l6-v2");
        for file in [
            "config.json",
            "modules.json",
            "1_Pooling/config.json",
            "sentence_bert_config.json",
            "tokenizer.json",
            "model.safetensors",
        ] {
            fs::copy(from.join(file), path.join(file)).unwrap();
        }
        Self(path)
    }

    fn model(&self) -> String {
        format!(
            "  m: {{ task: embed, source: \"file:{}\", batcher: {{ max_batch_tokens: 32 }} }}",
            self.0.display()
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn resolved(models: &str) -> Vec<ResolvedModel> {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let text = format!("models:\n{models}\n");
    let tasks = motet_service::Tasks::builtin();
    let models = motet_service::spec::read_text("t", &text, &tasks, &mut sources, &mut diagnostics);
    motet_service::check(&models, &sources, &mut diagnostics)
}

type Header = serde_json::Map<String, serde_json::Value>;

/// Returns a safetensors file with another header.
fn with_header(whole: &[u8], change: impl Fn(&mut Header)) -> Vec<u8> {
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut header: Header = serde_json::from_slice(&whole[8..8 + length]).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(&whole[8 + length..]);
    file
}

/// None of these gets as far as the start.
#[test]
fn what_is_wrong_with_files_is_found_without_loading_them() {
    let directory = Directory::new("found-by-the-check");
    let path = |file: &str| directory.0.join(file);
    let whole = fs::read(path("model.safetensors")).unwrap();
    let of = |change: &dyn Fn(&mut Header)| with_header(&whole, change);
    let bias = "encoder.layer.0.attention.self.query.bias";
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n".to_vec();
    for (file, content, expected) in [
        (
            "model.safetensors",
            of(&|header| {
                let entry = header.remove(bias).unwrap();
                header.insert("quary.bias".to_owned(), entry);
            }),
            "model.safetensors has no tensor encoder.layer.0.attention.self.query.bias",
        ),
        (
            "model.safetensors",
            of(&|header| header[bias]["shape"] = serde_json::json!([2, 192])),
            "has shape [2, 192], config.json asks for [384]",
        ),
        (
            "model.safetensors",
            of(&|header| header[bias]["dtype"] = "I16".into()),
            "is stored as I16; supported are F32, F16 and BF16",
        ),
        (
            "model.safetensors",
            whole[..whole.len() - 1].to_vec(),
            "is truncated or corrupt",
        ),
        (
            "model.safetensors",
            pointer.clone(),
            "is a pointer of git LFS",
        ),
        ("tokenizer.json", pointer.clone(), "is a pointer of git LFS"),
        ("config.json", pointer, "is a pointer of git LFS"),
    ] {
        let good = fs::read(path(file)).unwrap();
        fs::write(path(file), content).unwrap();
        let found = mistakes(&directory.model());
        assert_eq!(found.len(), 1, "{expected}: {found:?}");
        assert!(found[0].1.contains(expected), "{expected}: {found:?}");
        fs::write(path(file), good).unwrap();
    }
    assert_eq!(mistakes(&directory.model()), []);
}

#[test]
fn weights_that_cannot_be_read_are_an_error_of_one_line() {
    let directory = Directory::new("weights");
    let load = |models| {
        let loader = Loader::new(Metrics::new("test").unwrap(), Health::new()).unwrap();
        block_on(loader.load_all(models))
    };
    assert_eq!(load(resolved(&directory.model())).unwrap().len(), 1);

    // Cut short after it was checked, and before.
    let checked = resolved(&directory.model());
    let weights = directory.0.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let error = load(checked).unwrap_err().to_string();
    let corrupt = "model.safetensors is truncated or corrupt";
    assert!(
        error.starts_with("m: ") && error.contains(corrupt),
        "{error}"
    );
    assert!(!error.contains('\n'));
    let (place, message) = mistakes(&directory.model()).remove(0);
    assert!(place.contains("file:"), "{place}");
    assert!(message.contains(corrupt), "{message}");

    fs::remove_file(&weights).unwrap();
    let (place, message) = mistakes(&directory.model()).remove(0);
    assert!(place.contains("file:"), "{place}");
    assert!(
        message.contains("file model.safetensors is missing"),
        "{message}"
    );

    fs::write(&weights, &whole).unwrap();
    fs::write(directory.0.join("tokenizer.json"), "{").unwrap();
    let (_, message) = mistakes(&directory.model()).remove(0);
    assert!(message.contains("tokenizer.json"), "{message}");
}

//! Folders of static embeddings: what is read of them, and what is said about those that do not go
//! together.

use std::fs;
use std::path::{Path, PathBuf};

use motet_models::{
    DeviceSpec, EngineSpec, ModelFiles, Precision, Source, TextEncoder, Tokenizer, TruncationSide,
};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// Returns a copy of a fixture, in a directory of its own for each test.
fn copy(fixture: &str, test: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("static")
        .join(test);
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(fixtures.join(fixture)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to
}

fn open(dir: &Path) -> Result<ModelFiles, String> {
    ModelFiles::open(&Source::File(dir.to_owned())).map_err(|error| error.to_string())
}

fn load(dir: &Path) -> Result<TextEncoder, String> {
    let device = DeviceSpec::Cpu.open().unwrap();
    let encoder = TextEncoder::load(&open(dir)?, &device, Precision::F32);
    encoder.map_err(|error| error.to_string())
}

/// A tensor: name, type, shape, bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// Changes the tensors of a folder's weights.
fn rewrite(dir: &Path, change: impl Fn(&mut Stored)) {
    let bytes = fs::read(dir.join(WEIGHTS)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = tensors.iter().map(|(name, view)| {
        let shape = view.shape().to_vec();
        let mut stored = (name.to_owned(), view.dtype(), shape, view.data().to_vec());
        change(&mut stored);
        stored
    });
    let tensors: Vec<Stored> = tensors.collect();
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    fs::write(
        dir.join(WEIGHTS),
        safetensors::serialize(views, None).unwrap(),
    )
    .unwrap();
}

fn set(dir: &Path, key: &str, value: Option<Value>) {
    let file = fs::read(dir.join(CONFIG)).unwrap();
    let mut config: serde_json::Map<String, Value> = serde_json::from_slice(&file).unwrap();
    match value {
        Some(value) => drop(config.insert(key.to_owned(), value)),
        None => drop(config.remove(key)),
    }
    fs::write(dir.join(CONFIG), Value::Object(config).to_string()).unwrap();
}

#[test]
fn tables_that_are_missing_or_of_another_shape_are_named() {
    let complaint = |test: &str, change: &dyn Fn(&mut Stored)| {
        let dir = copy("model2vec-shared", test);
        rewrite(&dir, change);
        load(&dir).unwrap_err()
    };
    let error = complaint("missing", &|(name, ..)| {
        if name == "embeddings" {
            "embedding".clone_into(name);
        }
    });
    assert!(error.contains("embeddings or embedding.weight"), "{error}");
    assert!(error.contains("embedding"), "{error}");
    let error = complaint("flat", &|(name, _, shape, _)| {
        if name == "embeddings" {
            *shape = vec![shape.iter().product()];
        }
    });
    assert!(error.contains("embeddings has the shape [480]"), "{error}");
    let error = complaint("beyond", &|(name, _, _, bytes)| {
        if name == "mapping" {
            bytes[..8].copy_from_slice(&30_i64.to_le_bytes());
        }
    });
    let expected = "mapping gives a token the row 30, but embeddings has 30";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_table_has_is_refused() {
    let dir = copy("model2vec", "larger");
    let file = dir.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    tokenizer["model"]["vocab"]["another"] = 131.into();
    fs::write(&file, tokenizer.to_string()).unwrap();
    let error = Tokenizer::load(&open(&dir).unwrap()).unwrap_err();
    assert!(error.to_string().contains("has 132 tokens"), "{error}");
}

#[test]
fn limits_and_lengths_are_those_of_the_file() {
    for (value, expected) in [
        (None, 512),
        (Some(Value::Null), 32_768),
        (Some(json!(7)), 7),
        (Some(json!(1_u64 << 40)), 32_768),
    ] {
        let dir = copy("model2vec", "limits");
        set(&dir, "max_length", value);
        assert_eq!(open(&dir).unwrap().config().max_tokens, expected);
    }
    let dir = copy("model2vec", "limits");
    set(&dir, "max_length", Some(json!(0)));
    let error = open(&dir).unwrap_err();
    assert!(error.contains("max_length `0` is not supported"), "{error}");
    // Without modules.json the file itself says of what length vectors are.
    fs::remove_file(dir.join("modules.json")).unwrap();
    for normalize in [true, false] {
        set(&dir, "max_length", Some(json!(20)));
        set(&dir, "normalize", Some(normalize.into()));
        assert_eq!(open(&dir).unwrap().config().head.is_normalized(), normalize);
    }
}

#[test]
fn words_are_not_predicted_and_shared_rows_count_for_each_token() {
    for fixture in ["static-embedding", "model2vec"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures")
            .join(fixture);
        let error = open(&dir).unwrap().sparse_head().unwrap_err().to_string();
        assert!(
            error.contains("model_type") && error.contains("bert"),
            "{error}"
        );
    }
    let files = open(&copy("model2vec-shared", "facts")).unwrap();
    let device = DeviceSpec::Cpu.open().unwrap();
    let facts = files.facts(&[], EngineSpec::Auto, &device, Precision::F32);
    let facts = facts.unwrap();
    // A table of 30 rows, and 131 tokens with a row and a factor each.
    assert_eq!(facts.parameters, 30 * 16 + 2 * 131);
    assert_eq!(facts.memory_bytes, 4 * (131 * 16 + 2 * 131));
}

#[test]
fn characters_that_are_cut_are_told_as_tokens() {
    let dir = copy("model2vec", "cut");
    let tokenizer = Tokenizer::load(&open(&dir).unwrap()).unwrap();
    // The median token has one character, and the limit is 20 tokens.
    let words = "wing flow wing flow wing";
    let row = tokenizer.encode(words).unwrap();
    assert_eq!(
        row.as_slice(),
        tokenizer.encode(&words[..20]).unwrap().as_slice()
    );
    assert!(row.truncated() && row.cut_at_least(), "{row:?}");
    let signs = ".".repeat(20);
    let row = tokenizer.encode(&signs).unwrap();
    assert_eq!((row.len(), row.truncated()), (20, false));
    // Cuts on the left are by tokens.
    let left = tokenizer.encode_prompted("", words, 3, TruncationSide::Left);
    let left = left.unwrap();
    assert_eq!((left.len(), left.cut(), left.cut_at_least()), (3, 2, false));
    // A prompt is a part of the text.
    let prompted = tokenizer.encode_prompted("wing flow ", &words[10..], 20, TruncationSide::Right);
    assert_eq!(
        prompted.unwrap().as_slice(),
        tokenizer.encode(words).unwrap().as_slice()
    );
}

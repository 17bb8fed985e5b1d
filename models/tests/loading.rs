//! Model directories: what loads, and what is said about those that do not. The model is a tiny one
//! made here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use motet_models::{
    DeviceSpec, ModelFiles, Pooling, Precision, RowInput, RowOutput, Source, TextEncoder,
    ThreadTeam, Tokenizer,
};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

const HIDDEN: usize = 8;
const INNER: usize = 12;
const VOCABULARY: usize = 20;

/// Returns a directory of its own for each test, emptied first.
fn directory(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("loading")
        .join(name);
    let _ = std::fs::remove_file(&dir);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(dir.join("1_Pooling")).unwrap();
    dir
}

fn shapes() -> BTreeMap<String, Vec<usize>> {
    let layer = "encoder.layer.0";
    let mut shapes = BTreeMap::from([
        (
            "embeddings.word_embeddings.weight".to_owned(),
            vec![VOCABULARY, HIDDEN],
        ),
        (
            "embeddings.position_embeddings.weight".to_owned(),
            vec![16, HIDDEN],
        ),
        (
            "embeddings.token_type_embeddings.weight".to_owned(),
            vec![2, HIDDEN],
        ),
    ]);
    for norm in [
        "embeddings.LayerNorm".to_owned(),
        format!("{layer}.attention.output.LayerNorm"),
        format!("{layer}.output.LayerNorm"),
    ] {
        shapes.insert(format!("{norm}.weight"), vec![HIDDEN]);
        shapes.insert(format!("{norm}.bias"), vec![HIDDEN]);
    }
    for (linear, outputs, inputs) in [
        ("attention.self.query", HIDDEN, HIDDEN),
        ("attention.self.key", HIDDEN, HIDDEN),
        ("attention.self.value", HIDDEN, HIDDEN),
        ("attention.output.dense", HIDDEN, HIDDEN),
        ("intermediate.dense", INNER, HIDDEN),
        ("output.dense", HIDDEN, INNER),
    ] {
        shapes.insert(format!("{layer}.{linear}.weight"), vec![outputs, inputs]);
        shapes.insert(format!("{layer}.{linear}.bias"), vec![outputs]);
    }
    shapes
}

/// Values that every stored type holds exactly: eighths between -1 and 1.
fn value(tensor: usize, at: usize) -> f32 {
    ((tensor * 7 + at * 5) % 17) as f32 / 8.0 - 1.0
}

fn write_weights(dir: &Path, dtype: Dtype, prefix: &str, shapes: &BTreeMap<String, Vec<usize>>) {
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .iter()
        .enumerate()
        .map(|(number, (name, shape))| {
            let values = (0..shape.iter().product()).map(|at| value(number, at));
            let bytes = match dtype {
                Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
                Dtype::F16 => values
                    .flat_map(|x| f16::from_f32(x).to_le_bytes())
                    .collect(),
                Dtype::BF16 => values
                    .flat_map(|x| bf16::from_f32(x).to_le_bytes())
                    .collect(),
                _ => values.flat_map(|x| (x as i64).to_le_bytes()).collect(),
            };
            (format!("{prefix}{name}"), shape.clone(), bytes)
        })
        .collect();
    let views = data
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(
        dir.join("model.safetensors"),
        safetensors::serialize(views, None).unwrap(),
    )
    .unwrap();
}

fn config() -> serde_json::Value {
    json!({
        "model_type": "bert", "hidden_act": "gelu", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": INNER,
        "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    })
}

fn write_json(dir: &Path, file: &str, value: &serde_json::Value) {
    std::fs::write(dir.join(file), value.to_string()).unwrap();
}

fn write_model(dir: &Path) {
    let modules = json!([
        { "path": "", "type": "sentence_transformers.models.Transformer" },
        { "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" },
        { "path": "2_Normalize", "type": "sentence_transformers.models.Normalize" },
    ]);
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [],
        "pre_tokenizer": { "type": "Whitespace" },
        "model": { "type": "WordLevel", "vocab": { "a": 0, "wing": 1, "?": 2 }, "unk_token": "?" },
    });
    write_json(dir, "config.json", &config());
    write_json(dir, "modules.json", &modules);
    write_json(
        dir,
        "1_Pooling/config.json",
        &json!({ "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false }),
    );
    write_json(
        dir,
        "sentence_bert_config.json",
        &json!({ "max_seq_length": 10 }),
    );
    write_json(dir, "tokenizer.json", &tokenizer);
    write_weights(dir, Dtype::F32, "", &shapes());
}

fn load(dir: &Path) -> Result<TextEncoder, motet_models::LoadError> {
    let files = ModelFiles::open(&Source::File(dir.to_owned()))?;
    Tokenizer::load(&files)?;
    TextEncoder::load(&files, &DeviceSpec::Cpu.open().unwrap(), Precision::F32)
}

fn embedding(encoder: &TextEncoder) -> Vec<f32> {
    let row = RowInput {
        ids: &[1, 2, 3],
        output: RowOutput::POOLED,
    };
    encoder
        .encode(&[row], &ThreadTeam::current_or_default().unwrap())
        .unwrap()
        .remove(0)
        .unwrap()
        .pooled()
        .unwrap()
}

#[test]
fn stored_types_and_name_prefixes_do_not_change_the_model() {
    let dir = directory("types");
    write_model(&dir);
    let expected = embedding(&load(&dir).unwrap());
    assert!(
        (expected.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5,
        "{expected:?}"
    );
    for (dtype, prefix) in [
        (Dtype::F16, ""),
        (Dtype::BF16, "bert."),
        (Dtype::F32, "bert."),
    ] {
        write_weights(&dir, dtype, prefix, &shapes());
        assert_eq!(
            embedding(&load(&dir).unwrap()),
            expected,
            "{dtype:?} {prefix:?}"
        );
    }
}

#[test]
fn the_configuration_says_pooling_and_limits() {
    let dir = directory("configuration");
    write_model(&dir);
    let check = |pooling, normalize, max_tokens| {
        let config = ModelFiles::open(&Source::File(dir.clone()))
            .unwrap()
            .config()
            .clone();
        assert_eq!(
            (config.pooling, config.normalize, config.max_tokens),
            (pooling, normalize, max_tokens)
        );
    };
    check(Pooling::Cls, true, 10);
    write_json(
        &dir,
        "1_Pooling/config.json",
        &json!({ "pooling_mode": "mean" }),
    );
    check(Pooling::Mean, true, 10);
    write_json(
        &dir,
        "sentence_bert_config.json",
        &json!({ "max_seq_length": 512 }),
    );
    check(Pooling::Mean, true, 16);
    std::fs::remove_file(dir.join("sentence_bert_config.json")).unwrap();
    std::fs::remove_file(dir.join("modules.json")).unwrap();
    check(Pooling::Mean, false, 16);
}

/// Spoils a good model and gives the one line that is said about it, without the `model file:DIR: `
/// in front.
fn complaint(name: &str, spoil: impl FnOnce(&Path)) -> String {
    let dir = directory(name);
    write_model(&dir);
    spoil(&dir);
    let message = load(&dir).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    let front = format!("model file:{}: ", dir.display());
    message
        .strip_prefix(&front)
        .unwrap_or_else(|| panic!("{message}"))
        .replace(&dir.display().to_string(), "DIR")
}

#[test]
fn files_that_are_missing_are_named() {
    let missing = |file: &str| {
        let said = complaint(&format!("missing-{file}"), |dir| {
            std::fs::remove_file(dir.join(file)).unwrap()
        });
        let expected = format!(
            "file {file} is missing; a model directory holds config.json, model.safetensors and tokenizer.json"
        );
        assert_eq!(said, expected);
    };
    missing("config.json");
    missing("model.safetensors");
    missing("tokenizer.json");
    let said = complaint("missing-directory", |dir| {
        std::fs::remove_dir_all(dir).unwrap()
    });
    assert_eq!(said, "directory DIR does not exist");
    let said = complaint("not-a-directory", |dir| {
        std::fs::remove_dir_all(dir).unwrap();
        std::fs::write(dir, "").unwrap();
    });
    assert_eq!(
        said,
        "DIR is not a directory; give the directory that holds config.json and model.safetensors"
    );
}

#[test]
fn weights_that_do_not_fit_are_explained() {
    let check = |name: &str, spoil: &dyn Fn(&Path), expected: &str| {
        assert_eq!(complaint(name, spoil), expected)
    };
    let weights = |dir: &Path| dir.join("model.safetensors");
    let cut = |keep: fn(usize) -> usize| {
        move |dir: &Path| {
            let bytes = std::fs::read(weights(dir)).unwrap();
            std::fs::write(weights(dir), &bytes[..keep(bytes.len())]).unwrap();
        }
    };
    for (name, spoil) in [
        ("truncated", &cut(|len| len - 100) as &dyn Fn(&Path)),
        ("truncated-header", &cut(|_| 100)),
        ("no-weights", &cut(|_| 0)),
        ("garbage", &|dir: &Path| {
            std::fs::write(weights(dir), [0x20; 4000]).unwrap()
        }),
    ] {
        let said = complaint(name, spoil);
        assert!(
            said.starts_with("model.safetensors is truncated or corrupt ("),
            "{said}"
        );
    }
    check(
        "missing-tensor",
        &|dir| {
            let mut shapes = shapes();
            shapes
                .remove("encoder.layer.0.attention.self.key.bias")
                .unwrap();
            write_weights(dir, Dtype::F32, "", &shapes);
        },
        "model.safetensors has no tensor encoder.layer.0.attention.self.key.bias (the file holds 20 tensors)",
    );
    check(
        "wrong-shape",
        &|dir| {
            let mut shapes = shapes();
            shapes.insert(
                "encoder.layer.0.output.dense.weight".to_owned(),
                vec![INNER, HIDDEN],
            );
            write_weights(dir, Dtype::F32, "", &shapes);
        },
        "tensor encoder.layer.0.output.dense.weight has shape [12, 8], config.json asks for [8, 12]",
    );
    check(
        "wrong-type",
        &|dir| write_weights(dir, Dtype::I64, "", &shapes()),
        "tensor embeddings.word_embeddings.weight is stored as I64; supported are F32, F16 and BF16",
    );
}

#[test]
fn configurations_that_are_not_supported_are_explained() {
    let check = |name: &str, file: &str, text: &str, expected: &str| {
        let said = complaint(name, |dir| std::fs::write(dir.join(file), text).unwrap());
        assert_eq!(said, expected);
    };
    let config_with = |key: &str, value: serde_json::Value| {
        let mut config = config();
        config[key] = value;
        config.to_string()
    };
    check(
        "not-json",
        "config.json",
        "{\n  \"model_type\": bert\n}",
        "config.json: expected value at line 2 column 17",
    );
    check(
        "no-type",
        "config.json",
        "{}",
        "config.json: missing field `model_type` at line 1 column 2",
    );
    check(
        "family",
        "config.json",
        &json!({ "model_type": "t5" }).to_string(),
        "config.json: model_type `t5` is not supported; supported: bert",
    );
    check(
        "activation",
        "config.json",
        &config_with("hidden_act", json!("relu")),
        "config.json: hidden_act `relu` is not supported; supported: gelu",
    );
    check(
        "heads",
        "config.json",
        &config_with("num_attention_heads", json!(3)),
        "config.json: hidden_size 8 is not a multiple of num_attention_heads 3",
    );
    check(
        "zero",
        "config.json",
        &config_with("num_hidden_layers", json!(0)),
        "config.json: num_hidden_layers is 0; it must be at least 1",
    );
    check(
        "dense",
        "modules.json",
        &json!([{ "path": "2_Dense", "type": "sentence_transformers.models.Dense" }]).to_string(),
        "modules.json: module `sentence_transformers.models.Dense` is not supported; supported: Transformer, Pooling, Normalize",
    );
    check(
        "pooling",
        "1_Pooling/config.json",
        &json!({ "pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true }).to_string(),
        "1_Pooling/config.json: pooling mode max_tokens + mean_tokens is not supported; supported: mean, cls",
    );
    check(
        "limit",
        "sentence_bert_config.json",
        &json!({ "max_seq_length": 2 }).to_string(),
        "sentence_bert_config.json: max_seq_length is 2; it must be at least 3",
    );
    let said = complaint("tokenizer", |dir| {
        std::fs::write(dir.join("tokenizer.json"), "{}").unwrap()
    });
    assert!(said.starts_with("tokenizer.json: "), "{said}");
}

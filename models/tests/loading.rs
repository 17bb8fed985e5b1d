//! Model directories: what loads, and what is said about those that do not. The model is a tiny one
//! made here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use motet_models::{
    DeviceSpec, Head, ModelFiles, Pooling, Precision, RowInput, Source, TextEncoder, ThreadTeam,
    Tokenizer,
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

fn shapes() -> Shapes {
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

type Shapes = BTreeMap<String, Vec<usize>>;

/// Writes a tensor of each shape under the name that `name` gives it. Its values depend on its own
/// name only.
fn write_tensors(path: &Path, dtype: Dtype, shapes: &Shapes, name: impl Fn(&str) -> String) {
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .iter()
        .map(|(own, shape)| {
            let number = own.bytes().map(usize::from).sum();
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
            (name(own), shape.clone(), bytes)
        })
        .collect();
    let views = data
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn write_weights(dir: &Path, dtype: Dtype, prefix: &str, shapes: &Shapes) {
    let path = dir.join("model.safetensors");
    write_tensors(&path, dtype, shapes, |name| format!("{prefix}{name}"));
}

/// Splits the tensors between two files, by an index that names both.
fn write_shards(dir: &Path) {
    std::fs::remove_file(dir.join("model.safetensors")).unwrap();
    let mut weight_map = serde_json::Map::new();
    let mut shards = [Shapes::new(), Shapes::new()];
    for (number, (name, shape)) in shapes().into_iter().enumerate() {
        weight_map.insert(name.clone(), json!(shard(number % 2)));
        shards[number % 2].insert(name, shape);
    }
    for (number, shapes) in shards.iter().enumerate() {
        let path = dir.join(shard(number));
        write_tensors(&path, Dtype::F32, shapes, str::to_owned);
    }
    write_json(
        dir,
        INDEX,
        &json!({ "metadata": {}, "weight_map": weight_map }),
    );
}

const INDEX: &str = "model.safetensors.index.json";

fn shard(number: usize) -> String {
    format!("model-{:05}-of-00002.safetensors", number + 1)
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
    files.check(&files.config().head)?;
    TextEncoder::load(&files, &DeviceSpec::Cpu.open().unwrap(), Precision::F32)
}

fn embedding(encoder: &TextEncoder) -> Vec<f32> {
    let row = RowInput::new(&[1, 2, 3]);
    let head = encoder.load_head(&encoder.config().head).unwrap();
    let team = ThreadTeam::current_or_default().unwrap();
    let mut rows = encoder.encode(&[row], &head, &team).unwrap();
    rows.remove(0).unwrap().into_vec()
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
        (Dtype::F32, "model."),
        (Dtype::F32, "module."),
        (Dtype::F32, "_orig_mod.bert."),
        (Dtype::F16, "module._orig_mod.model.bert."),
    ] {
        write_weights(&dir, dtype, prefix, &shapes());
        assert_eq!(
            embedding(&load(&dir).unwrap()),
            expected,
            "{dtype:?} {prefix:?}"
        );
    }
    let path = dir.join("model.safetensors");
    write_tensors(&path, Dtype::F32, &shapes(), |name| {
        name.replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta")
    });
    let former = load(&dir).unwrap();
    assert_eq!(embedding(&former), expected, "former names of norms");
    assert!(former.unused_tensors().is_empty());
}

#[test]
fn shards_are_those_that_the_index_names() {
    let dir = directory("shards");
    write_model(&dir);
    let expected = embedding(&load(&dir).unwrap());
    write_shards(&dir);
    // A file that the index does not name is no shard, whatever it holds.
    std::fs::write(dir.join("other.safetensors"), "nothing").unwrap();
    assert_eq!(embedding(&load(&dir).unwrap()), expected);

    let said = complaint("missing-shard", |dir| {
        write_shards(dir);
        std::fs::remove_file(dir.join(shard(1))).unwrap();
    });
    let expected = format!("file {} is missing, which {INDEX} names", shard(1));
    assert_eq!(said, expected);

    let said = complaint("cut-shard", |dir| {
        write_shards(dir);
        std::fs::write(dir.join(shard(0)), [0; 20]).unwrap();
    });
    let expected = format!("{} is truncated or corrupt (20 bytes): ", shard(0));
    assert!(said.starts_with(&expected), "{said}");

    for (name, index, expected) in [
        (
            "no-map",
            json!({}),
            "missing field `weight_map` at line 1 column 2",
        ),
        (
            "empty-map",
            json!({ "weight_map": {} }),
            "weight_map names no tensor",
        ),
        (
            "far-shard",
            json!({ "weight_map": { "a": "../b.safetensors" } }),
            "weight_map names `../b.safetensors`; a shard is a file beside it",
        ),
    ] {
        let said = complaint(name, |dir| {
            write_shards(dir);
            write_json(dir, INDEX, &index);
        });
        assert_eq!(said, format!("{INDEX}: {expected}"));
    }

    let said = complaint("not-in-its-shard", |dir| {
        write_shards(dir);
        let mut index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dir.join(INDEX)).unwrap()).unwrap();
        index["weight_map"]["pooler.dense.weight"] = json!(shard(0));
        write_json(dir, INDEX, &index);
    });
    let expected = format!("{} has no tensor pooler.dense.weight", shard(0));
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn tensors_that_are_not_used_are_named() {
    let dir = directory("unused");
    write_model(&dir);
    let mut more = shapes();
    for name in [
        "pooler.dense.weight",
        "cls.predictions.bias",
        "embeddings.position_ids",
    ] {
        more.insert(name.to_owned(), vec![2]);
    }
    write_weights(&dir, Dtype::F32, "", &more);
    assert_eq!(
        load(&dir).unwrap().unused_tensors(),
        [
            "cls.predictions.bias",
            "embeddings.position_ids",
            "pooler.dense.weight"
        ]
    );
}

#[test]
fn a_head_is_not_dropped_without_a_word() {
    let with_head = |dir: &Path, head: &str| {
        let shapes = shapes();
        let mut named: Shapes = shapes
            .into_iter()
            .map(|(name, shape)| (format!("bert.{name}"), shape))
            .collect();
        named.insert(head.to_owned(), vec![1, HIDDEN]);
        write_weights(dir, Dtype::F32, "", &named);
    };
    for (head, class) in [
        ("classifier.weight", Some("BertForSequenceClassification")),
        (
            "module.classifier.weight",
            Some("BertForTokenClassification"),
        ),
        ("qa_outputs.weight", Some("BertForQuestionAnswering")),
        ("linear.weight", Some("BertModel")),
        ("score.weight", None),
    ] {
        let said = complaint(&format!("head-{head}"), |dir| {
            with_head(dir, head);
            std::fs::remove_file(dir.join("modules.json")).unwrap();
            let mut config = config();
            if let Some(class) = class {
                config["architectures"] = json!([class]);
            }
            write_json(dir, "config.json", &config);
        });
        let classes = class.map_or("not set".to_owned(), |class| format!("`{class}`"));
        let expected = format!(
            "config.json: architectures is {classes} and the weights hold a head ({head}), which \
             would not be computed; supported: an encoder without a head, or with modules.json and \
             a Pooling module, which say that it gives vectors"
        );
        assert_eq!(said, expected);
    }
    // Files may say that the encoder is meant; the head of pre-training never is.
    let dir = directory("head-of-an-embedder");
    write_model(&dir);
    with_head(&dir, "classifier.weight");
    assert_eq!(load(&dir).unwrap().unused_tensors(), ["classifier.weight"]);
    std::fs::remove_file(dir.join("modules.json")).unwrap();
    with_head(&dir, "cls.predictions.bias");
    assert!(load(&dir).is_ok());
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
            (config.head, config.max_tokens),
            (Head::pooled(pooling).normalized(normalize), max_tokens)
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
    for (tokenizer_limit, max_tokens) in [(json!(1e30), 16), (json!(12), 12), (json!(null), 16)] {
        let limits = json!({ "model_max_length": tokenizer_limit });
        write_json(&dir, "tokenizer_config.json", &limits);
        check(Pooling::Mean, true, max_tokens);
    }
    std::fs::remove_file(dir.join("tokenizer_config.json")).unwrap();
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
        "lfs-pointer",
        &|dir| {
            let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
            std::fs::write(weights(dir), pointer).unwrap();
        },
        "model.safetensors is a pointer of git LFS, not the file itself; fetch it with \
         `git lfs pull` in the model's folder, or take `source: hf:ORG/NAME`",
    );
    check(
        "f64",
        &|dir| write_weights(dir, Dtype::F64, "", &shapes()),
        "tensor embeddings.word_embeddings.weight is stored as F64; supported are F32, F16 and BF16",
    );
    check(
        "missing-tensor",
        &|dir| {
            let mut shapes = shapes();
            shapes
                .remove("encoder.layer.0.attention.self.key.bias")
                .unwrap();
            write_weights(dir, Dtype::F32, "", &shapes);
        },
        "model.safetensors has no tensor encoder.layer.0.attention.self.key.bias; \
         the nearest are encoder.layer.0.attention.self.query.bias, \
         encoder.layer.0.attention.self.key.weight, \
         encoder.layer.0.attention.self.value.bias",
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
        "config.json: model_type `t5` is not supported; supported: bert, roberta, xlm-roberta, \
         camembert, distilbert, electra, mpnet, modernbert, eurobert, qwen3, qwen2, llama, \
         mistral, nomic_bert, new, gte, gemma3_text, deberta-v2, jina_embeddings_v3, model2vec, \
         clip, clip_text_model, siglip, siglip_text_model",
    );
    let config_of = |family: &str, key: &str, value: serde_json::Value| {
        let mut config = config();
        config["model_type"] = json!(family);
        config[key] = value;
        config.to_string()
    };
    check(
        "padding",
        "config.json",
        &config_of("roberta", "pad_token_id", json!(15)),
        "config.json: max_position_embeddings is 16 and pad_token_id 15; positions begin at \
         pad_token_id + 1, so none is left",
    );
    check(
        "buckets",
        "config.json",
        &config_of("mpnet", "relative_attention_num_buckets", json!(64)),
        "config.json: relative_attention_num_buckets `64` is not supported; supported: 32",
    );
    check(
        "narrow",
        "config.json",
        &config_of("electra", "embedding_size", json!(0)),
        "config.json: embedding_size is 0; it must be at least 1",
    );
    let without_layers = config_of("distilbert", "dim", json!(8));
    let column = without_layers.len();
    check(
        "distilbert",
        "config.json",
        &without_layers,
        &format!("config.json: missing field `n_layers` at line 1 column {column}"),
    );
    check(
        "activation",
        "config.json",
        &config_with("hidden_act", json!("mish")),
        "config.json: hidden_act `mish` is not supported; supported: gelu, gelu_python, gelu_new, \
         gelu_fast, gelu_pytorch_tanh, gelu_python_tanh, gelu_accurate, quick_gelu, silu, swish, \
         relu",
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
        "layers",
        "config.json",
        &config_with("num_hidden_layers", json!(1_u64 << 40)),
        "config.json: num_hidden_layers is 1099511627776; at most 1024",
    );
    let modules = |class: &str, path: &str| {
        let transformer = json!({ "path": "", "type": "sentence_transformers.models.Transformer" });
        json!([transformer, { "path": path, "type": format!("sentence_transformers.models.{class}") }])
            .to_string()
    };
    check(
        "module",
        "modules.json",
        &modules("WeightedLayerPooling", "1_Pooling"),
        "modules.json: module `sentence_transformers.models.WeightedLayerPooling` is not supported; \
         supported: Transformer, StaticEmbedding, CLIPModel, Pooling, Dense, LayerNorm, Normalize, \
         Dropout, SpladePooling, MultiVectorMask, LogitScore",
    );
    check(
        "second-transformer",
        "modules.json",
        &modules("Transformer", "1_Pooling"),
        "modules.json: module `sentence_transformers.models.Transformer` is number 1; supported: one \
         Transformer, at most one Pooling, then the others",
    );
    for path in ["../2_Dense", "/2_Dense", "a/../../b", "..\\b"] {
        check(
            "module-path",
            "modules.json",
            &modules("Dense", path),
            &format!("modules.json: path `{path}` leaves the model's folder"),
        );
    }
    check(
        "pooling",
        "1_Pooling/config.json",
        &json!({ "pooling_mode_median": true }).to_string(),
        "1_Pooling/config.json: pooling_mode_median is not supported; supported: \
         pooling_mode_cls_token, pooling_mode_max_tokens, pooling_mode_mean_tokens, \
         pooling_mode_mean_sqrt_len_tokens, pooling_mode_weightedmean_tokens, pooling_mode_lasttoken",
    );
    check(
        "limit",
        "sentence_bert_config.json",
        &json!({ "max_seq_length": 2 }).to_string(),
        "sentence_bert_config.json: max_seq_length is 2; it must be at least 3",
    );
    check(
        "tokenizer-limit",
        "tokenizer_config.json",
        &json!({ "model_max_length": -1 }).to_string(),
        "tokenizer_config.json: model_max_length is 0; it must be at least 3",
    );
    let said = complaint("tokenizer", |dir| {
        std::fs::write(dir.join("tokenizer.json"), "{}").unwrap()
    });
    assert!(said.starts_with("tokenizer.json: "), "{said}");
}

/// Writes a Dense module after the others, without weights.
fn with_dense(dir: &Path, config: &serde_json::Value) {
    std::fs::create_dir_all(dir.join("2_Dense")).unwrap();
    std::fs::write(dir.join("2_Dense/config.json"), config.to_string()).unwrap();
    let module = |path: &str, class: &str| json!({ "path": path, "type": class });
    let modules = json!([
        module("", "sentence_transformers.models.Transformer"),
        module("1_Pooling", "sentence_transformers.models.Pooling"),
        module("2_Dense", "sentence_transformers.models.Dense"),
    ]);
    std::fs::write(dir.join("modules.json"), modules.to_string()).unwrap();
}

#[test]
fn a_dense_module_that_is_not_supported_is_refused_with_file_and_key() {
    let check = |key: &str, value: serde_json::Value, expected: &str| {
        let said = complaint(&format!("dense-{key}"), |dir| {
            let mut config = json!({ "in_features": HIDDEN, "out_features": 3 });
            config[key] = value;
            with_dense(dir, &config);
        });
        assert!(said.starts_with("2_Dense/config.json: "), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    check(
        "activation_function",
        json!("torch.nn.modules.activation.Softplus"),
        "activation_function `torch.nn.modules.activation.Softplus` is not supported; supported: \
         torch.nn.Identity, torch.nn.Tanh, torch.nn.ReLU, torch.nn.GELU",
    );
    check(
        "activation_function",
        json!("mine.Tanh"),
        "`mine.Tanh` is not supported",
    );
    check(
        "in_features",
        json!(9),
        "in_features is 9, but the vectors before it have 8 values",
    );
    check("out_features", json!(0), "out_features is 0");
    check(
        "module_input_name",
        json!("token_embeddings"),
        "module_input_name `token_embeddings` is not supported; supported: sentence_embedding",
    );
}

#[test]
fn pickled_weights_are_refused_with_the_command_that_converts_them() {
    let of_module = complaint("pickled-dense", |dir| {
        with_dense(dir, &json!({ "in_features": HIDDEN, "out_features": 3 }));
        std::fs::write(dir.join("2_Dense/pytorch_model.bin"), "pickle").unwrap();
    });
    assert!(
        of_module.starts_with("2_Dense/pytorch_model.bin is a Python pickle"),
        "{of_module}"
    );
    for file in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
        let of_model = complaint("pickled", |dir| {
            std::fs::rename(dir.join("model.safetensors"), dir.join(file)).unwrap();
        });
        assert!(
            of_model.starts_with(&format!("{file} is a Python pickle")),
            "{of_model}"
        );
        assert!(
            of_model.contains("python -c \"import glob, torch"),
            "{of_model}"
        );
    }
    let missing = complaint("dense-missing", |dir| {
        with_dense(dir, &json!({ "in_features": HIDDEN, "out_features": 3 }));
    });
    assert!(
        missing.starts_with("file 2_Dense/model.safetensors is missing"),
        "{missing}"
    );
}

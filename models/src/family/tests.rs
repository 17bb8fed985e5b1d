//! What the keys of config.json make of a description. The files are those of tests/fixtures.

use std::borrow::Cow;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::architecture::{FeedForward, Mask, Pairs};
use crate::source::Source;

/// Returns the description of a configuration.
fn described(config: &Value) -> Result<Architecture, LoadError> {
    with(config, describe)
}

/// Calls `read` with the files of a configuration.
fn with<T>(config: &Value, read_files: impl FnOnce(&JsonFiles<'_>) -> T) -> T {
    let model = Source::File("model".into());
    let read = |name: &str| {
        let is_config = name == CONFIG;
        Ok(is_config.then(|| Cow::Owned(config.to_string().into_bytes())))
    };
    read_files(&JsonFiles {
        model: &model,
        shapes: &|| Ok(crate::source::Shapes::new()),
        read: &read,
    })
}

/// Returns the config.json of a fixture with some keys changed; those that are `null` are taken
/// out.
fn config(fixture: &str, changes: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let file = std::fs::read(folder.join(fixture).join(CONFIG)).unwrap();
    let mut config: Map<String, Value> = serde_json::from_slice(&file).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => config.remove(key),
            value => config.insert(key.clone(), value.clone()),
        };
    }
    Value::Object(config)
}

fn activation_of(architecture: &Architecture) -> Activation {
    match architecture.layers[0].feed_forward {
        FeedForward::Plain { activation, .. } | FeedForward::Gated { activation, .. } => activation,
    }
}

#[test]
fn activations_have_the_names_of_the_library_in_every_family() {
    for (fixture, key) in [
        ("bert", "hidden_act"),
        ("roberta", "hidden_act"),
        ("xlm-roberta", "hidden_act"),
        ("camembert", "hidden_act"),
        ("electra", "hidden_act"),
        ("mpnet", "hidden_act"),
        ("distilbert", "activation"),
        ("modernbert", "hidden_activation"),
        ("qwen2", "hidden_act"),
        ("qwen3", "hidden_act"),
        ("llama", "hidden_act"),
        ("eurobert", "hidden_act"),
        ("mistral", "hidden_act"),
        ("gemma3", "hidden_activation"),
        ("new", "hidden_act"),
        ("gte", "hidden_act"),
        ("nomic-bert", "activation_function"),
        ("deberta", "hidden_act"),
    ] {
        for (name, expected) in ACTIVATIONS {
            let found = described(&config(fixture, &json!({ key: name }))).unwrap();
            assert_eq!(activation_of(&found), expected, "{fixture} {name}");
        }
        let error = described(&config(fixture, &json!({ key: "mish" }))).unwrap_err();
        let error = error.to_string();
        for part in ["config.json", key, "`mish`", "gelu_new, gelu_fast", "relu"] {
            assert!(error.contains(part), "{fixture}: {error}");
        }
    }
}

#[test]
fn older_and_newer_spellings_describe_the_same() {
    let nulls = |keys: &[&str]| -> Map<String, Value> {
        keys.iter()
            .map(|key| ((*key).to_owned(), Value::Null))
            .collect()
    };
    let with = |mut changes: Map<String, Value>, more: Value| {
        changes.extend(more.as_object().unwrap().clone());
        Value::Object(changes)
    };
    let sliding = "sliding_attention";
    for (fixture, other) in [
        (
            "modernbert",
            with(
                nulls(&[
                    "global_attn_every_n_layers",
                    "global_rope_theta",
                    "local_rope_theta",
                ]),
                json!({
                    "layer_types": ["full_attention", sliding, sliding, "full_attention", sliding],
                    "rope_parameters": {
                        "full_attention": { "rope_type": "default", "rope_theta": 3000.0 },
                        sliding: { "rope_theta": 100.0 },
                    },
                }),
            ),
        ),
        (
            "qwen3",
            with(
                nulls(&["layer_types", "rope_parameters"]),
                json!({ "rope_theta": 5000.0, "rope_scaling": {} }),
            ),
        ),
        (
            "llama",
            with(
                nulls(&["rope_theta", "rope_scaling"]),
                json!({ "rope_parameters": {
                    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0,
                    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 16,
                }}),
            ),
        ),
        (
            "mistral",
            with(
                nulls(&["rope_parameters"]),
                json!({ "rope_theta": 100.0, "rope_scaling": { "type": "linear", "factor": 2.5 } }),
            ),
        ),
        (
            "gemma3",
            with(
                nulls(&["layer_types", "rope_parameters"]),
                json!({
                    "sliding_window_pattern": 2, "rope_theta": 9000.0,
                    "rope_local_base_freq": 300.0,
                    "rope_scaling": { "rope_type": "linear", "factor": 4.0 },
                }),
            ),
        ),
        (
            "nomic-bert",
            with(
                nulls(&[
                    "n_embd",
                    "n_head",
                    "n_inner",
                    "n_layer",
                    "n_positions",
                    "layer_norm_epsilon",
                    "rotary_emb_base",
                ]),
                json!({
                    "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 24,
                    "num_hidden_layers": 2, "max_position_embeddings": 40, "layer_norm_eps": 1e-12,
                    "rope_parameters": { "rope_theta": 1000.0, "rope_type": "default" },
                }),
            ),
        ),
    ] {
        let expected = described(&config(fixture, &json!({}))).unwrap();
        assert_eq!(
            described(&config(fixture, &other)).unwrap(),
            expected,
            "{fixture}"
        );
    }
}

#[test]
fn what_is_not_computed_is_refused_by_file_key_and_what_is_supported() {
    let windows = json!({ "use_sliding_window": true, "sliding_window": 0 });
    for (fixture, changes, parts) in [
        (
            "bert",
            json!({ "model_type": "t5" }),
            ["model_type", "`t5`", "modernbert, eurobert, qwen3"],
        ),
        (
            "llama",
            json!({ "head_dim": 1 << 20 }),
            ["heads", "1048576", "65536"],
        ),
        (
            "qwen3",
            json!({ "intermediate_size": 1_u64 << 40 }),
            ["intermediate_size", "1099511627776", "at most"],
        ),
        (
            "nomic-bert",
            json!({ "vocab_size": u64::MAX }),
            ["vocab_size", "18446744073709551615", "at most"],
        ),
        (
            "deberta",
            json!({ "max_position_embeddings": 1 << 20 }),
            ["max_position_embeddings", "1048576", "65536"],
        ),
        (
            "deberta",
            json!({ "conv_kernel_size": 4 }),
            ["conv_kernel_size", "4", "odd"],
        ),
        (
            "deberta",
            json!({ "conv_kernel_size": 3, "conv_groups": 2 }),
            ["conv_groups", "2", "1"],
        ),
        (
            "deberta",
            json!({ "conv_kernel_size": 3, "conv_act": "mish" }),
            ["conv_act", "mish", "gelu"],
        ),
        (
            "deberta",
            json!({ "embedding_size": 0 }),
            ["embedding_size", "0", "at least 1"],
        ),
        (
            "deberta",
            json!({ "pos_att_type": "c2p|p2p" }),
            ["pos_att_type", "p2p", "c2p, p2c"],
        ),
        (
            "deberta",
            json!({ "relative_attention": false }),
            ["relative_attention", "false", "true"],
        ),
        (
            "deberta",
            json!({ "norm_rel_ebd": "batch_norm" }),
            ["norm_rel_ebd", "batch_norm", "layer_norm"],
        ),
        (
            "deberta",
            json!({ "position_buckets": 2 }),
            ["position_buckets", "2", "at least 2"],
        ),
        (
            "bert",
            json!({ "position_embedding_type": "alibi" }),
            ["position_embedding_type", "alibi", "absolute"],
        ),
        (
            "jina-bert",
            json!({ "position_embedding_type": null }),
            ["position_embedding_type", "absolute", "alibi"],
        ),
        (
            "jina-bert",
            json!({ "feed_forward_type": null }),
            ["feed_forward_type", "original", "geglu, reglu"],
        ),
        (
            "xlm-roberta-flash",
            json!({ "position_embedding_type": "alibi" }),
            ["position_embedding_type", "`alibi`", "rotary, absolute"],
        ),
        (
            "xlm-roberta-flash",
            json!({ "rotary_emb_scale_base": 512 }),
            ["rotary_emb_scale_base", "`512`", "null"],
        ),
        (
            "xlm-roberta-flash",
            json!({ "rotary_emb_base": -1.0 }),
            ["rotary_emb_base", "`-1`", "above 0"],
        ),
        (
            "jina-embeddings-v3",
            json!({ "rope_parameters": { "rope_type": "longrope" } }),
            ["rope_type", "`longrope`", "yarn"],
        ),
        (
            "bert",
            json!({ "model_type": "jina_embeddings_v5" }),
            ["model_type", "`jina_embeddings_v5`", "modernbert"],
        ),
        (
            "clip",
            json!({ "text_config": { "hidden_act": "mish" } }),
            ["hidden_act", "`mish`", "quick_gelu"],
        ),
        (
            "clip",
            json!({ "text_config": { "hidden_size": 30, "num_attention_heads": 4 } }),
            ["hidden_size 30", "multiple", "4"],
        ),
        (
            "clip",
            json!({ "text_config": [] }),
            ["text_config", "is not", "a map"],
        ),
        (
            "siglip",
            json!({ "text_config": { "num_hidden_layers": "two" } }),
            ["text_config: ", "two", "usize"],
        ),
        (
            "bert",
            json!({ "is_decoder": true }),
            ["is_decoder", "`true`", "false"],
        ),
        (
            "llama",
            json!({ "rope_scaling": { "type": "longrope" } }),
            ["rope_type", "longrope", "yarn"],
        ),
        (
            "llama",
            json!({ "rope_scaling": { "type": "linear" } }),
            ["rope_scaling", "factor", "no"],
        ),
        (
            "llama",
            json!({ "rope_theta": -1.0 }),
            ["rope_theta", "-1", "above 0"],
        ),
        (
            "llama",
            json!({ "partial_rotary_factor": 0.5 }),
            ["partial_rotary_factor", "0.5", "1"],
        ),
        (
            "llama",
            json!({ "num_key_value_heads": 4 }),
            ["num_attention_heads 6", "multiple", "4"],
        ),
        ("llama", json!({ "head_dim": 7 }), ["head_dim", "7", "even"]),
        (
            "qwen2",
            json!({ "is_causal": null }),
            ["is_causal", "null", "auto_map"],
        ),
        ("qwen3", windows, ["sliding_window", "0", "at least 1"]),
        (
            "qwen3",
            json!({ "layer_types": ["full_attention"] }),
            ["layer_types", "1 entries", "3 layers"],
        ),
        (
            "qwen3",
            json!({ "layer_types": ["a", "b", "c"] }),
            ["layer_types", "`a`", "sliding_attention"],
        ),
        (
            "qwen3",
            json!({ "use_sliding_window": false }),
            ["sliding_window", "null", "layer_types"],
        ),
        (
            "modernbert",
            json!({ "rope_parameters": { "rope_theta": 1.0 } }),
            ["rope_parameters", "rope_theta", "each type"],
        ),
        (
            "modernbert",
            json!({ "hidden_size": 30 }),
            ["hidden_size 30", "multiple", "4"],
        ),
        (
            "gemma3",
            json!({ "attn_logit_softcapping": 50.0 }),
            ["attn_logit_softcapping", "50", "null"],
        ),
        (
            "nomic-bert",
            json!({ "moe_every_n_layers": 2 }),
            ["moe_every_n_layers", "2", "null"],
        ),
        (
            "nomic-bert",
            json!({ "num_experts": 8 }),
            ["num_experts", "8", "null"],
        ),
        (
            "nomic-bert",
            json!({ "prenorm": true }),
            ["prenorm", "true", "false"],
        ),
        (
            "nomic-bert",
            json!({ "rotary_emb_fraction": 0.0 }),
            ["rotary_emb_fraction", "0", "above 0"],
        ),
        (
            "nomic-bert",
            json!({ "activation_function": "glu" }),
            ["activation_function", "glu", "swiglu"],
        ),
        (
            "new",
            json!({ "rope_scaling": { "type": "dynamic", "factor": 2.0 } }),
            ["rope_scaling.type", "dynamic", "ntk"],
        ),
        (
            "new",
            json!({ "layer_norm_type": "rms_norm" }),
            ["layer_norm_type", "rms_norm", "layer_norm"],
        ),
        (
            "new",
            json!({ "position_embedding_type": "absolute" }),
            ["position_embedding_type", "absolute", "rope"],
        ),
        (
            "new",
            json!({ "logn_attention_scale": true }),
            ["logn_attention_scale", "true", "false"],
        ),
    ] {
        let error = described(&config(fixture, &changes))
            .unwrap_err()
            .to_string();
        for part in parts.into_iter().chain([CONFIG]) {
            assert!(error.contains(part), "{fixture} {changes}: {error}");
        }
    }
}

#[test]
fn code_of_a_repository_is_a_family_that_is_known_or_refused_by_its_class() {
    let by =
        |class: &str| json!({ "auto_map": { "AutoModel": format!("org/repo--module.{class}") } });
    // The class says more than the type of model.
    let mut custom = by("NewModel");
    custom["model_type"] = json!("bert");
    assert_eq!(
        described(&config("new", &custom)).unwrap(),
        described(&config("new", &json!({}))).unwrap()
    );
    for (fixture, changes, class) in [
        ("bert", by("BertWithRouting"), "BertWithRouting"),
        ("mistral", by("NVEmbedModel"), "NVEmbedModel"),
        (
            "bert",
            json!({ "auto_map": { "AutoModelForMaskedLM": "a.MyBert" } }),
            "MyBert",
        ),
    ] {
        let error = described(&config(fixture, &changes))
            .unwrap_err()
            .to_string();
        for part in [
            CONFIG,
            "auto_map",
            class,
            "NomicBertModel",
            "NewModel",
            "JinaBertModel",
            "not run",
        ] {
            assert!(error.contains(part), "{fixture}: {error}");
        }
    }
    // Code of a tokenizer or of a configuration computes nothing here.
    let harmless = json!({ "auto_map": { "AutoTokenizer": ["a.B", null], "AutoConfig": "a.C" } });
    assert!(described(&config("bert", &harmless)).is_ok());
}

#[test]
fn the_part_for_texts_is_that_of_the_file_with_what_is_usual() {
    for (fixture, changes, expected) in [
        ("clip", json!({}), (32, 30, 20)),
        // The sizes of the first published one.
        (
            "clip",
            json!({ "text_config": null, "projection_dim": null }),
            (512, 77, 512),
        ),
        (
            "clip",
            json!({ "text_config_dict": { "hidden_size": 64 } }),
            (64, 77, 20),
        ),
        ("clip", json!({ "text_config_dict": [] }), (32, 30, 20)),
        ("siglip", json!({}), (32, 20, 24)),
        (
            "siglip",
            json!({ "text_config": { "vocab_size": 9 } }),
            (768, 64, 768),
        ),
        (
            "clip-text",
            json!({ "model_type": "siglip_text_model", "projection_dim": null }),
            (32, 24, 32),
        ),
    ] {
        let config = config(fixture, &changes);
        let found = described(&config).unwrap();
        let size = with(&config, |json| own_text(json, &found))
            .unwrap()
            .unwrap();
        let size = size.head.size(found.hidden);
        let sizes = (found.hidden, found.max_tokens, size);
        assert_eq!(sizes, expected, "{fixture} {changes}");
    }
}

#[test]
fn windows_and_directions_are_those_of_the_file() {
    let window = |before, after| Mask::Window { before, after };
    for (fixture, changes, expected) in [
        ("llama", json!({}), vec![Mask::Causal; 3]),
        ("llama", json!({ "is_causal": false }), vec![Mask::All; 3]),
        (
            "llama",
            json!({ "use_bidirectional_attention": true }),
            vec![Mask::All; 3],
        ),
        ("mistral", json!({}), vec![window(6, 0); 3]),
        (
            "mistral",
            json!({ "is_causal": false }),
            vec![window(7, 7); 3],
        ),
        (
            "mistral",
            json!({ "sliding_window": null }),
            vec![window(4095, 0); 3],
        ),
        (
            "qwen3",
            json!({}),
            vec![Mask::Causal, Mask::Causal, window(5, 0)],
        ),
        (
            "qwen3",
            json!({ "layer_types": null, "max_window_layers": 1 }),
            vec![Mask::Causal, window(5, 0), window(5, 0)],
        ),
        (
            "gemma3-causal",
            json!({}),
            vec![window(4, 0), Mask::Causal, window(4, 0)],
        ),
        (
            "modernbert-biased",
            json!({}),
            vec![window(3, 3), Mask::All, window(3, 3)],
        ),
    ] {
        let found = described(&config(fixture, &changes)).unwrap();
        let masks: Vec<Mask> = found
            .layers
            .iter()
            .map(|layer| layer.attention.mask)
            .collect();
        assert_eq!(masks, expected, "{fixture} {changes}");
    }
    let none = json!({ "sliding_window": Value::Null });
    let mut config = config("mistral", &json!({}));
    config["sliding_window"] = none["sliding_window"].clone();
    let found = described(&config).unwrap();
    assert_eq!(found.layers[0].attention.mask, Mask::Causal);
}

#[test]
fn rows_are_as_long_as_the_positions_that_a_model_was_trained_for() {
    for (fixture, changes, expected) in [
        ("bert", json!({}), 48),
        ("roberta", json!({}), 40),
        ("qwen3", json!({}), 44),
        ("jina-bert", json!({}), 70),
        ("xlm-roberta-flash", json!({}), 40),
        ("xlm-roberta-flash-learned", json!({}), 40),
        ("nomic-bert", json!({}), 40),
        (
            "nomic-bert",
            json!({ "rotary_scaling_factor": 2.0, "max_trained_positions": 20 }),
            20,
        ),
    ] {
        let found = described(&config(fixture, &changes)).unwrap();
        assert_eq!(found.max_tokens, expected, "{fixture} {changes}");
    }
    let halves = described(&config("nomic-bert", &json!({}))).unwrap();
    let neighbours = described(&config("nomic-bert-interleaved", &json!({}))).unwrap();
    let pairs = |found: &Architecture| found.rotaries()[0].pairs;
    assert_eq!(
        (pairs(&halves), pairs(&neighbours)),
        (Pairs::Halves, Pairs::Neighbours)
    );
}

//! [`PeftAdapter`]: an adapter as the library PEFT saves it.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::LoadError;
use crate::source::{JsonFiles, Source};

/// Settings of an adapter.
pub(crate) const SETTINGS: &str = "adapter_config.json";
/// Weights of an adapter.
const WEIGHTS: &str = "adapter_model.safetensors";

/// Keys that would make another change of the weights, with the value that does not.
const FIXED: [(&str, Value); 13] = [
    ("fan_in_fan_out", Value::Bool(false)),
    ("use_dora", Value::Bool(false)),
    ("use_qalora", Value::Bool(false)),
    ("use_bdlora", Value::Null),
    ("lora_bias", Value::Bool(false)),
    ("layer_replication", Value::Null),
    ("alora_invocation_tokens", Value::Null),
    ("trainable_token_indices", Value::Null),
    ("target_parameters", Value::Null),
    ("arrow_config", Value::Null),
    ("kasa_config", Value::Null),
    ("monteclora_config", Value::Null),
    ("velora_config", Value::Null),
];

/// First values of the factors that leave the weights of the model as they are.
const PLAIN_STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// An adapter in a folder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PeftAdapter {
    /// Place of the folder.
    pub(crate) source: Source,
    /// Path of the folder inside the source's, empty or with a slash at its end.
    pub(crate) folder: String,
    alpha: f64,
    /// Values of `alpha` for the modules that a pattern matches, in the order of the file.
    alphas: Vec<(Pattern, f64)>,
    scales_by_root: bool,
    /// Names of modules that are saved whole.
    whole_modules: Vec<String>,
}

/// A pattern of modules' names.
#[derive(Clone, Debug)]
struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[derive(serde::Deserialize)]
struct Keys {
    peft_type: String,
    #[serde(default = "eight")]
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default = "none")]
    bias: String,
    alpha_pattern: Option<InOrder>,
    modules_to_save: Option<Vec<String>>,
    init_lora_weights: Option<Value>,
    /// The keys beside these.
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn eight() -> f64 {
    8.0
}

fn none() -> String {
    "none".to_owned()
}

/// The entries of a map in the order of the file: of several patterns that match, the first counts.
#[derive(Default)]
struct InOrder(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = InOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<InOrder, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl PeftAdapter {
    /// Reads the settings in a folder of a source; `None` if there are none.
    ///
    /// # Errors
    /// Settings that do not parse, or that make another change than the product of two factors.
    pub(crate) fn read(json: &JsonFiles<'_>, folder: &str) -> Result<Option<Self>, LoadError> {
        let file = format!("{folder}{SETTINGS}");
        let Some(keys): Option<Keys> = json.optional(&file)? else {
            return Ok(None);
        };
        let refuse = |key: &str, found: &str, supported: &str| {
            let reason = format!("{key} `{found}` is not supported; supported: {supported}");
            Err(json.unsupported(&file, reason))
        };
        if keys.peft_type != "LORA" {
            return refuse("peft_type", &keys.peft_type, "LORA");
        }
        if keys.bias != "none" {
            return refuse("bias", &keys.bias, "none");
        }
        for (key, supported) in FIXED {
            let found = keys.others.get(key).unwrap_or(&supported);
            // A key that names nothing is as good as none.
            let is_empty = found.as_array().is_some_and(Vec::is_empty)
                || found.as_object().is_some_and(Map::is_empty)
                || found.is_null()
                || found == false;
            if !is_empty {
                return refuse(key, &found.to_string(), &supported.to_string());
            }
        }
        match keys.init_lora_weights {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(start)) if PLAIN_STARTS.contains(&&*start) => {}
            Some(other) => {
                let supported = "true, false, gaussian, eva, orthogonal (others change the weights \
                                 of the model, too)";
                return refuse("init_lora_weights", &other.to_string(), supported);
            }
        }
        let mut alphas = Vec::new();
        for (pattern, value) in keys.alpha_pattern.unwrap_or_default().0 {
            // As PEFT takes it: the whole name of a module, or its end after a dot.
            let whole = Regex::new(&format!("^(?:.*\\.)?(?:{pattern})$"));
            let (Ok(whole), Some(alpha)) = (whole, value.as_f64()) else {
                let found = format!("{pattern}: {value}");
                return refuse("alpha_pattern", &found, "a regular expression and a number");
            };
            alphas.push((Pattern(whole), alpha));
        }
        Ok(Some(Self {
            source: json.model.clone(),
            folder: folder.to_owned(),
            alpha: keys.lora_alpha,
            alphas,
            scales_by_root: keys.use_rslora,
            whole_modules: keys.modules_to_save.unwrap_or_default(),
        }))
    }

    /// Returns the path of the weights.
    pub(crate) fn weights(&self) -> String {
        format!("{}{WEIGHTS}", self.folder)
    }

    /// Returns the factor of the product of a module's factors of this rank.
    pub(crate) fn scale(&self, module: &str, rank: usize) -> f32 {
        let mut alphas = self.alphas.iter();
        let own = alphas.find(|(pattern, _)| pattern.0.is_match(module));
        let alpha = own.map_or(self.alpha, |(_, alpha)| *alpha);
        let rank = rank as f64;
        let divisor = if self.scales_by_root {
            rank.sqrt()
        } else {
            rank
        };
        (alpha / divisor) as f32
    }

    /// Returns whether a tensor is one of a module that is saved whole.
    fn is_whole(&self, tensor: &str) -> bool {
        let module = tensor.rsplit_once('.').map_or("", |(module, _)| module);
        let parts = || module.split('.');
        self.whole_modules.iter().any(|whole| {
            let names: Vec<&str> = whole.split('.').collect();
            let parts: Vec<&str> = parts().collect();
            parts.windows(names.len()).any(|window| window == names)
        })
    }

    /// Sorts the tensors of the adapter by what they are.
    ///
    /// # Errors
    /// The name of a tensor that is nothing known, or a factor without the other.
    pub(crate) fn sort<'t>(
        &self,
        tensors: impl Iterator<Item = &'t str>,
    ) -> Result<PeftTensors<'t>, String> {
        let mut sorted = PeftTensors::default();
        let mut factors: BTreeMap<(&str, Kind), [Option<&str>; 2]> = BTreeMap::new();
        for tensor in tensors {
            let name = tensor.strip_prefix("base_model.model.").unwrap_or(tensor);
            let factor = FACTORS.iter().find_map(|(ending, kind, at)| {
                let module = name.strip_suffix(ending)?;
                Some((module, *kind, *at))
            });
            match factor {
                Some((module, kind, at)) => {
                    factors.entry((module, kind)).or_default()[at] = Some(tensor);
                }
                None if self.is_whole(name) => sorted.whole.push((name, tensor)),
                None => return Err(format!("tensor {tensor} is no part of a LoRA adapter")),
            }
        }
        for ((module, kind), pair) in factors {
            match pair {
                [Some(first), Some(second)] => sorted.changes.push(PeftChange {
                    module,
                    kind,
                    factors: [first, second],
                }),
                [found, other] => {
                    let found = found.or(other).unwrap_or_default();
                    return Err(format!("tensor {found} has no other factor beside it"));
                }
            }
        }
        Ok(sorted)
    }
}

/// The tensors of an adapter, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PeftTensors<'t> {
    pub(crate) changes: Vec<PeftChange<'t>>,
    /// Tensors that take the place of the model's: the name there, and the name in the file.
    pub(crate) whole: Vec<(&'t str, &'t str)>,
}

/// A change of the weight of a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeftChange<'t> {
    /// Name of the module in the model.
    pub(crate) module: &'t str,
    pub(crate) kind: Kind,
    /// Names of the factors, the one that reads what enters first.
    pub(crate) factors: [&'t str; 2],
}

/// Kinds of modules, whose factors are stored in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A product: `[rank, inputs]` and `[outputs, rank]`.
    Linear,
    /// A table: `[rank, rows]` and `[columns, rank]`.
    Table,
}

/// Endings of the names of factors.
const FACTORS: [(&str, Kind, usize); 4] = [
    (".lora_A.weight", Kind::Linear, 0),
    (".lora_B.weight", Kind::Linear, 1),
    (".lora_embedding_A", Kind::Table, 0),
    (".lora_embedding_B", Kind::Table, 1),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(settings: &Value) -> Result<PeftAdapter, String> {
        read_text(&serde_json::to_vec(settings).unwrap())
    }

    fn read_text(settings: &[u8]) -> Result<PeftAdapter, String> {
        let json = JsonFiles {
            model: &Source::File("adapter".into()),
            read: &|file| Ok((file == SETTINGS).then(|| settings.to_vec().into())),
            shapes: &|| Ok(Default::default()),
        };
        match PeftAdapter::read(&json, "") {
            Ok(adapter) => Ok(adapter.unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn scales_are_those_of_the_settings() {
        for (settings, module, rank, expected) in [
            (json!({"lora_alpha": 16}), "a.query", 8, 2.0),
            (json!({}), "a.query", 4, 2.0),
            (
                json!({"lora_alpha": 3, "use_rslora": true}),
                "a.query",
                9,
                1.0,
            ),
            (
                json!({"lora_alpha": 1, "alpha_pattern": {"query": 6}}),
                "layer.0.query",
                2,
                3.0,
            ),
            (
                json!({"lora_alpha": 1, "alpha_pattern": {"query": 6}}),
                "layer.0.subquery",
                2,
                0.5,
            ),
            (
                json!({"lora_alpha": 1, "alpha_pattern": {"layer\\.[01]\\.\\w+": 6}}),
                "encoder.layer.1.key",
                2,
                3.0,
            ),
        ] {
            let mut settings = settings;
            settings["peft_type"] = json!("LORA");
            let adapter = read(&settings).unwrap();
            assert_eq!(adapter.scale(module, rank), expected, "{settings} {module}");
        }
    }

    #[test]
    fn of_several_patterns_the_first_of_the_file_counts() {
        for (patterns, expected) in [
            (r#"{"query": 2, "a.query": 6}"#, 1.0),
            (r#"{"b.query": 6, "a.query": 6, "query": 2}"#, 3.0),
        ] {
            let text = format!(r#"{{"peft_type": "LORA", "alpha_pattern": {patterns}}}"#);
            let adapter = read_text(text.as_bytes()).unwrap();
            assert_eq!(adapter.scale("a.query", 2), expected, "{patterns}");
        }
    }

    #[test]
    fn other_changes_are_refused_by_their_key() {
        for (key, value, expected) in [
            ("peft_type", json!("IA3"), "peft_type `IA3`"),
            (
                "bias",
                json!("all"),
                "bias `all` is not supported; supported: none",
            ),
            ("use_dora", json!(true), "use_dora `true`"),
            ("layer_replication", json!([[0, 2]]), "layer_replication"),
            (
                "init_lora_weights",
                json!("pissa"),
                "init_lora_weights `\"pissa\"`",
            ),
            ("alpha_pattern", json!({"(": 1}), "alpha_pattern `(: 1`"),
            ("alpha_pattern", json!({"query": "two"}), "alpha_pattern"),
        ] {
            let mut settings = json!({"peft_type": "LORA", "lora_alpha": 1});
            settings[key] = value;
            let error = read(&settings).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("adapter_config.json"), "{error}");
        }
        for (key, value) in [
            ("use_dora", json!(false)),
            ("target_parameters", json!([])),
            ("trainable_token_indices", Value::Null),
            ("init_lora_weights", json!("gaussian")),
        ] {
            let mut settings = json!({"peft_type": "LORA", "lora_alpha": 1});
            settings[key] = value;
            assert!(read(&settings).is_ok(), "{settings}");
        }
    }

    #[test]
    fn tensors_are_sorted_by_what_they_are() {
        let settings = json!({"peft_type": "LORA", "modules_to_save": ["classifier"]});
        let adapter = read(&settings).unwrap();
        let tensors = [
            "base_model.model.bert.words.lora_embedding_A",
            "base_model.model.bert.words.lora_embedding_B",
            "base_model.model.classifier.dense.weight",
            "base_model.model.query.lora_A.weight",
            "base_model.model.query.lora_B.weight",
        ];
        let sorted = adapter.sort(tensors.into_iter()).unwrap();
        let found: Vec<_> = sorted
            .changes
            .iter()
            .map(|it| (it.module, it.kind))
            .collect();
        let expected = [("bert.words", Kind::Table), ("query", Kind::Linear)];
        assert_eq!(found, expected);
        assert_eq!(sorted.changes[1].factors, [tensors[3], tensors[4]]);
        assert_eq!(sorted.whole, [("classifier.dense.weight", tensors[2])]);
        for (tensors, expected) in [
            (&tensors[3..4], "has no other factor"),
            (&tensors[4..], "has no other factor"),
            (
                &["base_model.model.x.lora_magnitude_vector"],
                "no part of a LoRA adapter",
            ),
            (
                &["base_model.model.preclassifier.weight"],
                "no part of a LoRA adapter",
            ),
        ] {
            let error = adapter.sort(tensors.iter().copied()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

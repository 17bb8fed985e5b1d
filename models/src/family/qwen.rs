//! Qwen 2 and 3 as embedders: Llama with biases of queries, keys and values (2) or with norms of
//! the heads (3), and windows in some layers.

use serde::Deserialize;

use super::decoder::{Biases, Config, LayerType, layer_types};
use super::{CONFIG, Family, at_least_one, classifiers, refuse};
use crate::architecture::{Architecture, HeadNorms};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const QWEN2: Family = Family {
    model_types: &["qwen2"],
    // Its code is that of the library with tokens that see the whole row, as `is_causal` says.
    classes: &["Qwen2Model"],
    describe: describe_2,
    classifiers: classifiers::SCORE,
    text: None,
};

pub(super) const QWEN3: Family = Family {
    model_types: &["qwen3"],
    classes: &[],
    describe: describe_3,
    classifiers: classifiers::SCORE,
    text: None,
};

/// Length of a head's vectors where a file of Qwen 3 does not state it.
const HEAD_SIZE: usize = 128;

/// The keys that Llama has not.
#[derive(Deserialize)]
struct Own {
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default = "window")]
    sliding_window: Option<usize>,
    #[serde(default = "first_with_window")]
    max_window_layers: usize,
    #[serde(default)]
    attention_bias: bool,
    auto_map: Option<serde_json::Value>,
    is_causal: Option<bool>,
}

// A file that does not name the key has this window; one that says `null` has none.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional key")]
fn window() -> Option<usize> {
    Some(4096)
}

fn first_with_window() -> usize {
    28
}

fn describe_2(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: Config = json.required(CONFIG)?;
    let own: Own = json.required(CONFIG)?;
    if own.auto_map.is_some() && own.is_causal.is_none() {
        let supported = "true or false, where auto_map names code of its own";
        return Err(refuse(json, "is_causal", "null", supported));
    }
    let biases = Biases {
        projections: true,
        ..Biases::default()
    };
    own.describe(json, &config, biases)
}

fn describe_3(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let mut config: Config = json.required(CONFIG)?;
    config.head_dim.get_or_insert(HEAD_SIZE);
    let own: Own = json.required(CONFIG)?;
    let biases = Biases {
        projections: own.attention_bias,
        output: own.attention_bias,
        feed_forward: false,
    };
    let mut architecture = own.describe(json, &config, biases)?;
    for (index, layer) in architecture.layers.iter_mut().enumerate() {
        let size = layer.attention.head_size;
        let norm = |name: &str| config.norm(&format!("layers.{index}.self_attn.{name}"), size);
        layer.attention.head_norms = Some(HeadNorms {
            query: norm("q_norm"),
            key: norm("k_norm"),
        });
    }
    Ok(architecture)
}

impl Own {
    fn describe(
        &self,
        json: &JsonFiles<'_>,
        config: &Config,
        biases: Biases,
    ) -> Result<Architecture, LoadError> {
        let window = self.sliding_window.filter(|_| self.use_sliding_window);
        at_least_one(json, &[("sliding_window", window.unwrap_or(1))])?;
        let by_place = |index| {
            if window.is_some() && index >= self.max_window_layers {
                LayerType::Sliding
            } else {
                LayerType::Full
            }
        };
        let types = layer_types(json, config.num_hidden_layers, by_place)?;
        let is_sliding = |layer: &LayerType| *layer == LayerType::Sliding;
        if window.is_none() && types.iter().any(is_sliding) {
            let supported = "a number, where layer_types has sliding_attention";
            return Err(refuse(json, "sliding_window", "null", supported));
        }
        config.describe(json, biases, |index| {
            window.filter(|_| is_sliding(&types[index]))
        })
    }
}

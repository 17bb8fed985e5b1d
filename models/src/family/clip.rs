//! CLIP and SigLIP, the part for texts: layers with norms before their parts, learned positions. A
//! text's vector is that of one token, and what a product makes of it. A folder that has the part
//! for images, too, says the sizes of this one in `text_config`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::towers::TowerLayer;
use super::{CONFIG, Family, OwnText, activation, at_least_one, head_size, layer_count};
use crate::architecture::{
    Architecture, Counting, Embedding, Head, HeadActivation, HeadModule, Layer, Linear, Mask, Norm,
    Pooling, Scope, TensorRef, TextRows, TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const CLIP: Family = Family {
    model_types: &["clip", CLIP_TEXT],
    classes: &[],
    describe: |json| describe(json, &clip(json)?, Mask::Causal),
    classifiers: None,
    text: Some(clip_text),
};

pub(super) const SIGLIP: Family = Family {
    model_types: &["siglip", SIGLIP_TEXT],
    classes: &[],
    describe: |json| describe(json, &siglip(json)?, Mask::All),
    classifiers: None,
    text: Some(siglip_text),
};

const CLIP_TEXT: &str = "clip_text_model";
const SIGLIP_TEXT: &str = "siglip_text_model";

/// The token that ends a text in files that were written before the key was right: there it is the
/// one with the greatest id of the row.
const FORMER_END: u32 = 2;

/// The keys of a tower's layers, which that of images has, too.
#[derive(Deserialize)]
pub(super) struct Tower {
    pub(super) hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    hidden_act: String,
    pub(super) layer_norm_eps: f32,
}

/// The keys of the part for texts.
#[derive(Deserialize)]
struct Text {
    vocab_size: usize,
    max_position_embeddings: usize,
    /// Of CLIP: size of the vectors that texts and images have in common.
    projection_dim: Option<usize>,
    /// The same of SigLIP; the hidden size if it is not said.
    projection_size: Option<usize>,
    eos_token_id: Option<u32>,
    pad_token_id: Option<u32>,
    #[serde(flatten)]
    tower: Tower,
}

/// Returns the keys of CLIP's part for texts.
fn clip(json: &JsonFiles<'_>) -> Result<Text, LoadError> {
    let usual = json!({
        "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048,
        "num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77,
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 512,
        "eos_token_id": 49407, "pad_token_id": 1,
    });
    let mut text: Text = part(json, "text_config", CLIP_TEXT, usual)?;
    #[derive(Deserialize)]
    struct Joint {
        model_type: String,
        projection_dim: Option<usize>,
    }
    let joint: Joint = json.required(CONFIG)?;
    if joint.model_type != CLIP_TEXT {
        // The one beside both parts counts.
        text.projection_dim = joint.projection_dim.or(Some(512));
    }
    Ok(text)
}

/// Returns the keys of SigLIP's part for texts.
fn siglip(json: &JsonFiles<'_>) -> Result<Text, LoadError> {
    let usual = json!({
        "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 64,
        "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "pad_token_id": 1,
    });
    part(json, "text_config", SIGLIP_TEXT, usual)
}

/// Returns the keys of a part of the model, those that the file leaves out as `usual` has them:
/// the file's own, if `model_type` is that of the part alone, else those in `key`. Files that began
/// as older ones have them in `key` with `_dict`, which counts then.
///
/// # Errors
/// Keys that do not parse.
pub(super) fn part<T: DeserializeOwned>(
    json: &JsonFiles<'_>,
    key: &str,
    alone: &str,
    usual: Value,
) -> Result<T, LoadError> {
    let mut file: Map<String, Value> = json.required(CONFIG)?;
    let is_alone = file.get("model_type").and_then(Value::as_str) == Some(alone);
    let (keys, place) = if is_alone {
        (Value::Object(file), String::new())
    } else {
        let former = file.remove(&format!("{key}_dict"));
        let former = former.filter(Value::is_object);
        let keys = former.or_else(|| file.remove(key));
        (keys.unwrap_or_default(), format!("{key}: "))
    };
    let mut all = usual.as_object().cloned().unwrap_or_default();
    match keys {
        Value::Object(keys) => all.extend(keys.into_iter().filter(|(_, value)| !value.is_null())),
        Value::Null => {}
        _ => return Err(json.unsupported(CONFIG, format!("{key} is not a map"))),
    }
    serde_json::from_value(Value::Object(all))
        .map_err(|cause| json.unsupported(CONFIG, format!("{place}{cause}")))
}

fn describe(json: &JsonFiles<'_>, text: &Text, mask: Mask) -> Result<Architecture, LoadError> {
    let (hidden, positions) = (text.tower.hidden_size, text.max_position_embeddings);
    at_least_one(
        json,
        &[
            ("vocab_size", text.vocab_size),
            ("max_position_embeddings", positions),
        ],
    )?;
    let table = |name: &str, rows: usize| {
        TensorRef::new(
            format!("embeddings.{name}_embedding.weight"),
            &[rows, hidden],
        )
    };
    Ok(Architecture {
        prefixes: &["text_model."],
        hidden,
        max_tokens: positions,
        embedding: Embedding::Tokens(TokenEmbedding {
            positions: Some(table("position", positions)),
            counting: Counting::All,
            ..TokenEmbedding::of_words(table("token", text.vocab_size))
        }),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: text.tower.layers(json, mask)?,
        final_norm: Some(Norm::layer(
            "final_layer_norm",
            hidden,
            text.tower.layer_norm_eps,
        )),
    })
}

impl Tower {
    /// Checks the sizes, and returns the layers.
    ///
    /// # Errors
    /// A value that is not supported, or sizes that do not go together.
    pub(super) fn layers(&self, json: &JsonFiles<'_>, mask: Mask) -> Result<Vec<Layer>, LoadError> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let heads = self.num_attention_heads;
        at_least_one(
            json,
            &[
                ("hidden_size", hidden),
                ("intermediate_size", inner),
                ("num_attention_heads", heads),
            ],
        )?;
        layer_count(json, "num_hidden_layers", self.num_hidden_layers)?;
        let head = head_size(
            json,
            ("hidden_size", hidden),
            ("num_attention_heads", heads),
        )?;
        let activation = activation(json, "hidden_act", &self.hidden_act)?;
        let layer = TowerLayer {
            hidden,
            inner,
            heads,
            head_size: head,
            eps: self.layer_norm_eps,
            activation,
            mask,
        };
        Ok((0..self.num_hidden_layers)
            .map(|index| layer.at(index))
            .collect())
    }
}

/// Texts of CLIP: the vector of the token that ends a text, then `text_projection`; a model of
/// texts alone may be without it.
fn clip_text(json: &JsonFiles<'_>, architecture: &Architecture) -> Result<OwnText, LoadError> {
    const PROJECTION: &str = "text_projection";
    let text = clip(json)?;
    let head = Head::pooled(match text.eos_token_id {
        Some(end) if end != FORMER_END => Pooling::FirstOf(end),
        _ => Pooling::GreatestId,
    });
    let model_type: Map<String, Value> = json.required(CONFIG)?;
    let is_alone = model_type.get("model_type").and_then(Value::as_str) == Some(CLIP_TEXT);
    let weight = format!("{PROJECTION}.weight");
    let has_projection = !is_alone || json.shapes()?.keys().any(|name| name.ends_with(&weight));
    let size = text.projection_dim.unwrap_or(architecture.hidden);
    at_least_one(json, &[("projection_dim", size)])?;
    let linear = Linear::new(PROJECTION, architecture.hidden, size).without_bias();
    Ok(OwnText {
        head: if has_projection {
            head.then(dense(linear.in_scope(Scope::Model)))
        } else {
            head
        },
        rows: TextRows::Usual,
    })
}

/// Texts of SigLIP: rows are filled up with padding, which is attended to, and the vector is that
/// of the last place, then `head`.
fn siglip_text(json: &JsonFiles<'_>, architecture: &Architecture) -> Result<OwnText, LoadError> {
    let text = siglip(json)?;
    let size = text.projection_size.unwrap_or(architecture.hidden);
    at_least_one(json, &[("projection_size", size)])?;
    let linear = Linear::new("head", architecture.hidden, size);
    Ok(OwnText {
        head: Head::pooled(Pooling::LastToken).then(dense(linear)),
        rows: TextRows::Padded {
            otherwise: text.pad_token_id.unwrap_or(1),
        },
    })
}

fn dense(linear: Linear) -> HeadModule {
    HeadModule::Dense {
        linear,
        activation: HeadActivation::Identity,
    }
}

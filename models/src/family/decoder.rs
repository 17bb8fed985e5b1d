//! Models that were made to write texts, as embedders: RMS norms before each part, rotary
//! positions, gated feed-forward. Llama's keys and names, which the others share.

use serde::Deserialize;

use super::{CONFIG, activation, at_least_one, head_size, layer_count, refuse, rope};
use crate::architecture::{
    Activation, Architecture, Attention, Embedding, FeedForward, Layer, Linear, Mask, Norm, Norms,
    Rotary, TensorRef, TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// The keys of config.json that these families share.
#[derive(Deserialize)]
pub(super) struct Config {
    vocab_size: usize,
    pub(super) hidden_size: usize,
    intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    #[serde(default = "silu")]
    pub(super) hidden_act: String,
    max_position_embeddings: usize,
    #[serde(default = "small")]
    pub(super) rms_norm_eps: f32,
    /// `false` in models whose tokens read the whole row.
    pub(super) is_causal: Option<bool>,
    /// The same, the other way round.
    use_bidirectional_attention: Option<bool>,
}

fn silu() -> String {
    "silu".to_owned()
}

fn small() -> f32 {
    1e-6
}

/// Which products of a family have a bias.
#[derive(Clone, Copy, Default)]
pub(super) struct Biases {
    /// Those of queries, keys and values.
    pub(super) projections: bool,
    /// The one from attention to the residual.
    pub(super) output: bool,
    /// Those of feed-forward.
    pub(super) feed_forward: bool,
}

/// The sizes of a model, checked.
pub(super) struct Sizes {
    hidden: usize,
    inner: usize,
    heads: usize,
    kv_heads: usize,
    pub(super) head: usize,
}

/// A layer type, by the names of config.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerType {
    Full,
    Sliding,
}

impl Config {
    /// Checks the sizes. `heads` of keys and values that the file does not state are as many as
    /// those of queries.
    pub(super) fn sizes(&self, json: &JsonFiles<'_>) -> Result<Sizes, LoadError> {
        let heads = self.num_attention_heads;
        let kv_heads = self.num_key_value_heads.unwrap_or(heads);
        at_least_one(
            json,
            &[
                ("vocab_size", self.vocab_size),
                ("hidden_size", self.hidden_size),
                ("intermediate_size", self.intermediate_size),
                ("num_attention_heads", heads),
                ("num_key_value_heads", kv_heads),
                ("max_position_embeddings", self.max_position_embeddings),
            ],
        )?;
        layer_count(json, "num_hidden_layers", self.num_hidden_layers)?;
        let head = match self.head_dim {
            Some(size) => size,
            None => head_size(
                json,
                ("hidden_size", self.hidden_size),
                ("num_attention_heads", heads),
            )?,
        };
        at_least_one(json, &[("head_dim", head)])?;
        if !heads.is_multiple_of(kv_heads) {
            let reason = format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"
            );
            return Err(json.unsupported(CONFIG, reason));
        }
        Ok(Sizes {
            hidden: self.hidden_size,
            inner: self.intermediate_size,
            heads,
            kv_heads,
            head,
        })
    }

    /// Returns whether a token sees only those before it.
    pub(super) fn is_causal(&self) -> bool {
        self.is_causal.unwrap_or(true) && !self.use_bidirectional_attention.unwrap_or(false)
    }

    /// Returns the mask of a layer, with a window if its type has one. A window of `n` is the token
    /// itself and `n - 1` before it; where a token sees those after it, too, `n` on both sides.
    pub(super) fn mask(&self, window: Option<usize>) -> Mask {
        match (window, self.is_causal()) {
            (None, true) => Mask::Causal,
            (None, false) => Mask::All,
            (Some(window), true) => Mask::Window {
                before: window - 1,
                after: 0,
            },
            (Some(window), false) => Mask::Window {
                before: window,
                after: window,
            },
        }
    }

    /// Returns the layer with this rotation and mask, and Llama's names.
    pub(super) fn layer(
        &self,
        json: &JsonFiles<'_>,
        sizes: &Sizes,
        index: usize,
        biases: Biases,
        (rotary, mask): (Rotary, Mask),
    ) -> Result<Layer, LoadError> {
        let &Sizes {
            hidden,
            inner,
            heads,
            kv_heads,
            head,
        } = sizes;
        let linear = |name: &str, inputs: usize, outputs: usize, bias: bool| {
            let linear = Linear::new(&format!("layers.{index}.{name}_proj"), inputs, outputs);
            if bias { linear } else { linear.without_bias() }
        };
        let projection = |name: &str, heads: usize| {
            linear(
                &format!("self_attn.{name}"),
                hidden,
                heads * head,
                biases.projections,
            )
        };
        let norm = |name: &str| self.norm(&format!("layers.{index}.{name}"), hidden);
        let products = [
            projection("q", heads),
            projection("k", kv_heads),
            projection("v", kv_heads),
            linear("self_attn.o", heads * head, hidden, biases.output),
        ];
        let activation: Activation = activation(json, "hidden_act", &self.hidden_act)?;
        Ok(Layer {
            attention: Attention {
                kv_heads,
                rotary: Some(rotary),
                mask,
                ..Attention::new(heads, head, products)
            },
            feed_forward: FeedForward::Gated {
                gate: linear("mlp.gate", hidden, inner, biases.feed_forward),
                up: linear("mlp.up", hidden, inner, biases.feed_forward),
                activation,
                down: linear("mlp.down", inner, hidden, biases.feed_forward),
            },
            norms: Norms::Pre {
                attention: Some(norm("input_layernorm")),
                feed_forward: norm("post_attention_layernorm"),
            },
        })
    }

    /// Returns the norm of this name.
    pub(super) fn norm(&self, name: &str, size: usize) -> Norm {
        Norm::rms(name, size, self.rms_norm_eps)
    }

    /// Returns the model of these layers.
    pub(super) fn encoder(&self, layers: Vec<Layer>) -> Architecture {
        let words = TensorRef::new("embed_tokens.weight", &[self.vocab_size, self.hidden_size]);
        Architecture {
            prefixes: &["model."],
            hidden: self.hidden_size,
            max_tokens: self.max_position_embeddings,
            embedding: Embedding::Tokens(TokenEmbedding::of_words(words)),
            position_bias: None,
            relative: None,
            convolution: None,
            layers,
            final_norm: Some(self.norm("norm", self.hidden_size)),
        }
    }

    /// Returns the model whose layers all have this rotation, and a window where `window` says so.
    pub(super) fn describe(
        &self,
        json: &JsonFiles<'_>,
        biases: Biases,
        window: impl Fn(usize) -> Option<usize>,
    ) -> Result<Architecture, LoadError> {
        let sizes = self.sizes(json)?;
        let rotary = rope::of_all_layers(json, sizes.head, 10_000.0)?;
        let layers = (0..self.num_hidden_layers).map(|index| {
            let place = (rotary.clone(), self.mask(window(index)));
            self.layer(json, &sizes, index, biases, place)
        });
        Ok(self.encoder(layers.collect::<Result<_, _>>()?))
    }
}

/// The types of layers that a file lists, checked against the number of layers; `otherwise` says
/// those of a file without a list.
pub(super) fn layer_types(
    json: &JsonFiles<'_>,
    layers: usize,
    otherwise: impl Fn(usize) -> LayerType,
) -> Result<Vec<LayerType>, LoadError> {
    #[derive(Deserialize)]
    struct Types {
        layer_types: Option<Vec<String>>,
    }
    let Types { layer_types } = json.required(CONFIG)?;
    let Some(names) = layer_types else {
        return Ok((0..layers).map(otherwise).collect());
    };
    if names.len() != layers {
        let found = names.len();
        let reason = format!("layer_types has {found} entries, but there are {layers} layers");
        return Err(json.unsupported(CONFIG, reason));
    }
    let of_name = |name: &String| match name.as_str() {
        "full_attention" => Ok(LayerType::Full),
        "sliding_attention" => Ok(LayerType::Sliding),
        other => {
            let supported = "full_attention, sliding_attention";
            Err(refuse(json, "layer_types", other, supported))
        }
    };
    names.iter().map(of_name).collect()
}

//! ViT: a token for the whole image, norms before each part, one after the last layer.

use serde::Deserialize;

use super::ImageFamily;
use super::config::{Defaults, Keys, Sizes};
use crate::architecture::{
    Architecture, Attention, FeedForward, Head, Layer, Linear, Norm, Norms, PatchEmbedding,
    Pooling, TensorRef,
};
use crate::error::LoadError;
use crate::family::{CONFIG, classifiers};
use crate::source::JsonFiles;

pub(super) const FAMILY: ImageFamily = ImageFamily {
    model_types: &["vit"],
    describe,
    // Not the pooler, which most files have and few were trained with.
    head: |_, _, _| Ok(Head::pooled(Pooling::Cls)),
    classifier: |architecture, labels| {
        let logits = classifiers::logits("classifier", architecture, labels);
        Head::pooled(Pooling::Cls).then(logits)
    },
};

const DEFAULTS: Defaults = Defaults {
    patch: 16,
    eps: 1e-12,
    activation: "gelu",
};

/// The keys that other families have not.
#[derive(Deserialize)]
struct Own {
    #[serde(default = "yes")]
    qkv_bias: bool,
}

fn yes() -> bool {
    true
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let keys: Keys = json.required(CONFIG)?;
    let sizes = keys.sizes(json, &DEFAULTS)?;
    let Own { qkv_bias } = json.required(CONFIG)?;
    let hidden = sizes.hidden;
    let embedding = PatchEmbedding {
        image_size: sizes.image,
        patch_size: sizes.patch,
        product: sizes.patches("embeddings.patch_embeddings.projection"),
        class: Some(TensorRef::new("embeddings.cls_token", &[1, 1, hidden])),
        positions: TensorRef::new(
            "embeddings.position_embeddings",
            &[1, 1 + sizes.grid(), hidden],
        ),
        norm: None,
    };
    Ok(Architecture {
        prefixes: &["vit."],
        hidden,
        max_tokens: embedding.tokens(),
        embedding: embedding.into(),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: (0..sizes.layers)
            .map(|index| layer(&sizes, index, qkv_bias))
            .collect(),
        final_norm: Some(Norm::layer("layernorm", hidden, sizes.eps)),
    })
}

fn layer(sizes: &Sizes, index: usize, qkv_bias: bool) -> Layer {
    let name = |name: &str| format!("encoder.layer.{index}.{name}");
    let norm = |of: &str| Norm::layer(&name(of), sizes.hidden, sizes.eps);
    let linear = |of: &str, inputs, outputs| Linear::new(&name(of), inputs, outputs);
    let (hidden, inner) = (sizes.hidden, sizes.inner);
    let [query, key, value] = ["query", "key", "value"].map(|of| {
        let product = linear(&format!("attention.attention.{of}"), hidden, hidden);
        match qkv_bias {
            true => product,
            false => product.without_bias(),
        }
    });
    let output = linear("attention.output.dense", hidden, hidden);
    Layer {
        attention: Attention::new(sizes.heads, sizes.head_size, [query, key, value, output]),
        feed_forward: FeedForward::Plain {
            up: linear("intermediate.dense", hidden, inner),
            activation: sizes.activation,
            down: linear("output.dense", inner, hidden),
        },
        norms: Norms::Pre {
            attention: Some(norm("layernorm_before")),
            feed_forward: norm("layernorm_after"),
        },
    }
}

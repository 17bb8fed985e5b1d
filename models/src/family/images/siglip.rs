//! SigLIP: patches alone; the vector of an image is made by attention of a query that was learnt.

use serde::Deserialize;

use super::config::{Defaults, Sizes};
use super::{ImageFamily, IsStored, towers};
use crate::architecture::{
    Architecture, AttentionPooling, Head, HeadModule, Linear, Norm, NormedFeedForward, Pooling,
    TensorRef,
};
use crate::error::LoadError;
use crate::family::{CONFIG, classifiers, refuse};
use crate::source::JsonFiles;

pub(super) const FAMILY: ImageFamily = ImageFamily {
    model_types: &["siglip", "siglip_vision_model"],
    describe,
    head,
    classifier: |architecture, labels| {
        let logits = classifiers::logits("classifier", architecture, labels);
        Head::pooled(Pooling::Mean).then(logits)
    },
};

const DEFAULTS: Defaults = Defaults {
    patch: 16,
    eps: 1e-6,
    activation: "gelu_pytorch_tanh",
};

fn sizes(json: &JsonFiles<'_>) -> Result<Sizes, LoadError> {
    towers::keys(json)?.sizes(json, &DEFAULTS)
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let sizes = sizes(json)?;
    Ok(Architecture {
        final_norm: Some(Norm::layer("post_layernorm", sizes.hidden, sizes.eps)),
        ..towers::encoder(&sizes, None)
    })
}

fn head(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    _: &IsStored<'_>,
) -> Result<Head, LoadError> {
    #[derive(Default, Deserialize)]
    struct Own {
        vision_use_head: Option<bool>,
    }
    #[derive(Deserialize)]
    struct Config {
        vision_config: Option<Own>,
        #[serde(flatten)]
        own: Own,
    }
    let Config { vision_config, own } = json.required(CONFIG)?;
    if vision_config.unwrap_or(own).vision_use_head == Some(false) {
        return Err(refuse(json, "vision_use_head", "false", "true"));
    }
    let (sizes, hidden) = (sizes(json)?, architecture.hidden);
    let joined = Linear {
        weight: TensorRef::new("head.attention.in_proj_weight", &[3 * hidden, hidden]),
        bias: Some(TensorRef::new("head.attention.in_proj_bias", &[3 * hidden])),
    };
    let [query, key, value] = joined.split([hidden; 3]);
    let attend = AttentionPooling {
        probe: TensorRef::new("head.probe", &[1, 1, hidden]),
        heads: sizes.heads,
        query,
        key,
        value,
        output: Linear::new("head.attention.out_proj", hidden, hidden),
    };
    let feed_forward = NormedFeedForward {
        norm: Norm::layer("head.layernorm", hidden, sizes.eps),
        up: Linear::new("head.mlp.fc1", hidden, sizes.inner),
        activation: sizes.activation,
        down: Linear::new("head.mlp.fc2", sizes.inner, hidden),
    };
    let head = Head::tokens().then(HeadModule::Attend(Box::new(attend)));
    let feed_forward = HeadModule::FeedForward(Box::new(feed_forward));
    Ok(head.then(feed_forward))
}

//! CLIP: a token for the whole image, whose vector is normed and projected into the space of the
//! texts.

use serde::Deserialize;

use super::config::{Defaults, Sizes};
use super::{ImageFamily, IsStored, towers};
use crate::architecture::{
    Architecture, Embedding, Head, HeadActivation, HeadModule, Linear, Norm, Pooling, Readout,
    Scope, TensorRef,
};
use crate::error::LoadError;
use crate::family::{CONFIG, classifiers};
use crate::source::JsonFiles;

pub(super) const FAMILY: ImageFamily = ImageFamily {
    model_types: &["clip", "clip_vision_model"],
    describe,
    head,
    // Of the patches alone, as transformers does.
    classifier: |architecture, labels| {
        let mut head = Head::tokens();
        head.readout = Readout::AfterFirst;
        let logits = classifiers::logits("classifier", architecture, labels);
        head.then(HeadModule::TokenMean).then(logits)
    },
};

const DEFAULTS: Defaults = Defaults {
    patch: 32,
    eps: 1e-5,
    activation: "quick_gelu",
};

fn sizes(json: &JsonFiles<'_>) -> Result<Sizes, LoadError> {
    towers::keys(json)?.sizes(json, &DEFAULTS)
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let sizes = sizes(json)?;
    let class = TensorRef::new("embeddings.class_embedding", &[sizes.hidden]);
    let mut architecture = towers::encoder(&sizes, Some(class));
    if let Embedding::Patches(embedding) = &mut architecture.embedding {
        embedding.product.bias = None;
        // The published weights have this spelling.
        embedding.norm = Some(Norm::layer("pre_layrnorm", sizes.hidden, sizes.eps));
    }
    Ok(architecture)
}

/// The norm and, where the weights have it, as those of whole models do, the projection.
fn head(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    is_stored: &IsStored<'_>,
) -> Result<Head, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        model_type: String,
        projection_dim: Option<usize>,
    }
    let config: Config = json.required(CONFIG)?;
    let hidden = architecture.hidden;
    let norm = Norm::layer("post_layernorm", hidden, sizes(json)?.eps);
    let head = Head::pooled(Pooling::Cls).then(HeadModule::Norm(norm));
    let size = config.projection_dim.unwrap_or(512);
    let linear = Linear::new("visual_projection", hidden, size).without_bias();
    let linear = linear.in_scope(Scope::Model);
    let is_projected = config.model_type == "clip" || is_stored(&linear.weight);
    let activation = HeadActivation::Identity;
    Ok(match is_projected {
        true => head.then(HeadModule::Dense { linear, activation }),
        false => head,
    })
}

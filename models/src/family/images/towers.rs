//! The encoder of images of CLIP and SigLIP.

use serde::Deserialize;

use super::config::{Keys, Sizes};
use crate::architecture::{Architecture, Mask, PatchEmbedding, TensorRef};
use crate::error::LoadError;
use crate::family::CONFIG;
use crate::family::towers::TowerLayer;
use crate::source::JsonFiles;

/// Returns what config.json says of the encoder of images: all of it, or `vision_config` of a model
/// with both towers.
pub(super) fn keys(json: &JsonFiles<'_>) -> Result<Keys, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        vision_config: Option<Keys>,
        /// Former name of the key, which counts where there are both.
        vision_config_dict: Option<Keys>,
    }
    let Config {
        vision_config,
        vision_config_dict,
    } = json.required(CONFIG)?;
    match vision_config_dict.or(vision_config) {
        Some(keys) => Ok(keys),
        None => json.required(CONFIG),
    }
}

/// Returns an encoder of images with these names, with a class token if `class` names its
/// vector.
pub(super) fn encoder(sizes: &Sizes, class: Option<TensorRef>) -> Architecture {
    let hidden = sizes.hidden;
    let tokens = sizes.grid() + usize::from(class.is_some());
    let positions = "embeddings.position_embedding.weight";
    let embedding = PatchEmbedding {
        image_size: sizes.image,
        patch_size: sizes.patch,
        product: sizes.patches("embeddings.patch_embedding"),
        positions: TensorRef::new(positions, &[tokens, hidden]),
        class,
        norm: None,
    };
    let layer = TowerLayer {
        hidden,
        inner: sizes.inner,
        heads: sizes.heads,
        head_size: sizes.head_size,
        eps: sizes.eps,
        activation: sizes.activation,
        mask: Mask::All,
    };
    Architecture {
        prefixes: &["vision_model."],
        hidden,
        max_tokens: tokens,
        embedding: embedding.into(),
        position_bias: None,
        relative: None,
        convolution: None,
        layers: (0..sizes.layers).map(|index| layer.at(index)).collect(),
        final_norm: None,
    }
}

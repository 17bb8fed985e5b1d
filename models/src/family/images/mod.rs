//! Families of models of images: vision transformers, alone or as the towers of models of images
//! and texts.
//!
//! They are described as families of texts are, with another embedding. A folder may have both
//! towers: which of them is read depends on what its rows are.
//!
//! * `config`: sizes, as config.json has them.
//! * `towers`: the encoder of CLIP and SigLIP.
//! * `vit`, `clip`, `siglip`: the families.

mod clip;
mod config;
mod siglip;
mod towers;
mod vit;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CONFIG, refuse};
use crate::architecture::{Architecture, Head, TensorRef};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// Tells whether a tensor is among the weights.
type IsStored<'a> = dyn Fn(&TensorRef) -> bool + 'a;

/// A family of models of images.
struct ImageFamily {
    /// Values of `model_type` in config.json.
    model_types: &'static [&'static str],
    /// Reads the configuration and describes the encoder.
    describe: fn(&JsonFiles<'_>) -> Result<Architecture, LoadError>,
    /// Describes the head that gives an image its vector.
    head: fn(&JsonFiles<'_>, &Architecture, &IsStored<'_>) -> Result<Head, LoadError>,
    /// Describes the head of classification with a number of labels.
    classifier: fn(&Architecture, usize) -> Head,
}

/// Every family.
const FAMILIES: &[ImageFamily] = &[vit::FAMILY, clip::FAMILY, siglip::FAMILY];

/// Returns the description of a model's encoder of images by its config.json.
///
/// # Errors
/// A file that is missing or does not parse, a family that is not known, or a value that the family
/// does not support; these list what is supported.
pub(crate) fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    (find(json)?.describe)(json)
}

/// Returns the description of the head that gives an image its vector.
///
/// # Errors
/// As [`describe`].
pub(crate) fn head(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    is_stored: &IsStored<'_>,
) -> Result<Head, LoadError> {
    (find(json)?.head)(json, architecture, is_stored)
}

/// Returns the description of the head of classification with this number of labels.
///
/// # Errors
/// As [`describe`].
pub(crate) fn classifier(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    labels: usize,
) -> Result<Head, LoadError> {
    Ok((find(json)?.classifier)(architecture, labels))
}

/// Returns whether a value of `model_type` is that of a family of models of images.
pub(super) fn has(model_type: &str) -> bool {
    FAMILIES
        .iter()
        .any(|family| family.model_types.contains(&model_type))
}

fn find(json: &JsonFiles<'_>) -> Result<&'static ImageFamily, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        model_type: String,
        auto_map: Option<Map<String, Value>>,
    }
    let Config {
        model_type,
        auto_map,
    } = json.required(CONFIG)?;
    // Code of the repository's own may compute anything, whatever the model's type is.
    if let Some(class) = auto_map.as_ref().and_then(super::model_class) {
        return Err(refuse(json, "auto_map", class, "none (code is not run)"));
    }
    let is_of = |family: &&ImageFamily| family.model_types.contains(&&*model_type);
    FAMILIES.iter().find(is_of).ok_or_else(|| {
        if super::is_of_texts(&model_type) {
            let reason = format!(
                "model_type `{model_type}` is that of a model of texts, which `classify_images` \
                 and `embed_images` do not take"
            );
            return json.unsupported(CONFIG, reason);
        }
        let known = FAMILIES.iter().flat_map(|family| family.model_types);
        let known: Vec<&str> = known.copied().collect();
        let supported = format!("{} (of images)", known.join(", "));
        refuse(json, "model_type", &model_type, &supported)
    })
}

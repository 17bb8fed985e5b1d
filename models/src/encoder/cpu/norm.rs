//! Layer norms of a model, from its weights.

use motet_kernels::LayerNorm;

use crate::config::BertConfig;
use crate::encoder::weights::Weights;
use crate::error::LoadError;

/// Returns the layer norm `NAME`, of the model's vectors.
pub(super) fn load(
    weights: &Weights<'_>,
    config: &BertConfig,
    name: &str,
) -> Result<LayerNorm, LoadError> {
    let shape = [config.hidden_size];
    Ok(LayerNorm::new(
        weights.values(&format!("{name}.weight"), &shape)?,
        weights.values(&format!("{name}.bias"), &shape)?,
        config.layer_norm_eps,
    ))
}

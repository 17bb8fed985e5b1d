//! MPNet: BERT without token types, with positions counted as RoBERTa counts them and, in all
//! layers, a bias of attention by the distance of the tokens.

use serde::Deserialize;

use super::{CONFIG, Family, bert, classifiers, refuse, skip_padding};
use crate::architecture::{Architecture, Layer, Linear, Norm, Norms, PositionBias, TensorRef};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    model_types: &["mpnet"],
    classes: &[],
    describe,
    classifiers: classifiers::DENSE_TANH,
    text: None,
};

/// Number of buckets of distances, the only one that models are computed with.
const BUCKETS: usize = 32;
/// Distance from which on all tokens are in the last bucket; no key says otherwise.
const MAX_DISTANCE: usize = 128;

/// The keys that BERT has not.
#[derive(Deserialize)]
struct Config {
    num_attention_heads: usize,
    #[serde(default = "buckets")]
    relative_attention_num_buckets: usize,
}

fn buckets() -> usize {
    BUCKETS
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let config: bert::Config = json.required(CONFIG)?;
    let own: Config = json.required(CONFIG)?;
    if own.relative_attention_num_buckets != BUCKETS {
        let found = own.relative_attention_num_buckets.to_string();
        let key = "relative_attention_num_buckets";
        return Err(refuse(json, key, &found, &BUCKETS.to_string()));
    }
    let layers = config.layers(json)?.into_iter().enumerate();
    let layers = layers.map(|(index, layer)| with_own_names(index, layer));
    let mut embedding = config.embedding(config.hidden_size);
    embedding.types = None;
    skip_padding(json, &mut embedding)?;
    let name = "encoder.relative_attention_bias.weight";
    Ok(Architecture {
        position_bias: Some(PositionBias::Buckets {
            table: TensorRef::new(name, &[BUCKETS, own.num_attention_heads]),
            max_distance: MAX_DISTANCE,
        }),
        ..config.encoder(&["mpnet."], embedding, layers.collect())
    })
}

/// Returns a layer of BERT with the names of attention that MPNet has.
fn with_own_names(index: usize, mut layer: Layer) -> Layer {
    let prefix = format!("encoder.layer.{index}.attention");
    let attention = &mut layer.attention;
    for (name, linear) in [
        ("q", &mut attention.query),
        ("k", &mut attention.key),
        ("v", &mut attention.value),
        ("o", &mut attention.output),
    ] {
        let name = format!("{prefix}.attn.{name}");
        *linear = Linear::new(&name, linear.inputs(), linear.outputs());
    }
    if let Norms::Post {
        attention: norm, ..
    } = &mut layer.norms
    {
        *norm = Norm::layer(&format!("{prefix}.LayerNorm"), norm.scale.len(), norm.eps);
    }
    layer
}

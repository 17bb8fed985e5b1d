//! Jina BERT, the models of jina-embeddings-v2 and jina-reranker-v1: BERT with ALiBi in the place
//! of learned positions, and a gated feed-forward part. The one for code has further norms, of
//! queries and keys among them, and other names.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CONFIG, Family, bert, classifiers, refuse};
use crate::architecture::{
    Activation, Architecture, Counting, FeedForward, HeadNorms, Layer, Linear, Norm, Norms,
    PositionBias,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

pub(super) const FAMILY: Family = Family {
    // `bert` is what files say.
    model_types: &[],
    classes: &[
        "JinaBertModel",
        "JinaBertForMaskedLM",
        "JinaBertForSequenceClassification",
        "JinaBertForTokenClassification",
    ],
    describe,
    classifiers: classifiers::POOLER,
    text: None,
};

/// The repository with the code of models that have the further norms.
const WITH_MORE_NORMS: &str = "jina-bert-v2-qk-post-norm";

/// The keys that BERT has not, with the defaults of the family's own code.
#[derive(Deserialize)]
struct Own {
    #[serde(default = "original")]
    feed_forward_type: String,
    #[serde(rename = "_name_or_path")]
    name: Option<String>,
    auto_map: Option<Map<String, Value>>,
}

fn original() -> String {
    "original".to_owned()
}

fn describe(json: &JsonFiles<'_>) -> Result<Architecture, LoadError> {
    let mut config: bert::Config = json.required(CONFIG)?;
    let own: Own = json.required(CONFIG)?;
    // Checked here, by another value than BERT's.
    match config.position_embedding_type.take().as_deref() {
        Some("alibi") => {}
        other => {
            let found = other.unwrap_or("absolute");
            return Err(refuse(json, "position_embedding_type", found, "alibi"));
        }
    }
    let activation = match own.feed_forward_type.as_str() {
        "geglu" => Activation::Gelu,
        "reglu" => Activation::Relu,
        other => return Err(refuse(json, "feed_forward_type", other, "geglu, reglu")),
    };
    let has_more_norms = own.has_more_norms();
    let layers = config.layers(json)?.into_iter().enumerate();
    let layers = layers
        .map(|(index, layer)| own_layer(&config, index, layer, activation, has_more_norms))
        .collect::<Vec<_>>();
    let heads = layers.first().map_or(0, |layer| layer.attention.heads);
    let mut embedding = config.embedding(config.hidden_size);
    embedding.positions = None;
    embedding.counting = Counting::None;
    Ok(Architecture {
        max_tokens: config.max_position_embeddings,
        position_bias: Some(PositionBias::alibi(heads)),
        ..config.encoder(&["bert."], embedding, layers)
    })
}

impl Own {
    fn has_more_norms(&self) -> bool {
        let paths = self.auto_map.iter().flat_map(Map::values);
        let mut paths = paths.filter_map(Value::as_str).chain(self.name.as_deref());
        paths.any(|path| path.contains(WITH_MORE_NORMS))
    }
}

/// Returns a layer of BERT with a gate in its feed-forward part, and the further norms if it has
/// these.
fn own_layer(
    config: &bert::Config,
    index: usize,
    mut layer: Layer,
    activation: Activation,
    has_more_norms: bool,
) -> Layer {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let name = |part: &str| format!("encoder.layer.{index}.{part}");
    let norm = |part: &str| Norm::layer(&name(part), hidden, config.layer_norm_eps);
    let halves = |part: &str| {
        let stored = Linear::new(&name(part), hidden, 2 * inner);
        stored.without_bias().split([inner; 2])
    };
    let down = |part: &str| Linear::new(&name(part), inner, hidden);
    let of_attention = norm("attention.output.LayerNorm");
    let (gate, up, down) = if has_more_norms {
        layer.attention.head_norms = Some(HeadNorms {
            query: norm("attention.self.layer_norm_q"),
            key: norm("attention.self.layer_norm_k"),
        });
        layer.norms = Norms::PostTwice {
            attention: Box::new([of_attention, norm("layer_norm_1")]),
            feed_forward: norm("layer_norm_2"),
        };
        let [up, gate] = halves("mlp.up_gated_layer");
        (gate, up, down("mlp.down_layer"))
    } else {
        layer.norms = Norms::Post {
            attention: of_attention,
            feed_forward: norm("mlp.layernorm"),
        };
        let [gate, up] = halves("mlp.gated_layers");
        (gate, up, down("mlp.wo"))
    };
    layer.feed_forward = FeedForward::Gated {
        gate,
        up,
        activation,
        down,
    };
    layer
}

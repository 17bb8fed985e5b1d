//! Heads that predict words, as the families name them: from a token's vector to a logit for each
//! word of the vocabulary.

use serde::Deserialize;

use super::{CONFIG, refuse};
use crate::architecture::{
    Architecture, Head, HeadActivation, HeadModule, Linear, Norm, Scope, TensorRef,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// The names of a family's tensors.
struct Names {
    model_types: &'static [&'static str],
    dense: &'static str,
    norm: &'static str,
    /// Product to the vocabulary; its weight may be left out, and is the table of words then.
    decoder: &'static str,
    bias: &'static str,
}

/// The families with such heads, which all are a product, an activation, a norm and a product with
/// the vectors of the words.
const NAMES: [Names; 4] = [
    Names {
        model_types: &["bert"],
        dense: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        decoder: "cls.predictions.decoder",
        bias: "cls.predictions.bias",
    },
    Names {
        model_types: &["roberta", "xlm-roberta", "camembert", "mpnet"],
        dense: "lm_head.dense",
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder",
        bias: "lm_head.bias",
    },
    Names {
        model_types: &["distilbert"],
        dense: "vocab_transform",
        norm: "vocab_layer_norm",
        decoder: "vocab_projector",
        bias: "vocab_projector.bias",
    },
    Names {
        model_types: &["electra"],
        dense: "generator_predictions.dense",
        norm: "generator_predictions.LayerNorm",
        decoder: "generator_lm_head",
        bias: "generator_lm_head.bias",
    },
];

#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_act: Option<String>,
    /// Name of the key in DistilBERT.
    activation: Option<String>,
    layer_norm_eps: Option<f32>,
}

/// Returns the head that gives each token a logit for each word. `is_stored` tells whether the
/// weights have a tensor: the last product has a weight of its own, or that of the words.
///
/// # Errors
/// A family without such a head, and an activation that is not supported.
pub(crate) fn masked_words(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    is_stored: impl Fn(&TensorRef) -> bool,
) -> Result<Head, LoadError> {
    let config: Config = json.required(CONFIG)?;
    let known = |names: &&Names| names.model_types.contains(&config.model_type.as_str());
    let Some(names) = NAMES.iter().find(known) else {
        let known: Vec<&str> = NAMES
            .iter()
            .flat_map(|names| names.model_types)
            .copied()
            .collect();
        let supported = format!("{} (with a head that predicts words)", known.join(", "));
        return Err(refuse(json, "model_type", &config.model_type, &supported));
    };
    let activation = match config.hidden_act.or(config.activation).as_deref() {
        None | Some("gelu") => HeadActivation::Gelu,
        Some("relu") => HeadActivation::Relu,
        Some(other) => return Err(refuse(json, "hidden_act", other, "gelu, relu")),
    };
    let words = &architecture.embedding.words;
    let (size, vocabulary) = (words.row_size(), words.len());
    let of_model =
        |name: String, shape: &[usize]| TensorRef::new(name, shape).in_scope(Scope::Model);
    let own = of_model(format!("{}.weight", names.decoder), &[vocabulary, size]);
    let decoder = Linear {
        weight: if is_stored(&own) { own } else { words.clone() },
        bias: Some(of_model(names.bias.to_owned(), &[vocabulary])),
    };
    let dense = Linear::new(names.dense, architecture.hidden, size).in_scope(Scope::Model);
    let norm = Norm::layer(names.norm, size, config.layer_norm_eps.unwrap_or(1e-12));
    let norm = norm.in_scope(Scope::Model);
    let linear = |linear, activation| HeadModule::Dense { linear, activation };
    Ok(Head::tokens()
        .then(linear(dense, activation))
        .then(HeadModule::Norm(norm))
        .then(linear(decoder, HeadActivation::Identity)))
}

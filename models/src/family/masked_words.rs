//! Heads that predict words, as the families name them: from a token's vector to a logit for each
//! word of the vocabulary.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{CONFIG, refuse, static_embedding};
use crate::architecture::{
    Architecture, Head, HeadActivation, HeadModule, Linear, Norm, Scope, TensorRef, TokenEmbedding,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// The names of a family's tensors.
struct Names {
    model_types: &'static [&'static str],
    /// A product, and its norm; `None` where the product to the vocabulary is all there is.
    transform: Option<[&'static str; 2]>,
    /// Product to the vocabulary; its weight may be left out, and is the table of words then.
    decoder: &'static str,
    /// Its bias; of two names, the one that is stored.
    bias: [&'static str; 2],
}

/// Returns two names of a bias that are one.
const fn only(name: &'static str) -> [&'static str; 2] {
    [name, name]
}

/// The families with such heads. Of two entries of a family, the one whose tensors are stored.
const NAMES: [Names; 10] = [
    Names {
        model_types: &["bert", "deberta-v2"],
        transform: Some([
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
        ]),
        decoder: "cls.predictions.decoder",
        bias: only("cls.predictions.bias"),
    },
    Names {
        model_types: &["deberta-v2"],
        transform: Some([
            "lm_predictions.lm_head.dense",
            "lm_predictions.lm_head.LayerNorm",
        ]),
        // Never stored: it is the table of words.
        decoder: "lm_predictions.lm_head.decoder",
        bias: only("lm_predictions.lm_head.bias"),
    },
    Names {
        model_types: &[
            "roberta",
            "xlm-roberta",
            "camembert",
            "mpnet",
            "jina_embeddings_v3",
        ],
        transform: Some(["lm_head.dense", "lm_head.layer_norm"]),
        decoder: "lm_head.decoder",
        bias: only("lm_head.bias"),
    },
    Names {
        model_types: &["distilbert"],
        transform: Some(["vocab_transform", "vocab_layer_norm"]),
        decoder: "vocab_projector",
        bias: only("vocab_projector.bias"),
    },
    Names {
        model_types: &["electra"],
        transform: Some([
            "generator_predictions.dense",
            "generator_predictions.LayerNorm",
        ]),
        decoder: "generator_lm_head",
        bias: only("generator_lm_head.bias"),
    },
    Names {
        model_types: &["modernbert"],
        transform: Some(["head.dense", "head.norm"]),
        decoder: "decoder",
        bias: only("decoder.bias"),
    },
    Names {
        model_types: &["nomic_bert"],
        transform: Some([
            "cls.predictions.transform.dense",
            "cls.predictions.transform.layer_norm",
        ]),
        decoder: "cls.predictions.decoder",
        bias: ["cls.predictions.bias", "cls.predictions.decoder.bias"],
    },
    // As the code of their repositories names them, and as transformers does.
    Names {
        model_types: &["new", "gte"],
        transform: Some(["lm_head.dense", "lm_head.norm"]),
        decoder: "lm_head.decoder",
        bias: only("lm_head.decoder.bias"),
    },
    Names {
        model_types: &["new", "gte"],
        transform: Some(["lm_head.dense", "lm_head.layer_norm"]),
        decoder: "lm_head.decoder",
        bias: only("lm_head.decoder.bias"),
    },
    Names {
        model_types: &["eurobert"],
        transform: None,
        decoder: "lm_head",
        bias: only("lm_head.bias"),
    },
];

#[derive(Default, Deserialize)]
struct Config {
    model_type: String,
    hidden_act: Option<String>,
    /// Name of the key in DistilBERT.
    activation: Option<String>,
    /// Its name in ModernBERT.
    classifier_activation: Option<String>,
    layer_norm_eps: Option<f32>,
    /// Its names in ModernBERT and in Nomic BERT.
    norm_eps: Option<f32>,
    layer_norm_epsilon: Option<f32>,
    /// Biases of ModernBERT: of its product, its norm and the product to the vocabulary.
    classifier_bias: Option<bool>,
    norm_bias: Option<bool>,
    decoder_bias: Option<bool>,
    /// The same of EuroBERT's product to the vocabulary.
    mlp_bias: Option<bool>,
}

impl Config {
    fn activation(&self, json: &JsonFiles<'_>) -> Result<HeadActivation, LoadError> {
        let (key, named) = match self.model_type.as_str() {
            "modernbert" => ("classifier_activation", &self.classifier_activation),
            "distilbert" => ("activation", &self.activation),
            // The code of its repository has this one where layers are gated by it.
            "nomic_bert" if self.hidden_act.is_none() => return Ok(HeadActivation::Silu),
            _ => ("hidden_act", &self.hidden_act),
        };
        match named.as_deref() {
            None | Some("gelu") => Ok(HeadActivation::Gelu),
            Some("relu") => Ok(HeadActivation::Relu),
            Some("silu" | "swish") => Ok(HeadActivation::Silu),
            Some(other) => Err(refuse(json, key, other, "gelu, relu, silu")),
        }
    }

    /// Returns whether there is a bias of the transform's product, of its norm, and of the product
    /// to the vocabulary.
    fn biases(&self) -> [bool; 3] {
        match self.model_type.as_str() {
            "modernbert" => [
                self.classifier_bias.unwrap_or(false),
                self.norm_bias.unwrap_or(false),
                self.decoder_bias.unwrap_or(true),
            ],
            "eurobert" => [true, true, self.mlp_bias.unwrap_or(false)],
            _ => [true; 3],
        }
    }

    fn eps(&self) -> f32 {
        let usual = match self.model_type.as_str() {
            "modernbert" => 1e-5,
            "deberta-v2" => 1e-7,
            _ => 1e-12,
        };
        let named = self.layer_norm_eps.or(self.norm_eps);
        named.or(self.layer_norm_epsilon).unwrap_or(usual)
    }
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
    // A module of static embeddings has no such file, and no head.
    let config: Config = match static_embedding::is_module(json)? {
        true => Config {
            model_type: static_embedding::MODULE.to_owned(),
            ..Config::default()
        },
        false => json.required(CONFIG)?,
    };
    let Some(TokenEmbedding { words, .. }) = architecture.embedding.tokens() else {
        return Err(json.unsupported(CONFIG, "it is a model of images, which has no words"));
    };
    let (hidden, size, vocabulary) = (architecture.hidden, words.row_size(), words.len());
    let of_model = |name: &str, shape: &[usize]| TensorRef::new(name, shape).in_scope(Scope::Model);
    let is_of_family = |names: &&Names| names.model_types.contains(&config.model_type.as_str());
    let is_there = |names: &&Names| {
        let norm = names.transform.map(|[_, norm]| format!("{norm}.weight"));
        norm.is_none_or(|norm| is_stored(&of_model(&norm, &[size])))
    };
    let mut of_family = NAMES.iter().filter(is_of_family);
    let Some(first) = of_family.clone().next() else {
        let known: BTreeSet<&str> = NAMES
            .iter()
            .flat_map(|names| names.model_types)
            .copied()
            .collect();
        let known: Vec<&str> = known.into_iter().collect();
        let supported = format!("{} (with a head that predicts words)", known.join(", "));
        return Err(refuse(json, "model_type", &config.model_type, &supported));
    };
    let names = of_family.find(is_there).unwrap_or(first);
    let [of_transform, of_norm, of_decoder] = config.biases();
    let own = of_model(&format!("{}.weight", names.decoder), &[vocabulary, size]);
    let biases = names.bias.map(|name| of_model(name, &[vocabulary]));
    let [bias, other] = biases;
    let bias = if is_stored(&other) { other } else { bias };
    let decoder = Linear {
        weight: if is_stored(&own) { own } else { words.clone() },
        bias: of_decoder.then_some(bias),
    };
    let linear = |linear, activation| HeadModule::Dense { linear, activation };
    let mut head = Head::tokens();
    if let Some([dense, norm]) = names.transform {
        let dense = Linear::new(dense, hidden, size).in_scope(Scope::Model);
        let dense = if of_transform {
            dense
        } else {
            dense.without_bias()
        };
        let norm = Norm::layer(norm, size, config.eps()).in_scope(Scope::Model);
        let norm = if of_norm { norm } else { norm.without_shift() };
        head = head
            .then(linear(dense, config.activation(json)?))
            .then(HeadModule::Norm(norm));
    }
    Ok(head.then(linear(decoder, HeadActivation::Identity)))
}

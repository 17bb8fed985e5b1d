//! Heads of classification as the families name them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CONFIG, refuse};
use crate::architecture::{
    Architecture, Head, HeadActivation, HeadModule, Linear, Norm, Pooling, Scope,
};
use crate::error::LoadError;
use crate::source::JsonFiles;

/// Describes a head with a number of labels.
type Describe = fn(&JsonFiles<'_>, &Architecture, usize) -> Result<Head, LoadError>;

/// The heads of classification that a family's checkpoints may have.
pub(super) struct Classifiers {
    /// Of texts and pairs.
    pub(super) text: Describe,
    /// Of tokens.
    pub(super) token: Describe,
}

/// Names of the two products of a head that is called `classifier`.
const CLASSIFIER: [&str; 2] = ["classifier.dense", "classifier.out_proj"];

/// `tanh` of the encoder's own pooler, then `classifier`.
pub(super) const POOLER: Option<Classifiers> = Some(Classifiers {
    text: |_, architecture, labels| {
        let pooler = Linear::new("pooler.dense", architecture.hidden, architecture.hidden);
        Ok(Head::pooled(Pooling::Cls)
            .then(dense(pooler, HeadActivation::Tanh))
            .then(logits("classifier", architecture, labels)))
    },
    token: each_token,
});

/// `classifier.dense`, `tanh`, `classifier.out_proj`.
pub(super) const DENSE_TANH: Option<Classifiers> = Some(Classifiers {
    text: |_, architecture, labels| {
        two_products(CLASSIFIER, HeadActivation::Tanh, architecture, labels)
    },
    token: each_token,
});

/// `classifier.dense`, exact GELU, `classifier.out_proj`.
pub(super) const DENSE_GELU: Option<Classifiers> = Some(Classifiers {
    text: |_, architecture, labels| {
        two_products(CLASSIFIER, HeadActivation::Gelu, architecture, labels)
    },
    token: each_token,
});

/// `head.dense`, exact GELU, `head.norm`, `classifier`, for tokens as for texts.
pub(super) const HEAD_NORM: Option<Classifiers> = Some(Classifiers {
    text: |json, architecture, labels| {
        let config: HeadConfig = json.required(CONFIG)?;
        let pooling = match config.classifier_pooling.as_deref() {
            None | Some("cls") => Pooling::Cls,
            Some("mean") => Pooling::Mean,
            Some(other) => return Err(refuse(json, "classifier_pooling", other, "cls, mean")),
        };
        config.onto(json, Head::pooled(pooling), architecture, labels)
    },
    token: |json, architecture, labels| {
        let config: HeadConfig = json.required(CONFIG)?;
        config.onto(json, Head::tokens(), architecture, labels)
    },
});

/// Keys of config.json for a head with a norm.
#[derive(Deserialize)]
struct HeadConfig {
    classifier_pooling: Option<String>,
    classifier_activation: Option<String>,
    #[serde(default)]
    classifier_bias: bool,
    #[serde(default)]
    norm_bias: bool,
    norm_eps: Option<f32>,
}

impl HeadConfig {
    fn onto(
        &self,
        json: &JsonFiles<'_>,
        head: Head,
        architecture: &Architecture,
        labels: usize,
    ) -> Result<Head, LoadError> {
        match self.classifier_activation.as_deref() {
            None | Some("gelu") => {}
            Some(other) => return Err(refuse(json, "classifier_activation", other, "gelu")),
        }
        let hidden = architecture.hidden;
        let mut first = Linear::new("head.dense", hidden, hidden).in_scope(Scope::Model);
        if !self.classifier_bias {
            first = first.without_bias();
        }
        let norm = Norm::layer("head.norm", hidden, self.norm_eps.unwrap_or(1e-5));
        let mut norm = norm.in_scope(Scope::Model);
        norm.shift = norm.shift.filter(|_| self.norm_bias);
        Ok(head
            .then(dense(first, HeadActivation::Gelu))
            .then(HeadModule::Norm(norm))
            .then(logits("classifier", architecture, labels)))
    }
}

/// `pooler.dense`, exact GELU, `classifier`.
pub(super) const CONTEXT_POOLER: Option<Classifiers> = Some(Classifiers {
    text: |json, architecture, labels| {
        #[derive(Deserialize)]
        struct Config {
            pooler_hidden_act: Option<String>,
        }
        let Config { pooler_hidden_act } = json.required(CONFIG)?;
        if let Some(other) = pooler_hidden_act.filter(|name| name != "gelu") {
            return Err(refuse(json, "pooler_hidden_act", &other, "gelu"));
        }
        two_products(
            ["pooler.dense", "classifier"],
            HeadActivation::Gelu,
            architecture,
            labels,
        )
    },
    token: each_token,
});

/// `pre_classifier`, `max(0, x)`, `classifier`.
pub(super) const PRE_CLASSIFIER: Option<Classifiers> = Some(Classifiers {
    text: |_, architecture, labels| {
        two_products(
            ["pre_classifier", "classifier"],
            HeadActivation::Relu,
            architecture,
            labels,
        )
    },
    token: each_token,
});

/// `score` on the last token that is no padding, without a bias; on each token with one.
pub(super) const SCORE: Option<Classifiers> = Some(Classifiers {
    text: |json, architecture, labels| score_last(json, architecture, labels, None),
    token: score_each,
});

/// The same for a family whose padding has the id 0 where config.json does not name its own.
pub(super) const SCORE_PADDED_0: Option<Classifiers> = Some(Classifiers {
    text: |json, architecture, labels| score_last(json, architecture, labels, Some(0)),
    token: score_each,
});

/// Returns the head on the last token that is not `pad_token_id`. Without such a key, which is
/// `otherwise` then, or with `null`, it is on the last token: rows are not padded here.
fn score_last(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    labels: usize,
    otherwise: Option<u32>,
) -> Result<Head, LoadError> {
    let config: Map<String, Value> = json.required(CONFIG)?;
    let padding = match config.get("pad_token_id") {
        None => otherwise,
        // Some files have -1 for none, which is no token's id.
        Some(id) => id.as_u64().and_then(|id| u32::try_from(id).ok()),
    };
    let pooling = padding.map_or(Pooling::LastToken, Pooling::LastTokenBut);
    Ok(Head::pooled(pooling).then(score(architecture, labels, false)))
}

/// Returns the head on each token.
fn score_each(
    json: &JsonFiles<'_>,
    architecture: &Architecture,
    labels: usize,
) -> Result<Head, LoadError> {
    #[derive(Deserialize)]
    struct Config {
        token_classification_bias: Option<bool>,
    }
    let config: Config = json.required(CONFIG)?;
    let bias = config.token_classification_bias.unwrap_or(true);
    Ok(Head::tokens().then(score(architecture, labels, bias)))
}

fn score(architecture: &Architecture, labels: usize, bias: bool) -> HeadModule {
    let linear = Linear::new("score", architecture.hidden, labels).in_scope(Scope::Model);
    let linear = if bias { linear } else { linear.without_bias() };
    dense(linear, HeadActivation::Identity)
}

/// `dense`, exact GELU, `classifier`, on the mean of the tokens, on the first, or on each, of which
/// the mean is taken then (`late`); `classifier` on each token.
pub(super) const DENSE_LATE: Option<Classifiers> = Some(Classifiers {
    text: |json, architecture, labels| {
        #[derive(Deserialize)]
        struct Config {
            classifier_pooling: Option<String>,
        }
        let hidden = architecture.hidden;
        let first = Linear::new("dense", hidden, hidden).in_scope(Scope::Model);
        let first = dense(first, HeadActivation::Gelu);
        let Config { classifier_pooling } = json.required(CONFIG)?;
        let head = match classifier_pooling.as_deref() {
            // The last product is linear: it gives the mean of its results for the mean of tokens.
            None | Some("late") => Head::tokens().then(first).then(HeadModule::TokenMean),
            Some("mean") => Head::pooled(Pooling::Mean).then(first),
            Some("bos") => Head::pooled(Pooling::Cls).then(first),
            Some(other) => {
                return Err(refuse(json, "classifier_pooling", other, "late, mean, bos"));
            }
        };
        Ok(head.then(logits("classifier", architecture, labels)))
    },
    token: each_token,
});

/// Returns a head of two products on the first token's vector.
fn two_products(
    [first, last]: [&str; 2],
    activation: HeadActivation,
    architecture: &Architecture,
    labels: usize,
) -> Result<Head, LoadError> {
    let hidden = architecture.hidden;
    let first = Linear::new(first, hidden, hidden).in_scope(Scope::Model);
    Ok(Head::pooled(Pooling::Cls)
        .then(dense(first, activation))
        .then(logits(last, architecture, labels)))
}

/// `classifier` on each token.
fn each_token(
    _: &JsonFiles<'_>,
    architecture: &Architecture,
    labels: usize,
) -> Result<Head, LoadError> {
    Ok(Head::tokens().then(logits("classifier", architecture, labels)))
}

/// Returns the last product of a head.
pub(super) fn logits(name: &str, architecture: &Architecture, labels: usize) -> HeadModule {
    let linear = Linear::new(name, architecture.hidden, labels).in_scope(Scope::Model);
    dense(linear, HeadActivation::Identity)
}

fn dense(linear: Linear, activation: HeadActivation) -> HeadModule {
    HeadModule::Dense { linear, activation }
}

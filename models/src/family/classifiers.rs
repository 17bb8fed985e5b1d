//! Heads of classification as the families name them.

use crate::architecture::{Architecture, Head, HeadActivation, HeadModule, Linear, Pooling, Scope};
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
        let names = ["classifier.dense", "classifier.out_proj"];
        Ok(two_products(
            names,
            HeadActivation::Tanh,
            architecture,
            labels,
        ))
    },
    token: each_token,
});

/// `classifier.dense`, exact GELU, `classifier.out_proj`.
pub(super) const DENSE_GELU: Option<Classifiers> = Some(Classifiers {
    text: |_, architecture, labels| {
        let names = ["classifier.dense", "classifier.out_proj"];
        Ok(two_products(
            names,
            HeadActivation::Gelu,
            architecture,
            labels,
        ))
    },
    token: each_token,
});

/// `pre_classifier`, `max(0, x)`, `classifier`.
pub(super) const PRE_CLASSIFIER: Option<Classifiers> = Some(Classifiers {
    text: |_, architecture, labels| {
        let names = ["pre_classifier", "classifier"];
        Ok(two_products(
            names,
            HeadActivation::Relu,
            architecture,
            labels,
        ))
    },
    token: each_token,
});

/// Returns a head of two products on the first token's vector.
fn two_products(
    [first, last]: [&str; 2],
    activation: HeadActivation,
    architecture: &Architecture,
    labels: usize,
) -> Head {
    let hidden = architecture.hidden;
    let first = Linear::new(first, hidden, hidden).in_scope(Scope::Model);
    Head::pooled(Pooling::Cls)
        .then(dense(first, activation))
        .then(logits(last, architecture, labels))
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
fn logits(name: &str, architecture: &Architecture, labels: usize) -> HeadModule {
    let linear = Linear::new(name, architecture.hidden, labels).in_scope(Scope::Model);
    dense(linear, HeadActivation::Identity)
}

fn dense(linear: Linear, activation: HeadActivation) -> HeadModule {
    HeadModule::Dense { linear, activation }
}

//! Classifiers of texts, of pairs, of tokens and of images: their head, their labels, and how
//! logits become scores, all from the files of the model.
//!
//! A head is found by the names of its tensors among the weights. `architectures` in config.json
//! says which of two it is where the names are those of both, and is not trusted beyond that:
//! models are published with the class of a head that they do not have.
//!
//! * `images`: classifiers of images.
//! * `logit_score`: scores of pairs by the next word of a language model.
//! * `labels`: the names of the logits; `score`: [`ScoreKind`].
//! * `entailment`: labels of a caller's own.
//! * `spans`: labels of tokens to labelled spans of the text; `windows`: rows of a long text.

mod entailment;
mod images;
mod labels;
mod logit_score;
mod score;
mod spans;
mod windows;

use serde::Deserialize;

pub use entailment::Entailment;
pub use score::ScoreKind;
pub use spans::{Aggregation, LabeledSpan, SpanToken, spans};
pub use windows::{best_windows, windows};

use crate::architecture::{Head, HeadModule, TensorRef};
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;
use crate::family::{self, CONFIG};
use crate::source::{JsonFiles, ModelFiles};

const SENTENCE: &str = "config_sentence_transformers.json";

/// A classifier, with one logit for each label.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// From token vectors to logits.
    pub head: Head,
    /// Names of the logits, in their order.
    pub labels: Vec<String>,
    /// How logits become scores by `problem_type` in config.json: a softmax over several labels
    /// where it is not set, a sigmoid of one.
    pub score: ScoreKind,
    /// How the logits of a pair become scores by the files of sentence-transformers, if these say:
    /// `activation_fn`.
    pub pair_score: Option<ScoreKind>,
}

/// The unit that a classifier gives labels to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A text, or a pair of texts.
    Text,
    /// Each token.
    Token,
}

#[derive(Deserialize)]
struct Config {
    problem_type: Option<String>,
    sentence_transformers: Option<Activation>,
    /// Former name of the key.
    sbert_ce_default_activation_function: Option<String>,
}

#[derive(Default, Deserialize)]
struct Activation {
    activation_fn: Option<String>,
}

impl ModelFiles {
    /// Returns the model's classifier, by its configuration and the headers of its weights.
    ///
    /// # Errors
    /// Weights without its head or with that of another level, labels that do not fit the head, and
    /// values of the configuration that are not supported.
    pub fn classifier(&self, level: Level) -> Result<Classifier, LoadError> {
        let checkpoint = Checkpoint::open(self)?;
        self.with_json(|json| {
            if level == Level::Text
                && self.config().logit_score.is_some()
                && let Some(classifier) = self.logit_classifier(json, &checkpoint)?
            {
                return Ok(classifier);
            }
            self.classifier_in(json, &checkpoint, level)
        })
    }

    /// Returns the model's classifier if it has one: if its weights have the product that gives
    /// logits, and `architectures` does not say that the head is another; or, of texts, if it is a
    /// language model that is asked for the score of a pair.
    ///
    /// # Errors
    /// As [`classifier`](Self::classifier).
    pub fn find_classifier(&self, level: Level) -> Result<Option<Classifier>, LoadError> {
        let checkpoint = Checkpoint::open(self)?;
        self.with_json(|json| {
            if level == Level::Text
                && let Some(classifier) = self.logit_classifier(json, &checkpoint)?
            {
                return Ok(Some(classifier));
            }
            if !family::has_classifiers(json)? {
                return Ok(None);
            }
            let head = head(self, json, level, 1)?;
            let weight = last_weight(&head);
            let is_there = weight.is_some_and(|weight| checkpoint.shape(weight).is_some());
            if !is_there || self.of_other_level(json, &checkpoint, level)?.is_some() {
                return Ok(None);
            }
            self.classifier_in(json, &checkpoint, level).map(Some)
        })
    }

    fn classifier_in(
        &self,
        json: &JsonFiles<'_>,
        checkpoint: &Checkpoint,
        level: Level,
    ) -> Result<Classifier, LoadError> {
        let any = head(self, json, level, 1)?;
        if let Some(why) = self.of_other_level(json, checkpoint, level)? {
            return Err(json.unsupported(CONFIG, why));
        }
        // The last product has a row for each label: how many is not known before.
        for tensor in any.tensors() {
            if checkpoint.shape(tensor).is_none() {
                checkpoint.check(tensor)?;
            }
        }
        let described = |labels| head(self, json, level, labels);
        let classifier = read(json, checkpoint, &any, described)?;
        let tensors = classifier.head.tensors();
        tensors
            .into_iter()
            .try_for_each(|tensor| checkpoint.check(tensor))?;
        Ok(classifier)
    }

    /// Returns why the head is of the other level, if it is.
    fn of_other_level(
        &self,
        json: &JsonFiles<'_>,
        checkpoint: &Checkpoint,
        level: Level,
    ) -> Result<Option<String>, LoadError> {
        let (this, other) = (level.as_str(), level.other().as_str());
        let named = |level: Level| {
            let mut classes = self.config().classes.iter();
            classes.find(|class| class.ends_with(level.class()))
        };
        if named(level).is_some() {
            return Ok(None);
        }
        if let Some(class) = named(level.other()) {
            return Ok(Some(format!(
                "architectures is `{class}`, whose head classifies {other}, not {this}"
            )));
        }
        // One of the heads may have all that the other has, and more; texts where they are alike.
        let own = head(self, json, level, 1)?.tensors().len();
        let head = head(self, json, level.other(), 1)?;
        let tensors = head.tensors();
        let is_there = |tensor: &&TensorRef| checkpoint.shape(tensor).is_some();
        let has_more = tensors.len() > own || (tensors.len() == own && level == Level::Token);
        Ok((has_more && tensors.iter().all(is_there)).then(|| {
            format!(
                "architectures names no class with a head, and the weights have the tensors of one \
                 that classifies {other}, not {this}"
            )
        }))
    }
}

impl Level {
    fn other(self) -> Self {
        match self {
            Self::Text => Self::Token,
            Self::Token => Self::Text,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "texts",
            Self::Token => "tokens",
        }
    }

    /// Ending of the classes that have such a head.
    const fn class(self) -> &'static str {
        match self {
            Self::Text => "ForSequenceClassification",
            Self::Token => "ForTokenClassification",
        }
    }
}

fn head(
    files: &ModelFiles,
    json: &JsonFiles<'_>,
    level: Level,
    labels: usize,
) -> Result<Head, LoadError> {
    family::classifier(json, &files.config().architecture, level, labels)
}

/// Returns the weight of the product that gives logits.
fn last_weight(head: &Head) -> Option<&TensorRef> {
    head.modules.iter().rev().find_map(|module| match module {
        HeadModule::Dense { linear, .. } => Some(&linear.weight),
        _ => None,
    })
}

/// Reads what the files say of a head whose tensors are there; `any` has any number of labels,
/// `head` describes it with a number of them.
fn read(
    json: &JsonFiles<'_>,
    checkpoint: &Checkpoint,
    any: &Head,
    head: impl Fn(usize) -> Result<Head, LoadError>,
) -> Result<Classifier, LoadError> {
    let (rows, tensor) = last_weight(any)
        .and_then(|weight| Some((*checkpoint.shape(weight)?.first()?, weight)))
        .map_or((0, ""), |(rows, weight)| (rows, weight.name.as_str()));
    let labels = labels::read(json, rows, tensor)?;
    let config: Config = json.required(CONFIG)?;
    let score = match (config.problem_type.as_deref(), labels.len()) {
        (None, 1) | (Some("multi_label_classification"), _) => ScoreKind::Sigmoid,
        (None, _) | (Some("single_label_classification"), _) => ScoreKind::Softmax,
        (Some("regression"), _) => ScoreKind::Raw,
        (Some(other), _) => {
            let reason = format!(
                "problem_type `{other}` is not supported; supported: regression, \
                 single_label_classification, multi_label_classification"
            );
            return Err(json.unsupported(CONFIG, reason));
        }
    };
    Ok(Classifier {
        head: head(labels.len())?,
        score,
        pair_score: pair_score(json)?,
        labels,
    })
}

/// Returns how logits of a pair become scores, if the files say.
///
/// # Errors
/// A function that is not supported.
fn pair_score(json: &JsonFiles<'_>) -> Result<Option<ScoreKind>, LoadError> {
    let config: Config = json.required(CONFIG)?;
    let Activation { activation_fn } = json.optional(SENTENCE)?.unwrap_or_default();
    let of_config = config.sentence_transformers.unwrap_or_default();
    let named = [
        (SENTENCE, "activation_fn", activation_fn),
        (
            CONFIG,
            "sentence_transformers.activation_fn",
            of_config.activation_fn,
        ),
        (
            CONFIG,
            "sbert_ce_default_activation_function",
            config.sbert_ce_default_activation_function,
        ),
    ];
    let named = named
        .into_iter()
        .find_map(|(file, key, name)| Some((file, key, name?)));
    let pair_score = named.map(|(file, key, name)| {
        ScoreKind::of_torch_class(&name).ok_or_else(|| {
            let reason = format!("{key} `{name}` is not supported; supported: Identity, Sigmoid");
            json.unsupported(file, reason)
        })
    });
    pair_score.transpose()
}

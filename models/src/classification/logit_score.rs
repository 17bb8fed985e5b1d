//! Scores of pairs by a language model: it is asked whether a document answers a query, and the
//! logits of the next word that say yes and no make the score. The module LogitScore of
//! sentence-transformers says which words these are.

use super::{Classifier, ScoreKind, pair_score};
use crate::architecture::{Head, HeadActivation, HeadModule, Pooling, TensorRef};
use crate::checkpoint::Checkpoint;
use crate::config::LogitScore;
use crate::error::LoadError;
use crate::family;
use crate::source::{JsonFiles, ModelFiles};
use crate::tokenizer;

/// Name of the only label, as transformers has it for a head that names none.
const LABEL: &str = "LABEL_0";

impl ModelFiles {
    /// Returns the classifier of a model with a module LogitScore, or of a language model without
    /// files of its own for it whose template takes a query and a document, if it is one.
    ///
    /// # Errors
    /// Weights without the head of the next word, and values that it does not support.
    pub(super) fn logit_classifier(
        &self,
        json: &JsonFiles<'_>,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Classifier>, LoadError> {
        let config = self.config();
        let score = match config.logit_score {
            Some(score) => Some(score),
            None => tokenizer::yes_and_no(json, config)?
                .map(|[yes, no]| LogitScore { yes, no: Some(no) }),
        };
        let Some(LogitScore { yes, no }) = score else {
            return Ok(None);
        };
        let is_stored = |tensor: &TensorRef| checkpoint.shape(tensor).is_some();
        let logit = |word| family::next_word(json, &config.architecture, is_stored, word);
        let linear = logit(yes)?;
        let module = match no {
            Some(no) => HeadModule::Difference {
                linear,
                subtracted: logit(no)?,
            },
            None => HeadModule::Dense {
                linear,
                activation: HeadActivation::Identity,
            },
        };
        let head = Head::pooled(Pooling::LastToken).then(module);
        let mut tensors = head.tensors().into_iter();
        tensors.try_for_each(|tensor| checkpoint.check(tensor))?;
        Ok(Some(Classifier {
            head,
            labels: vec![LABEL.to_owned()],
            score: ScoreKind::Sigmoid,
            pair_score: pair_score(json)?,
        }))
    }
}

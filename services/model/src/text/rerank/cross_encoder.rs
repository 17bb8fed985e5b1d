//! Scores of texts against a query by a head for pairs: one label, or two of which one says that
//! the text is relevant.

use motet_models::{Classifier, LoadError, ModelFiles, ScoreKind, Values};
use motet_proto::signature::{Parameter, Signature};
use motet_proto::{Tensor, TensorError};

use crate::request::{Inputs, Outputs};
use crate::text::call_settings::{CallSettings, activation};
use crate::text::encoder_task::{
    AnswerForm, BuiltTask, EncoderTask, RowText, TaskError, TaskSettings,
};
use crate::text::ports::{QUERY, SCORE, TEXT};

/// Labels that say that a text is relevant, in small letters.
const POSITIVE: [&str; 6] = ["relevant", "positive", "yes", "true", "entailment", "1"];

/// Each row is the query and a text.
#[derive(Debug)]
struct CrossEncoder {
    /// Number of the logit that becomes the score.
    label: usize,
    /// Number of logits.
    labels: usize,
    score: ScoreKind,
}

/// Returns the task of a model with this head.
///
/// # Errors
/// A head with more than two labels, or with two of which none is known to be that of relevant
/// texts and the configuration does not say which.
pub(super) fn build(
    files: &ModelFiles,
    classifier: Classifier,
    settings: &TaskSettings,
) -> Result<BuiltTask, TaskError> {
    let labels = &classifier.labels;
    let named = settings.label.as_ref().map(|label| {
        let found = labels.iter().position(|name| *name == label.value);
        found.ok_or_else(|| TaskError::Setting {
            key: "label",
            span: label.span,
            message: format!(
                "the model has no label `{}`; it has `{}`",
                label.value,
                labels.join("`, `")
            ),
        })
    });
    let named = named.transpose()?;
    let refuse = |why: &str| {
        TaskError::Model(LoadError::Unsupported {
            model: files.source().clone(),
            file: "config.json".to_owned(),
            reason: format!("id2label has `{}`; {why}", labels.join("`, `")),
        })
    };
    let (label, score) = match (labels.len(), named) {
        (1, _) => (0, classifier.pair_score.unwrap_or(ScoreKind::Sigmoid)),
        (_, Some(label)) => (label, ScoreKind::Softmax),
        (2, None) => {
            let positive = only_positive(labels);
            let why = "a score needs to know which of the two says that a text is relevant: name \
                       it with `label:`";
            (positive.ok_or_else(|| refuse(why))?, ScoreKind::Softmax)
        }
        _ => {
            return Err(refuse(
                "a score is made of one label or of two: name the one that says that a text is \
                 relevant with `label:`",
            ));
        }
    };
    Ok(BuiltTask::new(
        CrossEncoder {
            label,
            labels: classifier.labels.len(),
            score,
        },
        classifier.head,
    ))
}

/// Returns the label that says that a text is relevant, if exactly one does.
fn only_positive(labels: &[String]) -> Option<usize> {
    let is_positive = |label: &String| POSITIVE.contains(&label.to_lowercase().as_str());
    let mut positive = (0..labels.len()).filter(|at| is_positive(&labels[*at]));
    let first = positive.next()?;
    positive.next().is_none().then_some(first)
}

impl EncoderTask for CrossEncoder {
    fn signature(&self, _: usize) -> Signature {
        super::signature()
    }

    fn rows<'i>(&self, inputs: &'i Inputs) -> Vec<RowText<'i>> {
        let Some(query) = inputs.texts(QUERY).pop() else {
            return Vec::new();
        };
        let texts = inputs.texts(TEXT).into_iter();
        texts.map(|text| RowText::Pair(query, text)).collect()
    }

    fn first_field(&self, _: usize) -> String {
        QUERY.to_owned()
    }

    fn has_token_vectors(&self) -> bool {
        false
    }

    fn score_kind(&self, settings: &CallSettings, _: usize) -> Option<ScoreKind> {
        Some(settings.score.unwrap_or(self.score))
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![activation(self.labels)]
    }

    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let score = |row: Values| {
            let mut logits = row.into_vec();
            form.score.unwrap_or(self.score).apply(&mut logits);
            logits[self.label]
        };
        let scores: Vec<f32> = rows.into_iter().map(score).collect();
        let score = Tensor::from_values(vec![scores.len()], scores)?;
        Ok(vec![(SCORE, score)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::VectorForm;
    use crate::text::row_origins::RowOrigins;

    #[test]
    fn one_of_two_labels_is_known_to_be_that_of_relevant_texts() {
        for (labels, expected) in [
            (["irrelevant", "relevant"], Some(1)),
            (["Yes", "No"], Some(0)),
            (["0", "1"], Some(1)),
            (["not_entailment", "entailment"], Some(1)),
            (["LABEL_0", "LABEL_1"], None),
            (["yes", "relevant"], None),
        ] {
            let labels = labels.map(str::to_owned);
            assert_eq!(only_positive(&labels), expected, "{labels:?}");
        }
    }

    #[test]
    fn the_score_of_two_labels_is_the_share_of_the_relevant_one() {
        let task = CrossEncoder {
            label: 1,
            labels: 2,
            score: ScoreKind::Softmax,
        };
        let rows = vec![
            Values::new(vec![1.0, 3.0], 2),
            Values::new(vec![5.0, 5.0], 2),
        ];
        let form = AnswerForm {
            vectors: VectorForm {
                size: 2,
                normalize: false,
            },
            score: None,
            aggregation: None,
            multi_label: None,
            origins: &RowOrigins::default(),
        };
        let outputs = task.outputs(rows, &form).unwrap();
        let scores = outputs[0].1.values::<f32>().unwrap().into_owned();
        assert!(
            (scores[0] - 0.880_797).abs() < 1e-6 && scores[1] == 0.5,
            "{scores:?}"
        );
    }
}

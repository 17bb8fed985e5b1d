//! `classify_zero_shot`: each text against labels that the caller gives, by a classifier of
//! natural-language inference.
//!
//! * `template`: [`HypothesisTemplate`], from a label to a hypothesis about a text.
//! * `rows`: texts and hypotheses to rows.

mod rows;
mod template;

use motet_models::{Entailment, Level, LoadError, ModelFiles, ScoreKind, Values};
use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::ElementType;
use motet_proto::{Tensor, TensorError};

pub use template::HypothesisTemplate;

use super::TextKind;
use super::call_settings::CallSettings;
use super::classify::highest;
use super::encoder_task::{AnswerForm, BuiltTask, EncoderTask, TaskError, TaskSettings};
use super::ports::{
    HYPOTHESIS_TEMPLATE, LABEL, LABELS, MULTI_LABEL, SCORE, TEXT, port, symbol, texts,
};
use crate::request::Outputs;

pub(super) const KIND: TextKind = TextKind {
    name: "classify_zero_shot",
    keys: &[
        "engine",
        "adapter",
        "max_tokens",
        "truncate",
        "hypothesis_template",
        "multi_label",
    ],
    about: "which of the caller's labels fits each text, and the score of every label",
    names_beside_others: &[],
    build,
};

#[derive(Debug)]
struct ZeroShot {
    logits: Entailment,
    template: HypothesisTemplate,
    multi_label: bool,
}

fn build(files: &ModelFiles, settings: &TaskSettings) -> Result<BuiltTask, TaskError> {
    let classifier = files.classifier(Level::Text)?;
    let Some(logits) = Entailment::of_labels(&classifier.labels) else {
        return Err(TaskError::Model(LoadError::Unsupported {
            model: files.source().clone(),
            file: "config.json".to_owned(),
            reason: format!(
                "id2label has `{}`; labels of the caller's own need a model of natural-language \
                 inference: two labels or more, one of which begins with `entail`",
                classifier.labels.join("`, `")
            ),
        }));
    };
    let task = ZeroShot {
        logits,
        template: settings.hypothesis_template.clone().unwrap_or_default(),
        multi_label: settings.multi_label,
    };
    Ok(BuiltTask::new(task, classifier.head))
}

impl ZeroShot {
    /// Returns how the logits of so many labels become scores. One label has none to be compared
    /// with.
    fn kind(&self, multi_label: Option<bool>, labels: usize) -> ScoreKind {
        if multi_label.unwrap_or(self.multi_label) || labels == 1 {
            ScoreKind::Sigmoid
        } else {
            ScoreKind::Softmax
        }
    }
}

impl EncoderTask for ZeroShot {
    /// `text: string[N], labels: string[L] -> label: string[N], score: float[N,L],
    /// labels: string[L]`
    fn signature(&self, _: usize) -> Signature {
        let labels = || port(LABELS, ElementType::String, vec![symbol("L")]);
        Signature {
            inputs: vec![texts(), labels()],
            outputs: vec![
                port(LABEL, ElementType::String, vec![symbol("N")]),
                port(SCORE, ElementType::F32, vec![symbol("N"), symbol("L")]),
                labels(),
            ],
            parameters: Vec::new(),
        }
    }

    /// A prompt would be a part of what is classified.
    fn has_prompt(&self, _: usize) -> bool {
        false
    }

    fn hypotheses(&self) -> Option<&HypothesisTemplate> {
        Some(&self.template)
    }

    fn has_token_vectors(&self) -> bool {
        false
    }

    fn score_kind(&self, settings: &CallSettings, labels: usize) -> Option<ScoreKind> {
        Some(self.kind(settings.multi_label, labels))
    }

    fn parameters(&self) -> Vec<Parameter> {
        let template = Parameter {
            default: Some(self.template.text().as_str().into()),
            ..Parameter::new(HYPOTHESIS_TEMPLATE, ElementType::String)
        };
        vec![template, Parameter::boolean(MULTI_LABEL, self.multi_label)]
    }

    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let labels = &form.origins.labels;
        let kind = self.kind(form.multi_label, labels.len());
        let of_texts = rows.chunks(labels.len().max(1));
        let count = of_texts.len();
        let mut scores = Vec::with_capacity(rows.len());
        let mut label = Vec::with_capacity(count);
        for rows in of_texts {
            let of_text = self.logits.scores(rows.iter().map(Values::as_slice), kind);
            label.push(labels[highest(&of_text)].as_str());
            scores.extend(of_text);
        }
        Ok(vec![
            (LABEL, Tensor::strings(label)),
            (
                SCORE,
                Tensor::from_values(vec![count, labels.len()], scores)?,
            ),
            (LABELS, Tensor::strings(labels)),
        ])
    }
}

//! `classify`: labels for each text or pair of texts, and the score of each label.

use motet_models::{Level, ModelFiles, ScoreKind, Values};
use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::{Dim, ElementType};
use motet_proto::{Tensor, TensorError};

use super::TextKind;
use super::call_settings::{CallSettings, activation};
use super::encoder_task::{AnswerForm, BuiltTask, EncoderTask, RowText, TaskError, TaskSettings};
use super::ports::{LABEL, LABELS, PAIR, SCORE, TEXT, port, symbol, texts};
use crate::request::{Inputs, Outputs};

pub(super) const KIND: TextKind = TextKind {
    name: "classify",
    keys: &[
        "engine",
        "adapter",
        "max_tokens",
        "truncate",
        "prompt_name",
        "prompt",
        "pair",
    ],
    about: "a label for each text, and the score of every label",
    names_beside_others: &[],
    build,
};

#[derive(Debug)]
struct Classify {
    labels: Vec<String>,
    score: ScoreKind,
    pair: bool,
}

fn build(files: &ModelFiles, settings: &TaskSettings) -> Result<BuiltTask, TaskError> {
    let classifier = files.classifier(Level::Text)?;
    let task = Classify {
        labels: classifier.labels,
        score: classifier.score,
        pair: settings.pair,
    };
    Ok(BuiltTask::new(task, classifier.head))
}

impl EncoderTask for Classify {
    /// `text: string[N] -> label: string[N], score: float[N,L], labels: string[L]`, with
    /// `pair: string[N]` after the text for pairs.
    fn signature(&self, labels: usize) -> Signature {
        let texts_in_pairs = || port(PAIR, ElementType::String, vec![symbol("N")]);
        let labels = Dim::Fixed(labels);
        Signature {
            inputs: std::iter::once(texts())
                .chain(self.pair.then(texts_in_pairs))
                .collect(),
            outputs: vec![
                port(LABEL, ElementType::String, vec![symbol("N")]),
                port(SCORE, ElementType::F32, vec![symbol("N"), labels.clone()]),
                port(LABELS, ElementType::String, vec![labels]),
            ],
            parameters: Vec::new(),
        }
    }

    fn rows<'i>(&self, inputs: &'i Inputs) -> Vec<RowText<'i>> {
        let texts = inputs.texts(TEXT).into_iter();
        if self.pair {
            let pairs = texts.zip(inputs.texts(PAIR));
            pairs
                .map(|(text, pair)| RowText::Pair(text, pair))
                .collect()
        } else {
            texts.map(RowText::One).collect()
        }
    }

    fn field(&self, row: usize) -> String {
        let name = if self.pair { PAIR } else { TEXT };
        format!("{name}[{row}]")
    }

    fn first_field(&self, row: usize) -> String {
        format!("{TEXT}[{row}]")
    }

    fn has_token_vectors(&self) -> bool {
        false
    }

    fn score_kind(&self, settings: &CallSettings, _: usize) -> Option<ScoreKind> {
        Some(settings.score.unwrap_or(self.score))
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![activation(self.labels.len())]
    }

    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let (count, labels) = (rows.len(), form.vectors.size);
        let mut scores = Vec::with_capacity(count * labels);
        let mut label = Vec::with_capacity(count);
        for row in rows {
            let mut row = row.into_vec();
            form.score.unwrap_or(self.score).apply(&mut row);
            label.push(self.labels[highest(&row)].as_str());
            scores.extend(row);
        }
        Ok(vec![
            (LABEL, Tensor::strings(label)),
            (SCORE, Tensor::from_values(vec![count, labels], scores)?),
            (LABELS, Tensor::strings(&self.labels)),
        ])
    }
}

/// Returns the place of the highest score, the first of several.
pub(crate) fn highest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (at, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_highest_scores_gives_the_label() {
        for (scores, expected) in [
            (&[0.1, 0.7, 0.2][..], 1),
            (&[0.5, 0.5], 0),
            (&[-3.0, -2.0, -2.0], 1),
            (&[1.0], 0),
        ] {
            assert_eq!(highest(scores), expected, "{scores:?}");
        }
    }
}

//! `classify_tokens`: labelled spans of each text, such as names of persons and places.

use motet_models::classification::spans;
use motet_models::{Aggregation, Level, ModelFiles, ScoreKind, Values};
use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::ElementType;
use motet_proto::{Tensor, TensorError};

use super::TextKind;
use super::call_settings::CallSettings;
use super::encoder_task::{AnswerForm, BuiltTask, EncoderTask, TaskError, TaskSettings};
use super::ports::{AGGREGATION, END, LABEL, ROW, SCORE, START, port, symbol, texts};
use crate::request::Outputs;

pub(super) const KIND: TextKind = TextKind {
    name: "classify_tokens",
    keys: &["engine", "adapter", "max_tokens", "aggregation"],
    about: "labelled spans of each text, with the characters that they cover",
    names_beside_others: &[],
    build,
};

#[derive(Debug)]
struct ClassifyTokens {
    labels: Vec<String>,
    aggregation: Aggregation,
}

fn build(files: &ModelFiles, settings: &TaskSettings) -> Result<BuiltTask, TaskError> {
    let classifier = files.classifier(Level::Token)?;
    let task = ClassifyTokens {
        labels: classifier.labels,
        aggregation: settings.aggregation.unwrap_or_default(),
    };
    Ok(BuiltTask::new(task, classifier.head))
}

impl EncoderTask for ClassifyTokens {
    /// `text: string[N] -> row: i32[S], start: i32[S], end: i32[S], label: string[S],
    /// score: float[S]`
    fn signature(&self, _: usize) -> Signature {
        let of_spans = |name, element| port(name, element, vec![symbol("S")]);
        Signature {
            inputs: vec![texts()],
            outputs: vec![
                of_spans(ROW, ElementType::I32),
                of_spans(START, ElementType::I32),
                of_spans(END, ElementType::I32),
                of_spans(LABEL, ElementType::String),
                of_spans(SCORE, ElementType::F32),
            ],
            parameters: Vec::new(),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let word = Aggregation::WORDS.iter();
        let mut own = word.filter(|(_, aggregation)| *aggregation == self.aggregation);
        let own = own.next().map(|(word, _)| *word);
        let words = Aggregation::WORDS.iter().map(|(word, _)| *word);
        vec![Parameter::word(AGGREGATION, own, words)]
    }

    fn has_windows(&self) -> bool {
        true
    }

    fn has_token_vectors(&self) -> bool {
        true
    }

    fn score_kind(&self, _: &CallSettings, _: usize) -> Option<ScoreKind> {
        Some(ScoreKind::Softmax)
    }

    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError> {
        let aggregation = form.aggregation.unwrap_or(self.aggregation);
        let (mut row, mut start, mut end) = (Vec::new(), Vec::new(), Vec::new());
        let (mut label, mut score) = (Vec::new(), Vec::new());
        let mut rest = rows.as_slice();
        for (number, text) in (0i32..).zip(&form.origins.windows) {
            let (rows, others) = rest.split_at(text.rows());
            rest = others;
            let mut scores = Vec::with_capacity(text.places.len() * self.labels.len());
            for (row, at) in text.best_rows() {
                let first = scores.len();
                let logits = rows[row].iter().nth(at).unwrap_or_default();
                scores.extend_from_slice(logits);
                ScoreKind::Softmax.apply(&mut scores[first..]);
            }
            for span in spans(&text.places, &scores, &self.labels, aggregation) {
                row.push(number);
                start.push(i32::try_from(span.place.start).unwrap_or(i32::MAX));
                end.push(i32::try_from(span.place.end).unwrap_or(i32::MAX));
                label.push(span.label);
                score.push(span.score);
            }
        }
        let count = vec![row.len()];
        Ok(vec![
            (ROW, Tensor::from_values(count.clone(), row)?),
            (START, Tensor::from_values(count.clone(), start)?),
            (END, Tensor::from_values(count.clone(), end)?),
            (LABEL, Tensor::strings(label)),
            (SCORE, Tensor::from_values(count, score)?),
        ])
    }
}

//! The differences between the tasks that have an encoder.

use std::fmt::Debug;
use std::sync::Arc;

use motet_config::{Span, Spanned};
use motet_models::{
    Aggregation, Head, LoadError, ModelFiles, Pooling, ScoreKind, TextRole, Values, scale_to_unit,
};
use motet_proto::TensorError;
use motet_proto::signature::{Parameter, Signature};

use super::call_settings::CallSettings;
use super::ports::TEXT;
use super::row_origins::RowOrigins;
use super::vector_dtype::VectorDtype;
use super::zero_shot::HypothesisTemplate;
use crate::request::{Inputs, Outputs};

/// A task with an encoder: which texts are its rows, and what its vectors become.
pub(crate) trait EncoderTask: Debug + Send + Sync {
    /// Returns the ports of a model with vectors of `size` values.
    fn signature(&self, size: usize) -> Signature;

    /// Returns the texts of the encoder's rows.
    fn rows<'i>(&self, inputs: &'i Inputs) -> Vec<RowText<'i>> {
        inputs.texts(TEXT).into_iter().map(RowText::One).collect()
    }

    /// Returns the field of the request that holds the text of a row, for errors.
    fn field(&self, row: usize) -> String {
        format!("{TEXT}[{row}]")
    }

    /// Returns the field of the request that holds the first text of a row's pair.
    fn first_field(&self, row: usize) -> String {
        self.field(row)
    }

    /// Returns whether the prompt of a call stands before the text of a row, or the first of its
    /// pair.
    fn has_prompt(&self, _row: usize) -> bool {
        true
    }

    /// Returns what the text of a row is in late interaction, in a call whose texts are of the
    /// role `of_call`; `None` for a task without it.
    fn role(&self, _row: usize, _of_call: TextRole) -> Option<TextRole> {
        None
    }

    /// Returns the number of rows before that of the first text.
    fn query_rows(&self) -> usize {
        0
    }

    /// Returns the settings of a call that are the task's own.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Returns whether a text that is longer than a row becomes several rows instead of being cut.
    fn has_windows(&self) -> bool {
        false
    }

    /// Returns the template of the hypotheses about a text, if each text is in a row with each of
    /// the hypotheses that the labels of the call make.
    fn hypotheses(&self) -> Option<&HypothesisTemplate> {
        None
    }

    /// Returns whether a call holds a vector for each token until its response is built.
    fn has_token_vectors(&self) -> bool;

    /// Returns how logits become the scores of the response to a call with so many labels of its
    /// own, if it has scores of that kind.
    fn score_kind(&self, _settings: &CallSettings, _labels: usize) -> Option<ScoreKind> {
        None
    }

    /// Returns whether vectors are what is answered, in the form that a call may choose.
    fn answers_vectors(&self) -> bool {
        false
    }

    /// Returns whether a call may ask for the first values of each vector alone.
    fn has_dimensions(&self) -> bool {
        self.answers_vectors()
    }

    /// Returns the output tensors of a call. `rows` are the encoder's results in the order of
    /// [`rows`](Self::rows); each holds one or several vectors of one size.
    ///
    /// # Errors
    /// Values that do not fill the tensor's shape, which would be a defect.
    fn outputs(&self, rows: Vec<Values>, form: &AnswerForm<'_>) -> Result<Outputs, TensorError>;
}

/// Form of the answer to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerForm<'c> {
    pub(crate) vectors: VectorForm,
    /// Kind of scores, if the call says so.
    pub(crate) score: Option<ScoreKind>,
    /// Aggregation of tokens to spans, if the call says so.
    pub(crate) aggregation: Option<Aggregation>,
    /// `true` if each label is scored by itself, if the call says so.
    pub(crate) multi_label: Option<bool>,
    /// The texts of the rows.
    pub(crate) origins: &'c RowOrigins,
}

/// Form in which vectors are answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VectorForm {
    /// Number of values: the first ones of each vector.
    pub(crate) size: usize,
    /// `true` if these are scaled to length 1.
    pub(crate) normalize: bool,
}

impl VectorForm {
    /// Appends a vector in this form.
    pub(crate) fn append(self, vector: &[f32], values: &mut Vec<f32>) {
        let start = values.len();
        values.extend_from_slice(&vector[..self.size]);
        if self.normalize {
            scale_to_unit(&mut values[start..]);
        }
    }
}

/// The texts that are encoded as one row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowText<'i> {
    One(&'i str),
    /// The second is cut where both are too long.
    Pair(&'i str, &'i str),
}

impl<'i> RowText<'i> {
    /// Returns the texts.
    pub(crate) fn texts(self) -> impl Iterator<Item = &'i str> {
        let (first, second) = match self {
            Self::One(text) => (text, None),
            Self::Pair(first, second) => (first, Some(second)),
        };
        std::iter::once(first).chain(second)
    }
}

/// Refuses a model of sparse vectors for a task with dense ones.
///
/// # Errors
/// If the model's files say that it gives sparse vectors.
pub(super) fn refuse_sparse(files: &ModelFiles) -> Result<(), TaskError> {
    if files.config().sparse.is_none() {
        return Ok(());
    }
    Err(other_task(
        files,
        "modules.json",
        "the module SpladePooling says that the model gives sparse vectors, which are those of \
         the task `embed_sparse`",
    ))
}

/// Refuses a model of token vectors for a task with one vector of each text.
///
/// # Errors
/// If the model's files say that it gives token vectors.
pub(super) fn refuse_token_vectors(files: &ModelFiles) -> Result<(), TaskError> {
    let Some(file) = files.config().token_vectors_file() else {
        return Ok(());
    };
    Err(other_task(
        files,
        file,
        "it says that the model gives a vector for each token (ColBERT), which are those \
         of the tasks `embed_tokens` and `rerank`",
    ))
}

fn other_task(files: &ModelFiles, file: &str, reason: &str) -> TaskError {
    TaskError::Model(LoadError::Unsupported {
        model: files.source().clone(),
        file: file.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Makes the task of a model of its files and of the settings of its configuration.
pub(crate) type BuildTask = fn(&ModelFiles, &TaskSettings) -> Result<BuiltTask, TaskError>;

/// The task of one model.
#[derive(Clone, Debug)]
pub(crate) struct BuiltTask {
    pub(crate) task: Arc<dyn EncoderTask>,
    /// Head with which the encoder computes each row.
    pub(crate) head: Head,
}

impl BuiltTask {
    pub(super) fn new(task: impl EncoderTask + 'static, head: Head) -> Self {
        Self {
            task: Arc::new(task),
            head,
        }
    }
}

/// Settings of the configuration for the rows and results of a model; `None` is what its own files
/// say.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskSettings {
    pub(crate) pooling: Option<Spanned<Pooling>>,
    pub(crate) normalize: Option<bool>,
    /// Type in which vectors are answered.
    pub(crate) output_dtype: Option<Spanned<VectorDtype>>,
    /// The label whose score is that of a text.
    pub(crate) label: Option<Spanned<String>>,
    /// `true` if each text comes with a second one.
    pub(crate) pair: bool,
    /// Aggregation of tokens to spans.
    pub(crate) aggregation: Option<Aggregation>,
    /// Template of hypotheses.
    pub(crate) hypothesis_template: Option<HypothesisTemplate>,
    /// `true` if each label is scored by itself.
    pub(crate) multi_label: bool,
}

/// A task that a model cannot have.
#[derive(Debug)]
pub(crate) enum TaskError {
    /// By the model's files.
    Model(LoadError),
    /// By a setting of the configuration.
    Setting {
        key: &'static str,
        span: Span,
        message: String,
    },
}

impl From<LoadError> for TaskError {
    fn from(error: LoadError) -> Self {
        Self::Model(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_cut_and_then_scaled_again() {
        let check = |vector: &[f32], size: usize, normalize: bool, expected: &[f32]| {
            let mut values = vec![7.0];
            VectorForm { size, normalize }.append(vector, &mut values);
            assert_eq!(values.remove(0), 7.0);
            let close = values
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(
                close && values.len() == expected.len(),
                "{values:?} {expected:?}"
            );
        };
        let unit = [3.0 / 13.0, 4.0 / 13.0, 12.0 / 13.0];
        check(&unit, 2, true, &[0.6, 0.8]);
        check(&unit, 3, true, &unit);
        check(&unit, 2, false, &unit[..2]);
        check(&[3.0, 4.0, 12.0], 3, true, &unit);
        check(&[0.0, 0.0, 1.0], 2, true, &[0.0, 0.0]);
    }
}

//! Texts to token ids before the batcher, vectors to tensors after it.

use std::ops::Range;
use std::sync::Arc;

use motet_models::{PairError, Prompts, TokenIds, Tokenizer, TruncationSide, Values};
use motet_proto::TensorError;
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::oip::truncation::{QUERY_TOKENS_CUT, TOKENS_CUT, TOKENS_CUT_AT_LEAST};
use motet_runtime::status::{Reason, invalid_argument, resource_exhausted};
use tonic::Status;

use super::call_settings::{CallDefaults, CallSettings, Truncate};
use super::encoder_task::RowText;
use super::ports::LABELS;
use super::row_origins::RowOrigins;
use super::windowed_text::WindowedText;
use super::{AnswerForm, ModelTasks, VectorForm};
use crate::cpu_pool::slices;
use crate::limits::Limits;
use crate::request::{Inputs, Outputs, Parameters};

/// Texts to token ids, vectors to tensors. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TextCodec {
    pub(crate) tasks: ModelTasks,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// Settings of a call that says nothing else.
    pub(crate) defaults: CallDefaults,
    /// Prompts by name.
    pub(crate) prompts: Arc<Prompts>,
    /// `true` if the tokens of a prompt are pooled.
    pub(crate) pools_prompt: bool,
    pub(crate) limits: Limits,
}

/// Rows of a call.
#[derive(Debug, Default)]
pub(super) struct Tokenized {
    pub(super) rows: Vec<TokenIds>,
    /// The texts that these are made of.
    pub(super) origins: RowOrigins,
}

/// The lengths of rows, and how many tokens each lacks.
#[derive(Debug, Default)]
pub(super) struct RowCuts {
    /// Number of rows.
    pub(super) count: usize,
    /// Number of their tokens.
    pub(super) tokens: usize,
    /// The rows that were cut, by their number, each with the number of tokens cut.
    cuts: Vec<(usize, usize)>,
    /// `true` if more was cut of one of them than its number says.
    at_least: bool,
}

impl RowCuts {
    pub(super) fn of(rows: &[TokenIds]) -> Self {
        let numbered = rows.iter().enumerate();
        let cut = numbered.filter(|(_, row)| row.truncated());
        Self {
            count: rows.len(),
            tokens: rows.iter().map(TokenIds::len).sum(),
            cuts: cut.map(|(number, row)| (number, row.cut())).collect(),
            at_least: rows.iter().any(TokenIds::cut_at_least),
        }
    }

    /// Adds rows that follow.
    pub(super) fn append(&mut self, other: Self) {
        let first = self.count;
        let cuts = other.cuts.into_iter();
        self.cuts
            .extend(cuts.map(|(number, cut)| (first + number, cut)));
        self.count += other.count;
        self.tokens += other.tokens;
        self.at_least |= other.at_least;
    }
}

impl FromIterator<Self> for Tokenized {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.rows.extend(part.rows);
            all.origins.append(part.origins);
        }
        all
    }
}

impl TextCodec {
    /// Returns the settings of a call that wants the outputs of these names, all if there are none.
    ///
    /// # Errors
    /// As [`CallDefaults::of_call`].
    pub(super) fn settings(
        &self,
        parameters: &Parameters,
        outputs: &[String],
    ) -> Result<CallSettings, Status> {
        let tasks = self.tasks.wanted(outputs);
        self.defaults
            .of_call(parameters, &self.prompts, &self.tokenizer, tasks)
    }

    /// Estimates the work of [`tokenize`](Self::tokenize), in the unit of [`Tokenizer::cost`]. Also
    /// returns the number of texts or pairs.
    pub(super) fn tokenization_cost(
        &self,
        inputs: &Inputs,
        settings: &CallSettings,
    ) -> (usize, usize) {
        let rows = self.tasks.first().rows(inputs);
        let count = rows.len();
        let prompts = match &*settings.prompt.text {
            "" => 0,
            prompt => rows.len() * self.tokenizer.cost(prompt),
        };
        let texts = rows.into_iter().flat_map(RowText::texts);
        let texts = texts.chain(self.labels(inputs));
        let cost = prompts + texts.map(|text| self.tokenizer.cost(text)).sum::<usize>();
        (cost, count)
    }

    /// Returns the rows in parts that take a few milliseconds each to tokenize.
    pub(super) fn slices(&self, inputs: &Inputs, settings: &CallSettings) -> Vec<Range<usize>> {
        let rows = self
            .tasks
            .first()
            .rows(inputs)
            .into_iter()
            .map(RowText::texts);
        // A text with hypotheses is a row with each.
        let labels = TEXT_OVERHEAD_BYTES * self.labels(inputs).len();
        row_slices(rows, settings.prompt.text.len() + labels)
    }

    /// Returns the labels that a call gives, for a task with hypotheses.
    fn labels<'i>(&self, inputs: &'i Inputs) -> Vec<&'i str> {
        match self.tasks.first().hypotheses() {
            Some(_) => inputs.texts(LABELS),
            None => Vec::new(),
        }
    }

    /// Returns the token ids of the encoder's rows in this range.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a text that the tokenizer refuses, a pair whose first text leaves no
    /// room for the second, and a text that is longer than the limit where the call wants no text
    /// to be cut.
    pub(super) fn tokenize(
        &self,
        inputs: &Inputs,
        settings: &CallSettings,
        slice: Range<usize>,
    ) -> Result<Tokenized, Status> {
        let rows = self.tasks.first().rows(inputs).into_iter().enumerate();
        let rows = rows.skip(slice.start).take(slice.len());
        if let Some(template) = self.tasks.first().hypotheses() {
            let template = settings.hypothesis_template.as_ref().unwrap_or(template);
            let texts = rows.flat_map(|(row, text)| text.texts().map(move |text| (row, text)));
            return self.tokenize_hypotheses(inputs, texts, template, settings);
        }
        if self.tasks.first().has_windows() {
            let windows = |(row, text)| self.tokenize_windows(row, text, settings);
            return rows.map(windows).collect();
        }
        let rows = rows.map(|(row, text)| self.tokenize_row(row, text, settings));
        Ok(Tokenized {
            rows: rows.collect::<Result<_, Status>>()?,
            origins: RowOrigins::default(),
        })
    }

    /// Returns the rows of a text that is not cut.
    fn tokenize_windows(
        &self,
        row: usize,
        text: RowText<'_>,
        settings: &CallSettings,
    ) -> Result<Tokenized, Status> {
        let mut all = Tokenized::default();
        for text in text.texts() {
            let windowed = WindowedText::new(text, &self.tokenizer, settings.max_tokens);
            let (text, rows) = windowed.map_err(|error| {
                invalid_argument(self.tasks.first().field(row), error.to_string())
            })?;
            all.origins.windows.push(text);
            all.rows.extend(rows);
        }
        Ok(all)
    }

    /// Returns the field of the request that holds the text of a row.
    pub(super) fn field(&self, row: usize, origins: &RowOrigins) -> String {
        self.tasks.first().field(origins.text_of(row))
    }

    fn tokenize_row(
        &self,
        row: usize,
        text: RowText<'_>,
        settings: &CallSettings,
    ) -> Result<TokenIds, Status> {
        let CallSettings {
            max_tokens,
            truncate,
            prompt,
            ..
        } = settings;
        let has_prompt = self.tasks.first().has_prompt(row);
        let roles = self.tasks.iter();
        let role = roles
            .filter_map(|task| task.task.role(row, settings.role))
            .next();
        let prompt_text = match role {
            _ if has_prompt => &*prompt.text,
            Some(role) if self.tokenizer.has_roles() => self.prompts.of_role(role),
            _ => "",
        };
        let side = match truncate {
            Truncate::Error => TruncationSide::Right,
            Truncate::Cut(side) => *side,
        };
        let invalid =
            |field: String, message: String| -> Status { invalid_argument(field, message).into() };
        let ids = match text {
            RowText::One(text) => {
                let (tokenizer, most) = (&self.tokenizer, *max_tokens);
                let ids = match role {
                    Some(role) => tokenizer.encode_role(role, prompt_text, text, most, side),
                    None => tokenizer.encode_prompted(prompt_text, text, most, side),
                };
                ids.map_err(|error| invalid(self.tasks.first().field(row), error.to_string()))?
            }
            RowText::Pair(first, second) => self
                .tokenizer
                .encode_prompted_pair(prompt_text, first, second, *max_tokens, side)
                .map_err(|error| match error {
                    PairError::FirstTooLong { .. } => {
                        invalid(self.tasks.first().first_field(row), error.to_string())
                    }
                    _ => invalid(self.tasks.first().field(row), error.to_string()),
                })?,
        };
        if *truncate == Truncate::Error && ids.truncated() {
            let message = format!(
                "makes a row of {}{} tokens, special tokens and prompt included; the limit is \
                 {max_tokens}, and `truncate` is `error`",
                if ids.cut_at_least() { "at least " } else { "" },
                ids.len() + ids.cut()
            );
            return Err(invalid(self.tasks.first().field(row), message));
        }
        if self.pools_prompt || !has_prompt {
            return Ok(ids);
        }
        // Tokens cut on the left were the prompt's.
        let cut = if side == TruncationSide::Left {
            ids.cut()
        } else {
            0
        };
        Ok(ids.with_unpooled(prompt.tokens.saturating_sub(cut)))
    }

    /// Checks the number of tokens of a call.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED where the vectors of all tokens are over the limit.
    pub(super) fn check_tokens(
        &self,
        tokens: usize,
        settings: &CallSettings,
    ) -> Result<(), Status> {
        let limit = self.limits.token_vectors;
        if !self.has_token_vectors(settings) || tokens <= limit {
            return Ok(());
        }
        let message = format!(
            "the texts have {tokens} tokens; a call takes at most {limit}, send several calls"
        );
        Err(resource_exhausted(message, None)
            .reason(Reason::TooManyTokens)
            .with("limit", limit.to_string())
            .into())
    }

    fn has_token_vectors(&self, settings: &CallSettings) -> bool {
        let mut tasks = settings.tasks.iter().map(|number| self.tasks.get(*number));
        tasks.any(|task| task.task.has_token_vectors())
    }

    /// Number of values in the response to a call of `rows` rows, if it is known before they are
    /// encoded.
    pub(super) fn output_values(&self, rows: usize, settings: &CallSettings) -> Option<usize> {
        let sizes = settings
            .tasks
            .iter()
            .map(|number| self.tasks.get(*number).vector_size);
        (!self.has_token_vectors(settings)).then(|| rows * sizes.sum::<usize>())
    }

    /// Returns what is to be said of the tokens that were cut: the parameters of the response, by
    /// name.
    pub(super) fn cuts(
        &self,
        rows: &RowCuts,
        origins: &RowOrigins,
    ) -> Vec<(&'static str, ParameterChoice)> {
        if rows.cuts.is_empty() {
            return Vec::new();
        }
        let queries = self.tasks.first().query_rows().min(rows.count);
        // Of a text in rows with several labels, what the longest of these leaves no room for.
        let per_text = origins.labels.len().max(1);
        let mut of_texts = vec![0; (rows.count - queries).div_ceil(per_text)];
        let mut of_queries = 0;
        for (row, cut) in &rows.cuts {
            match row.checked_sub(queries) {
                Some(row) => of_texts[row / per_text] = (*cut).max(of_texts[row / per_text]),
                None => of_queries += cut,
            }
        }
        let mut cuts = Vec::new();
        if rows.cuts.iter().any(|(row, _)| *row >= queries) {
            let of_texts: Vec<String> = of_texts.iter().map(usize::to_string).collect();
            let of_texts = format!("[{}]", of_texts.join(","));
            cuts.push((TOKENS_CUT, ParameterChoice::StringParam(of_texts)));
        }
        if of_queries > 0 {
            let of_queries = i64::try_from(of_queries).unwrap_or(i64::MAX);
            cuts.push((QUERY_TOKENS_CUT, ParameterChoice::Int64Param(of_queries)));
        }
        if rows.at_least {
            cuts.push((TOKENS_CUT_AT_LEAST, ParameterChoice::BoolParam(true)));
        }
        cuts
    }

    /// Returns the output tensors of a call. Each row has a result for each task that is wanted.
    ///
    /// # Errors
    /// As [`EncoderTask::outputs`](super::EncoderTask::outputs).
    pub(super) fn outputs(
        &self,
        mut rows: Vec<Vec<Values>>,
        origins: &RowOrigins,
        settings: &CallSettings,
    ) -> Result<Outputs, TensorError> {
        let of_vectors = self.tasks.of_vectors();
        let mut outputs = Vec::new();
        for (place, number) in settings.tasks.iter().enumerate() {
            let of_task = rows.iter_mut().map(|row| std::mem::take(&mut row[place]));
            let of_task: Vec<Values> = of_task.collect();
            let task = self.tasks.get(*number);
            // A call sets the form of one task's vectors; those of others are as in the files.
            let (size, normalize) = match of_vectors == Some(*number) {
                true => (settings.dimensions, settings.normalize),
                false => (usize::MAX, task.normalize),
            };
            let form = AnswerForm {
                vectors: VectorForm {
                    size: size.min(task.vector_size),
                    normalize,
                },
                score: settings.score,
                aggregation: settings.aggregation,
                multi_label: settings.multi_label,
                origins,
            };
            let of_task = task.task.outputs(of_task, &form)?.into_iter();
            outputs.extend(of_task.map(|(name, tensor)| (task.name(name), tensor)));
        }
        Ok(outputs)
    }
}

/// Bytes of texts in a slice: one to three milliseconds of tokenizing where most words are of the
/// vocabulary's alphabet, ten times that in the worst case.
const SLICE_BYTES_MAX: usize = 32 << 10;
/// Bytes that a text counts for beside its own: empty texts take time, too.
const TEXT_OVERHEAD_BYTES: usize = 64;

/// Returns rows of texts in parts that take a few milliseconds each to tokenize, with a prompt of
/// so many bytes in each.
pub(super) fn row_slices<'t, T>(
    rows: impl Iterator<Item = T>,
    prompt_bytes: usize,
) -> Vec<Range<usize>>
where
    T: IntoIterator<Item = &'t str>,
{
    let cost = |texts: T| {
        let texts = texts.into_iter();
        let texts = texts.map(|text| TEXT_OVERHEAD_BYTES + text.len());
        prompt_bytes + texts.sum::<usize>()
    };
    slices(rows.map(cost), SLICE_BYTES_MAX)
}

//! Settings of a call: how its texts become tokens and in which form its vectors are answered.

use std::ops::RangeInclusive;
use std::sync::Arc;

use motet_models::{
    Aggregation, Prompts, ScoreKind, TextRole, Tokenizer, TokenizerError, TruncationSide,
};
use motet_proto::signature::Parameter;
use motet_proto::types::ElementType;
use motet_runtime::status::{Reason, invalid_argument, resource_exhausted};
use tonic::Status;

use super::ports::{
    ACTIVATION, AGGREGATION, DIMENSIONS, HYPOTHESIS_TEMPLATE, MAX_TOKENS, MULTI_LABEL, NORMALIZE,
    PROMPT, PROMPT_NAME, TRUNCATE, vector_parameters,
};
use super::zero_shot::HypothesisTemplate;
use crate::request::Parameters;

/// Most bytes of a prompt that a call or a configuration gives: it counts for each row.
pub(crate) const PROMPT_BYTES_MAX: usize = 4096;

/// Treatment of a text that is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncate {
    /// The call is refused.
    Error,
    /// The text is cut.
    Cut(TruncationSide),
}

impl Truncate {
    /// The words of configurations and requests.
    pub(crate) const WORDS: [(&'static str, Self); 3] = [
        ("error", Self::Error),
        ("right", Self::Cut(TruncationSide::Right)),
        ("left", Self::Cut(TruncationSide::Left)),
    ];

    fn word(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, truncate)| *truncate == self);
        word.map_or("", |(word, _)| word)
    }

    fn of_word(word: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, truncate)| *truncate)
    }
}

/// Prompt before each text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// Empty if there is none.
    pub(crate) text: Arc<str>,
    /// Tokens at the beginning of a row that are the prompt's; 0 if there is none.
    pub(crate) tokens: usize,
}

impl Prompt {
    pub(crate) fn new(text: &str, tokenizer: &Tokenizer) -> Result<Self, TokenizerError> {
        let tokens = match text {
            "" => 0,
            text => tokenizer.count_prompt(text)?,
        };
        Ok(Self {
            text: text.into(),
            tokens,
        })
    }

    /// Returns whether a row of at most `max_tokens` has room for a token beside the prompt's and
    /// the special ones.
    pub(crate) fn fits(&self, max_tokens: usize) -> bool {
        // The prompt's tokens are counted with the special ones but for the one at the end.
        self.text.is_empty() || self.tokens + 1 < max_tokens
    }
}

/// Settings that hold where a call says nothing else.
#[derive(Clone, Debug)]
pub(crate) struct CallDefaults {
    /// Maximum tokens of a row, special tokens included.
    pub(crate) max_tokens: usize,
    pub(crate) truncate: Truncate,
    pub(crate) prompt: Prompt,
    /// Role of texts in late interaction.
    pub(crate) role: TextRole,
    /// `true` if vectors are scaled to length 1.
    pub(crate) normalize: bool,
}

/// Settings of one call.
#[derive(Clone, Debug)]
pub(crate) struct CallSettings {
    pub(crate) max_tokens: usize,
    pub(crate) truncate: Truncate,
    pub(crate) prompt: Prompt,
    /// Role of texts in late interaction, by the name of the prompt.
    pub(crate) role: TextRole,
    /// Values of a vector that are answered; all if there are fewer.
    pub(crate) dimensions: usize,
    pub(crate) normalize: bool,
    /// Kind of scores; that of the task if `None`.
    pub(crate) score: Option<ScoreKind>,
    /// Aggregation of tokens to spans; that of the task if `None`.
    pub(crate) aggregation: Option<Aggregation>,
    /// Numbers of the model's tasks whose outputs are wanted.
    pub(crate) tasks: Arc<[usize]>,
    /// Template of hypotheses; that of the task if `None`.
    pub(crate) hypothesis_template: Option<HypothesisTemplate>,
    /// `true` if each label is scored by itself; as the task says if `None`.
    pub(crate) multi_label: Option<bool>,
}

/// Word for the activation that the model's files say.
const DEFAULT: &str = "default";

/// Returns the kind of scores that a call names; `None` for that of the model.
pub(crate) fn score_kind(word: &str) -> Option<ScoreKind> {
    let mut kinds = ScoreKind::ALL.into_iter();
    kinds.find(|kind| kind.as_str() == word)
}

/// Returns the parameter that says how the logits of so many labels become scores. A softmax over
/// one would always be 1.
pub(crate) fn activation(labels: usize) -> Parameter {
    let kinds = ScoreKind::ALL.into_iter();
    let kinds = kinds.filter(|kind| labels > 1 || *kind != ScoreKind::Softmax);
    let words = std::iter::once(DEFAULT).chain(kinds.map(ScoreKind::as_str));
    Parameter::word(ACTIVATION, Some(DEFAULT), words)
}

impl CallDefaults {
    /// Returns the parameters of a task that takes all of each text.
    pub(crate) fn window_parameters(&self, least_tokens: usize) -> Vec<Parameter> {
        let [least, most] = [least_tokens, self.max_tokens].map(|tokens| tokens as i64);
        vec![Parameter::int(MAX_TOKENS, most, least, most)]
    }

    /// Returns the parameters of a task that cuts texts, with those of `prompts` if it has these.
    pub(crate) fn text_parameters(
        &self,
        least_tokens: usize,
        prompts: Option<&Prompts>,
    ) -> Vec<Parameter> {
        let words = Truncate::WORDS.iter().map(|(word, _)| *word);
        let mut parameters = self.window_parameters(least_tokens);
        parameters.push(Parameter::word(TRUNCATE, Some(self.truncate.word()), words));
        let Some(prompts) = prompts else {
            return parameters;
        };
        let names = prompts.by_name.keys().map(String::as_str);
        if !prompts.by_name.is_empty() {
            parameters.push(Parameter::word(PROMPT_NAME, None, names));
        }
        parameters.push(Parameter {
            default: Some(self.prompt.text.as_ref().into()),
            ..Parameter::new(PROMPT, ElementType::String)
        });
        parameters
    }

    /// Returns the parameters of a task that answers vectors in an output of this name, of which a
    /// call may ask for the first of `size` values.
    pub(crate) fn vector_parameters(&self, output: &str, size: Option<usize>) -> Vec<Parameter> {
        vector_parameters(output, size, self.normalize)
    }

    /// Returns the settings of a call for the tasks with these numbers.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a prompt and a name of one in the same call, an unknown name, a prompt
    /// that leaves no room for a text, and a template without a place for a label;
    /// RESOURCE_EXHAUSTED for a prompt that is too long.
    pub(crate) fn of_call(
        &self,
        parameters: &Parameters,
        prompts: &Prompts,
        tokenizer: &Tokenizer,
        tasks: Arc<[usize]>,
    ) -> Result<CallSettings, Status> {
        let max_tokens = parameters.count(MAX_TOKENS).unwrap_or(self.max_tokens);
        let truncate = parameters.text(TRUNCATE).and_then(Truncate::of_word);
        let role = parameters.text(PROMPT_NAME).map(TextRole::of_prompt);
        let (field, prompt) = match (parameters.text(PROMPT_NAME), parameters.text(PROMPT)) {
            (Some(_), Some(_)) => {
                let message = format!("`{PROMPT}` and `{PROMPT_NAME}` are both given; give one");
                return Err(invalid_argument(PROMPT, message).into());
            }
            (Some(name), None) => {
                let prompt = prompts.named(name);
                let prompt = prompt.map_err(|e| invalid_argument(PROMPT_NAME, e.to_string()))?;
                (PROMPT_NAME, Some(prompt))
            }
            (None, prompt) => (PROMPT, prompt),
        };
        if let Some(bytes) = prompt.map(str::len)
            && bytes > PROMPT_BYTES_MAX
            && field == PROMPT
        {
            let message =
                format!("{PROMPT}: {bytes} bytes; a prompt has at most {PROMPT_BYTES_MAX}");
            return Err(resource_exhausted(message, None)
                .reason(Reason::TextTooLong)
                .field(PROMPT, format!("{bytes} bytes"))
                .with("limit", PROMPT_BYTES_MAX.to_string())
                .into());
        }
        let prompt = match prompt {
            None => self.prompt.clone(),
            Some(text) => Prompt::new(text, tokenizer)
                .map_err(|error| invalid_argument(field, error.to_string()))?,
        };
        if !prompt.fits(max_tokens) {
            let tokens = prompt.tokens;
            let message = format!(
                "the prompt has {tokens} tokens with the special ones before it, which leaves no \
                 room for a text in the limit of {max_tokens}"
            );
            return Err(invalid_argument(field, message).into());
        }
        let template = parameters.text(HYPOTHESIS_TEMPLATE).map(|text| {
            let template = HypothesisTemplate::parse(text);
            template.map_err(|message| Status::from(invalid_argument(HYPOTHESIS_TEMPLATE, message)))
        });
        Ok(CallSettings {
            max_tokens,
            truncate: truncate.unwrap_or(self.truncate),
            prompt,
            role: role.unwrap_or(self.role),
            dimensions: parameters.count(DIMENSIONS).unwrap_or(usize::MAX),
            normalize: parameters.flag(NORMALIZE).unwrap_or(self.normalize),
            score: parameters.text(ACTIVATION).and_then(score_kind),
            aggregation: parameters.text(AGGREGATION).and_then(|word| {
                let mut words = Aggregation::WORDS.iter();
                let found = words.find(|(known, _)| *known == word);
                found.map(|(_, aggregation)| *aggregation)
            }),
            tasks,
            hypothesis_template: template.transpose()?,
            multi_label: parameters.flag(MULTI_LABEL),
        })
    }
}

/// Returns the range of `max_tokens`: at least one token beside the special ones.
pub(crate) fn max_tokens_range(tokenizer: &Tokenizer, most: usize) -> RangeInclusive<usize> {
    tokenizer.special_tokens() + 1..=most
}

//! `preprocess`: texts to chunks.

use std::ops::Range;
use std::sync::Arc;

use motet_batcher::{BatchError, RowError};
use motet_config::{Span, Spanned, list_of, nearest, truncated};
use motet_models::{Chunk, Chunker, ChunkerError, ChunkerOptions, Tokenizer};
use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::ElementType;
use motet_proto::{Tensor, TensorError};
use motet_runtime::status::{internal, invalid_argument};
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Status;

use super::WARM_UP_TEXT;
use super::keys::{NonEmpty, TextKeys};
use super::ports::{
    END, MAX_TOKENS, OVERLAP, SOURCE, START, TEXT, TOKENS, port, symbol, texts as text_port,
};
use super::text_codec::row_slices;
use crate::request::{Outputs, Parameters};
use crate::task::{
    Answer, Batching, BoxError, CheckContext, LoadContext, LoadedModel, OpenedText, Preparation,
    PreparedRow, PreparedRows, Problem, Request, Task, Worker,
};

/// The task `preprocess`.
pub(super) struct Preprocess;

/// The keys of the task.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Keys {
    /// The tokenizer that counts tokens: the name of another model of the file, or a source, which
    /// has a colon.
    #[serde(default)]
    tokenizer: Option<Spanned<NonEmpty>>,
}

/// A model that splits texts and was checked.
#[derive(Clone, Debug)]
pub(crate) struct CheckedSplit {
    tokenizer: Arc<Tokenizer>,
    /// Options of a call that sets no parameters.
    default: ChunkerOptions,
}

impl Task for Preprocess {
    const NAME: &'static str = "preprocess";
    const ABOUT: &'static str = "cleans texts and splits them into chunks by tokens";
    const MODEL_KEYS: &'static [&'static str] = &["source"];

    type Config = Keys;
    type Checked = CheckedSplit;
    type Model = Splitter;

    fn key_schema(_: &str) -> Value {
        json!({
            "type": "string",
            "description": "for preprocess: a model of this file, or a source",
        })
    }

    fn check(
        keys: &Keys,
        context: &CheckContext<'_>,
    ) -> Result<(Signature, CheckedSplit), Vec<Problem>> {
        let choice = choose(keys, context)?;
        let (files, tokenizer) = choice.opened;
        let max_tokens = choice.max_tokens.unwrap_or(usize::MAX);
        let max_tokens = max_tokens.min(files.config().max_tokens);
        let chunk_tokens_max = max_tokens.saturating_sub(tokenizer.special_tokens());
        let min = ChunkerOptions::MAX_TOKENS_MIN;
        if chunk_tokens_max < min {
            let message = format!(
                "the model takes {chunk_tokens_max} tokens of text in a row; \
                 chunks need at least {min}"
            );
            return Err(vec![context.problem(choice.key, choice.span, message)]);
        }
        let default = default_chunks(chunk_tokens_max);
        let signature = signature(default, chunk_tokens_max);
        Ok((signature, CheckedSplit { tokenizer, default }))
    }

    fn load(checked: CheckedSplit, _: &LoadContext) -> Result<Splitter, BoxError> {
        let CheckedSplit { tokenizer, default } = checked;
        Ok(Splitter { tokenizer, default })
    }
}

/// The tokenizer of a splitter.
struct TokenizerChoice {
    /// The key that names it, and where.
    key: &'static str,
    span: Span,
    opened: OpenedText,
    /// The `max_tokens` of the model that it was taken from.
    max_tokens: Option<usize>,
}

/// Returns the tokenizer that a configuration names.
fn choose(keys: &Keys, context: &CheckContext<'_>) -> Result<TokenizerChoice, Vec<Problem>> {
    let of_source = |key, source: &Spanned<String>| {
        let opened = context.text_model(key, source);
        Ok(TokenizerChoice {
            key,
            span: source.span,
            opened: opened.map_err(|problem| vec![problem])?,
            max_tokens: None,
        })
    };
    let name = context.name();
    match (&keys.tokenizer, context.source()) {
        (Some(tokenizer), None) => {
            let tokenizer = tokenizer.clone().map(|text| text.0);
            match tokenizer.value.contains(':') {
                true => of_source("tokenizer", &tokenizer),
                false => of_model(&tokenizer, context),
            }
        }
        (None, Some(source)) => of_source("source", source),
        (None, None) => {
            let message = format!("model `{name}` needs `tokenizer`");
            let problem = context.problem("tokenizer", context.name_span(), message);
            Err(vec![problem.label("which tokens does it count?").help(
                "name a model of this file, or a source such as `builtin:all-minilm-l6-v2`",
            )])
        }
        (Some(_), Some(source)) => {
            let message = format!("model `{name}` has both `tokenizer` and `source`");
            let help = "a preprocessing model needs a tokenizer only: keep one of them";
            Err(vec![
                context.problem("source", source.span, message).help(help),
            ])
        }
    }
}

/// Returns the tokenizer of another model of the configuration, whose own mistakes are reported
/// there.
fn of_model(
    name: &Spanned<String>,
    context: &CheckContext<'_>,
) -> Result<TokenizerChoice, Vec<Problem>> {
    let mut models = context.models().iter();
    let Some(other) = models.find(|model| model.name.value == name.value) else {
        let names = context.models().iter().map(|model| &*model.name.value);
        let others: Vec<&str> = names.filter(|other| *other != context.name()).collect();
        let message = format!("no model is named `{}`", truncated(&name.value));
        let problem = context.problem("tokenizer", name.span, message);
        let near = nearest(&name.value, others.iter().copied());
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", list_of(&others)),
        };
        return Err(vec![problem.help(help)]);
    };
    let Some(source) = other.source else {
        let (name_span, name) = (name.span, truncated(&name.value));
        let message = format!("model `{name}` has no `source` to take a tokenizer from");
        return Err(vec![context.problem("tokenizer", name_span, message)]);
    };
    let opened = context.text_model("tokenizer", source);
    Ok(TokenizerChoice {
        key: "tokenizer",
        span: name.span,
        opened: opened.map_err(|_| Vec::new())?,
        max_tokens: other.config().and_then(TextKeys::max_tokens),
    })
}

/// Returns the ports and parameters of a splitter: `text: string[N] -> text: string[M], source,
/// start, end, tokens: i32[M]`. `default` is used where a call sets no parameters;
/// `chunk_tokens_max` is the largest `max_tokens`.
fn signature(default: ChunkerOptions, chunk_tokens_max: usize) -> Signature {
    let column = |name, element| port(name, element, vec![symbol("M")]);
    let int = |name, default: usize, min: usize, max: usize| {
        Parameter::int(name, default as i64, min as i64, max as i64)
    };
    let min = ChunkerOptions::MAX_TOKENS_MIN;
    Signature {
        inputs: vec![text_port()],
        outputs: vec![
            column(TEXT, ElementType::String),
            column(SOURCE, ElementType::I32),
            column(START, ElementType::I32),
            column(END, ElementType::I32),
            column(TOKENS, ElementType::I32),
        ],
        parameters: vec![
            int(MAX_TOKENS, default.max_tokens, min, chunk_tokens_max),
            int(OVERLAP, default.overlap, 0, chunk_tokens_max / 2),
        ],
    }
}

/// Returns the options of a call that sets no parameters: the usual ones, within what the model
/// takes.
fn default_chunks(chunk_tokens_max: usize) -> ChunkerOptions {
    let usual = ChunkerOptions::default();
    let max_tokens = usual.max_tokens.min(chunk_tokens_max);
    ChunkerOptions {
        max_tokens,
        overlap: usual.overlap.min(max_tokens / 2),
    }
}

/// Cleans texts and splits them on the compute pool, long calls in slices; there is nothing to
/// batch.
#[derive(Debug)]
pub(crate) struct Splitter {
    tokenizer: Arc<Tokenizer>,
    /// Options of a call that sets no parameters.
    default: ChunkerOptions,
}

impl Splitter {
    /// Returns the options of a call. A default overlap shrinks with `max_tokens`, one that the
    /// call sets does not.
    fn options(&self, parameters: &Parameters) -> ChunkerOptions {
        let max_tokens = parameters
            .count(MAX_TOKENS)
            .unwrap_or(self.default.max_tokens);
        let overlap = parameters
            .count(OVERLAP)
            .unwrap_or_else(|| self.default.overlap.min(max_tokens / 2));
        ChunkerOptions {
            max_tokens,
            overlap,
        }
    }
}

/// A call that was read.
#[derive(Debug)]
pub(crate) struct SplitCall {
    request: Request,
    chunker: Chunker,
}

impl LoadedModel for Splitter {
    type Row = ();
    /// The chunks of a text.
    type Output = Vec<Chunk>;
    type Call = SplitCall;
    type Part = ();

    fn begin(&self, request: Request) -> Result<SplitCall, Status> {
        let options = self.options(&request.parameters);
        let chunker = Chunker::new(self.tokenizer.clone(), options);
        let chunker = chunker
            .map_err(|error| invalid_argument(parameter(&error), error.to_string()).build())?;
        Ok(SplitCall { request, chunker })
    }

    fn preparation(&self, call: &SplitCall) -> Preparation {
        let texts = call.request.texts(TEXT);
        Preparation::Pool(row_slices(texts.into_iter().map(Some), 0))
    }

    fn rows(
        &self,
        call: &SplitCall,
        part: Range<usize>,
    ) -> Result<PreparedRows<(), Vec<Chunk>, ()>, Status> {
        let texts = call.request.texts(TEXT).into_iter().enumerate();
        let texts = texts.skip(part.start).take(part.len());
        let rows = texts.map(|(row, text)| {
            let chunks = call.chunker.split(text).map_err(|error| {
                Status::from(invalid_argument(
                    format!("{TEXT}[{row}]"),
                    error.to_string(),
                ))
            })?;
            Ok(PreparedRow::Known(chunks))
        });
        Ok(PreparedRows {
            rows: rows.collect::<Result<_, Status>>()?,
            part: (),
        })
    }

    fn run(
        &self,
        rows: &[&()],
        _: &Worker<'_>,
    ) -> Result<Vec<Result<Vec<Chunk>, RowError>>, BatchError> {
        let nothing = |_: &&()| {
            Err(RowError::Failed(
                "a text is split without a batch".to_owned(),
            ))
        };
        Ok(rows.iter().map(nothing).collect())
    }

    fn answer(&self, _: &SplitCall, _: Vec<()>, rows: Vec<Vec<Chunk>>) -> Result<Answer, Status> {
        let numbered = rows.into_iter().enumerate();
        let chunks = numbered.flat_map(|(row, chunks)| {
            let row = int32(row);
            chunks.into_iter().map(move |chunk| (row, chunk))
        });
        let outputs = outputs(&chunks.collect::<Vec<_>>());
        let outputs = outputs.map_err(|error| internal(error.to_string()).build())?;
        Ok(Answer::new(outputs))
    }

    fn batching(&self) -> Batching {
        Batching {
            is_batched: false,
            ..Batching::default()
        }
    }

    fn warm_up(&self) {
        // A text that the tokenizer refuses is reported to its caller.
        let _ = self.tokenizer.encode(WARM_UP_TEXT);
    }

    fn preparation_span(&self) -> tracing::Span {
        tracing::info_span!("preprocess")
    }
}

/// Returns the parameter that the chunker refuses.
fn parameter(error: &ChunkerError) -> &'static str {
    match error {
        ChunkerError::TooSmall { .. } | ChunkerError::TooLarge { .. } => MAX_TOKENS,
        ChunkerError::OverlapTooLarge { .. } => OVERLAP,
    }
}

/// Returns one column for each property of the chunks, which come with the row of their text.
fn outputs(chunks: &[(i32, Chunk)]) -> Result<Outputs, TensorError> {
    let column = |value: fn(&(i32, Chunk)) -> i32| {
        let values: Vec<i32> = chunks.iter().map(value).collect();
        Tensor::from_values(vec![values.len()], values)
    };
    let texts = Tensor::strings(chunks.iter().map(|(_, chunk)| &chunk.text));
    Ok(vec![
        (TEXT, texts),
        (SOURCE, column(|(source, _)| *source)?),
        (START, column(|(_, chunk)| int32(chunk.start))?),
        (END, column(|(_, chunk)| int32(chunk.end))?),
        (TOKENS, column(|(_, chunk)| int32(chunk.tokens))?),
    ])
}

/// Rows and positions are bounded far below `i32::MAX` by the limits of a message.
fn int32(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

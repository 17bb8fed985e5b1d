//! `preprocess`: texts to chunks.

use std::ops::Range;
use std::sync::Arc;

use motet_models::{Chunk, Chunker, ChunkerError, ChunkerOptions, Tokenizer};
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::Encoding;
use motet_proto::signature::{Parameter, Signature};
use motet_proto::types::ElementType;
use motet_proto::{Tensor, TensorError};
use motet_runtime::status::{internal, invalid_argument};
use tonic::Status;
use tracing::Span;

use super::ports::{
    END, MAX_TOKENS, OVERLAP, SOURCE, START, TEXT, TOKENS, port, symbol, texts as text_port,
};
use super::text_codec::row_slices;
use super::{Engine, TaskKind};
use crate::call_cost::CallCost;
use crate::cpu_pool::{CpuPool, Timed};
use crate::limits::Limits;
use crate::request::{Inputs, Outputs, Parameters, ResponseBuilder};
use crate::status_of;

pub(super) const KIND: TaskKind = TaskKind {
    name: "preprocess",
    keys: &[],
    about: "cleans texts and splits them into chunks by tokens",
    names_beside_others: &[],
    engine: Engine::Splitter,
};

/// Returns the ports and parameters of a splitter: `text: string[N] -> text: string[M], source,
/// start, end, tokens: i32[M]`. `default` is used where a call sets no parameters;
/// `chunk_tokens_max` is the largest `max_tokens`.
pub(crate) fn signature(default: ChunkerOptions, chunk_tokens_max: usize) -> Signature {
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
pub(crate) fn default_chunks(chunk_tokens_max: usize) -> ChunkerOptions {
    let usual = ChunkerOptions::default();
    let max_tokens = usual.max_tokens.min(chunk_tokens_max);
    ChunkerOptions {
        max_tokens,
        overlap: usual.overlap.min(max_tokens / 2),
    }
}

/// Cleans texts and splits them on the CPU pool, long calls in slices; there is nothing to batch.
#[derive(Debug)]
pub(crate) struct Splitter {
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// Options of a call that sets no parameters.
    pub(crate) default: ChunkerOptions,
    pub(crate) pool: CpuPool,
    pub(crate) limits: Limits,
}

impl Splitter {
    pub(super) async fn infer(
        &self,
        mut request: ModelInferRequest,
        signature: Arc<Signature>,
        parameters: Parameters,
        response: ResponseBuilder,
    ) -> Result<(ModelInferResponse, CallCost), Status> {
        let chunker = Chunker::new(self.tokenizer.clone(), self.options(&parameters))
            .map_err(|error| invalid_argument(parameter(&error), error.to_string()).build())?;
        let limits = self.limits;
        let span = tracing::info_span!("preprocess");
        let job = {
            let chunker = chunker.clone();
            move || {
                let (inputs, form) = Inputs::take(&mut request, &signature, &limits)?;
                let slices = row_slices(inputs.texts(TEXT).into_iter().map(Some), 0);
                let call = SplitCall {
                    inputs: Arc::new(inputs),
                    form,
                    response,
                };
                Ok::<_, Status>(match &slices[..] {
                    [all] => {
                        let chunks = split(&chunker, &call.inputs, all.clone())?;
                        Prepared::Answer(call.answer(&chunks)?)
                    }
                    _ => Prepared::Slices(call, slices),
                })
            }
        };
        let timed = self.run(span.clone(), job).await?;
        let (queue, mut infer) = (timed.waited, timed.ran);
        let (response, rows) = match timed.value {
            Prepared::Answer(answer) => answer,
            Prepared::Slices(call, slices) => {
                let inputs = call.inputs.clone();
                let split = move |slice| split(&chunker, &inputs, slice);
                let parts = self.pool.run_slices(span.clone(), slices, split).await;
                let parts = parts.map_err(|error| status_of::pool_error(&error).build())??;
                let answer = move || call.answer(&parts.value.concat());
                let timed = self.run(span, answer).await?;
                infer += parts.ran + timed.ran;
                timed.value
            }
        };
        let cost = CallCost {
            queue,
            infer,
            rows,
            ..CallCost::default()
        };
        Ok((response, cost))
    }

    /// Runs a job on the pool.
    async fn run<T: Send + 'static>(
        &self,
        span: Span,
        job: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<Timed<T>, Status> {
        let timed = self.pool.run(span, job).await;
        let timed = timed.map_err(|error| status_of::pool_error(&error).build())?;
        Ok(Timed {
            value: timed.value?,
            waited: timed.waited,
            ran: timed.ran,
        })
    }

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
struct SplitCall {
    inputs: Arc<Inputs>,
    form: Encoding,
    response: ResponseBuilder,
}

/// A call after its first job: the answer to a short one, with its rows, or the slices of a long
/// one.
enum Prepared {
    Answer((ModelInferResponse, usize)),
    Slices(SplitCall, Vec<Range<usize>>),
}

impl SplitCall {
    /// Returns the response with these chunks, and the number of texts.
    fn answer(self, chunks: &[(i32, Chunk)]) -> Result<(ModelInferResponse, usize), Status> {
        let outputs = outputs(chunks).map_err(|error| internal(error.to_string()).build())?;
        let rows = self.inputs.texts(TEXT).len();
        Ok((self.response.build(&outputs, self.form), rows))
    }
}

/// Returns the parameter that the chunker refuses.
fn parameter(error: &ChunkerError) -> &'static str {
    match error {
        ChunkerError::TooSmall { .. } | ChunkerError::TooLarge { .. } => MAX_TOKENS,
        ChunkerError::OverlapTooLarge { .. } => OVERLAP,
    }
}

/// Returns the chunks of the texts in this range, each with the row of its text.
fn split(
    chunker: &Chunker,
    inputs: &Inputs,
    slice: Range<usize>,
) -> Result<Vec<(i32, Chunk)>, Status> {
    let mut chunks = Vec::new();
    let texts = inputs.texts(TEXT).into_iter().enumerate();
    for (row, text) in texts.skip(slice.start).take(slice.len()) {
        let split = chunker.split(text).map_err(|error| {
            invalid_argument(format!("{TEXT}[{row}]"), error.to_string()).build()
        })?;
        chunks.extend(split.into_iter().map(|chunk| (int32(row), chunk)));
    }
    Ok(chunks)
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

//! Texts to vectors, through the batcher.

use std::sync::Arc;
use std::time::{Duration, Instant};

use motet_batcher::{Batcher, Call, CallTiming, Stats};
use motet_models::{RowEmbedding, RowOutput, TokenIds, Tokenizer};
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::Form;
use motet_proto::signature::Signature;
use motet_runtime::metrics::Watch;
use motet_runtime::status::{Reason, internal, invalid_argument, resource_exhausted};
use prost::Message;
use rayon::prelude::*;
use tonic::Status;
use tracing::Span;

use super::{Cost, Limits};
use crate::blueprint::Head;
use crate::call::{Inputs, Reply, Settings};
use crate::executor::EncodeRow;
use crate::pool::{Pool, run_here};
use crate::refusal;
use crate::trace::CallTrace;

/// Fewest texts that are worth a thread of their own.
const TEXTS_PER_THREAD_MIN: usize = 4;
/// A request of so many bytes is looked into by the thread that read it,
const REQUEST_BYTES_HERE_MAX: usize = 8192;
/// and its texts are tokenized there if they cost no more, in a quarter of a millisecond at most.
const TOKENIZER_COST_HERE_MAX: usize = 8192;
/// So many values are written by the thread that got them.
const VALUES_HERE_MAX: usize = 4096;

/// A task with an encoder behind a batcher.
#[derive(Debug)]
pub(crate) struct Encode {
    pub(crate) encoding: Encoding,
    pub(crate) batcher: Batcher<EncodeRow, RowEmbedding>,
    pub(crate) pool: Pool,
    /// The batcher's gauges, there for as long as it is.
    pub(crate) _watch: Watch,
}

/// What happens to a call's texts before and after the batcher.
#[derive(Clone, Debug)]
pub(crate) struct Encoding {
    pub(crate) head: Head,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) output: RowOutput,
    /// Longest row, special tokens included.
    pub(crate) max_tokens: usize,
    /// Length of a vector.
    pub(crate) size: usize,
    pub(crate) limits: Limits,
}

impl Encode {
    pub(super) async fn run(
        &self,
        request: ModelInferRequest,
        signature: Arc<Signature>,
        settings: Settings,
        reply: Reply,
    ) -> Result<(ModelInferResponse, Cost), Status> {
        let ((rows, form), input) = self.rows(request, signature).await?;
        let count = rows.len();
        let (rows, timing) = self.batch(rows, &settings).await?;
        let encoding = self.encoding.clone();
        let is_short = !encoding.head.keeps_tokens() && count * encoding.size <= VALUES_HERE_MAX;
        let assemble = move || {
            let outputs = encoding.head.assemble(rows, encoding.size);
            let outputs = outputs.map_err(|error| internal(error.to_string()).build())?;
            Ok(reply.tensors(&outputs, form))
        };
        let span = tracing::info_span!("assemble");
        let (response, output) = self.job(span, is_short, assemble).await?;
        let cost = Cost {
            queue: timing.queue_time,
            input,
            infer: timing.compute_time,
            output,
            rows: count,
            timing: Some(timing),
        };
        Ok((response, cost))
    }

    /// The encoder's rows, the form in which the request came, and how long they took.
    async fn rows(
        &self,
        mut request: ModelInferRequest,
        signature: Arc<Signature>,
    ) -> Result<((Vec<TokenIds>, Form), Duration), Status> {
        let encoding = self.encoding.clone();
        let span = tracing::info_span!("tokenize");
        if request.encoded_len() > REQUEST_BYTES_HERE_MAX {
            let prepare = move || {
                let (inputs, form) = Inputs::take(&mut request, &signature, &encoding.limits)?;
                Ok((encoding.tokenize(&inputs)?, form))
            };
            return self.job(span, false, prepare).await;
        }
        let started = Instant::now();
        let (inputs, form) = Inputs::take(&mut request, &signature, &encoding.limits)?;
        let is_short = encoding.cost(&inputs) <= TOKENIZER_COST_HERE_MAX;
        let read = started.elapsed();
        let tokenize = move || Ok((encoding.tokenize(&inputs)?, form));
        let (rows, tokenized) = self.job(span, is_short, tokenize).await?;
        Ok((rows, read + tokenized))
    }

    /// A job's result and how long it took, with its wait for a thread unless it `is_short` and needs none.
    async fn job<T: Send + 'static>(
        &self,
        span: Span,
        is_short: bool,
        job: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let done = if is_short {
            run_here(&span, job)
        } else {
            self.pool.run(span, job).await
        };
        let done = done.map_err(|error| refusal::pool(&error).build())?;
        Ok((done.value?, done.waited + done.ran))
    }

    /// Sends rows through the batcher; all of them have a result, or the call fails with the first that has none.
    async fn batch(
        &self,
        rows: Vec<TokenIds>,
        settings: &Settings,
    ) -> Result<(Vec<RowEmbedding>, CallTiming), Status> {
        let trace = CallTrace::queued();
        let row = |ids: TokenIds| {
            let tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            let (output, trace) = (self.encoding.output, trace.clone());
            (EncodeRow { ids, output, trace }, tokens)
        };
        let rows = rows.into_iter().map(row).collect();
        // Only the rows hold it from here on, so that its queue span ends with them.
        drop(trace);
        let call = Call {
            rows,
            deadline: settings.deadline.map(|at| at.instant().into_std()),
            priority: settings.priority,
            lookahead: settings.lookahead(),
        };
        let answer = self.batcher.submit(call).await;
        let answer = answer.map_err(|refused| refusal::refused(&refused).build())?;
        let rows = answer.rows.into_iter().enumerate().map(|(row, result)| {
            result.map_err(|e| refusal::row(&self.encoding.head.field(row), &e).build())
        });
        Ok((rows.collect::<Result<_, Status>>()?, answer.timing))
    }

    pub(super) fn stats(&self) -> Stats {
        self.batcher.stats()
    }

    pub(super) fn hurry(&self) {
        self.batcher.hurry();
    }

    pub(super) async fn drain(&self) {
        self.batcher.drain().await;
    }
}

impl Encoding {
    /// What it costs to tokenize a call's texts.
    fn cost(&self, inputs: &Inputs) -> usize {
        let texts = self.head.texts(inputs).into_iter();
        texts.map(|text| self.tokenizer.cost(text)).sum()
    }

    /// The token ids of the encoder's rows.
    fn tokenize(&self, inputs: &Inputs) -> Result<Vec<TokenIds>, Status> {
        let texts = self.head.texts(inputs);
        let encode = |(row, text): (usize, &&str)| {
            let ids = self.tokenizer.encode_within(text, self.max_tokens);
            ids.map_err(|e| invalid_argument(self.head.field(row), e.to_string()).build())
        };
        // On a thread of the pool its others help.
        let rows: Result<Vec<TokenIds>, Status> = if rayon::current_thread_index().is_some() {
            let texts = texts.par_iter().with_min_len(TEXTS_PER_THREAD_MIN);
            texts.enumerate().map(encode).collect()
        } else {
            texts.iter().enumerate().map(encode).collect()
        };
        let rows = rows?;
        let tokens: usize = rows.iter().map(TokenIds::len).sum();
        let limit = self.limits.token_vectors;
        if self.head.keeps_tokens() && tokens > limit {
            let message = format!(
                "the texts have {tokens} tokens; a call takes at most {limit}, send several calls"
            );
            return Err(resource_exhausted(message, None)
                .reason(Reason::TooManyTokens)
                .with("limit", limit.to_string())
                .into());
        }
        Ok(rows)
    }
}

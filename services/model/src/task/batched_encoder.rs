//! A call to an encoder, from request to response through the batcher.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use motet_batcher::{Batcher, Call, CallTiming, Flow};
use motet_models::{TokenIds, Values};
use motet_proto::inference::infer_parameter::ParameterChoice;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{Encoding, SCORE_KIND, parameter};
use motet_proto::signature::Signature;
use motet_runtime::flow;
use motet_runtime::metrics::{ModelMetrics, Watch};
use motet_runtime::status::internal;
use prost::Message;
use tonic::Status;
use tracing::Span;

use super::row_origins::RowOrigins;
use super::text_codec::Tokenized;
use super::{CallSettings, TextCodec};
use crate::call_cost::CallCost;
use crate::cpu_pool::{CpuPool, run_inline};
use crate::executor::{EncodeRow, ModelHeads};
use crate::request::{Inputs, Parameters, ResponseBuilder};
use crate::status_of;
use crate::token_vectors::Member;
use crate::trace::CallTrace;

/// Requests of up to this many bytes are read by the thread that received them.
const INLINE_REQUEST_BYTES_MAX: usize = 8192;
/// Texts of up to this tokenization cost (at most a quarter of a millisecond) are tokenized by the
/// thread that received them.
const INLINE_TOKENIZATION_COST_MAX: usize = 8192;
/// Rows of up to this many are looked up by the thread that received them: a microsecond or two
/// each.
const INLINE_LOOKUPS_MAX: usize = 256;
/// Responses of up to this many values are built by the thread that got the vectors.
const INLINE_VALUES_MAX: usize = 4096;

/// A request that has been read: the rows of a short one, the slices of a long one.
enum Prepared {
    Rows(Tokenized),
    Slices(Arc<Inputs>, Vec<Range<usize>>),
}

/// The rows of a call after the batcher.
struct Encoded {
    rows: Vec<EncodedRow>,
    timing: CallTiming,
    /// Number of tokens that were computed for the call.
    tokens: usize,
    /// Number of rows that another model had encoded.
    reused: usize,
}

/// A row after the batcher.
enum EncodedRow {
    /// The results of its heads.
    Computed(Vec<Values>),
    /// Its tokens, and their vectors.
    Known { ids: TokenIds, vectors: Arc<Values> },
}

impl EncodedRow {
    /// Returns the results of the heads of these tasks.
    fn results(self, heads: &ModelHeads, tasks: &[usize]) -> Vec<Values> {
        match self {
            Self::Computed(results) => results,
            Self::Known { ids, vectors } => {
                let head = |task: &usize| &heads.of_tasks[*task];
                let heads = tasks.iter().map(head);
                heads
                    .map(|head| head.of_token_vectors(&vectors, (&ids).into()))
                    .collect()
            }
        }
    }
}

/// A running model with an encoder.
#[derive(Debug)]
pub(crate) struct BatchedEncoder {
    pub(crate) codec: TextCodec,
    pub(crate) heads: Arc<ModelHeads>,
    /// Token vectors that models with the same weights have computed; `None` where these are not
    /// shared.
    pub(crate) token_vectors: Option<Arc<Member>>,
    pub(crate) batcher: Batcher<EncodeRow, Vec<Values>>,
    pub(crate) pool: CpuPool,
    pub(crate) metrics: ModelMetrics,
    /// The batcher's gauges, registered as long as this exists.
    pub(crate) _gauges: Watch,
}

impl BatchedEncoder {
    pub(super) async fn infer(
        &self,
        request: ModelInferRequest,
        signature: Arc<Signature>,
        parameters: Parameters,
        response: ResponseBuilder,
    ) -> Result<(ModelInferResponse, CallCost), Status> {
        let settings = Arc::new(self.codec.settings(&parameters, response.wanted())?);
        let ((tokenized, encoding), input) = self.tokenize(request, signature, &settings).await?;
        let Tokenized { rows, origins } = tokenized;
        let count = rows.len();
        let cuts = self.codec.cuts(&rows, &origins);
        let encoded = self.encode(rows, &origins, &parameters, &settings).await?;
        let Encoded {
            rows,
            timing,
            tokens,
            reused,
        } = encoded;
        let values = self.codec.output_values(count, &settings);
        let is_short = reused == 0 && values.is_some_and(|values| values <= INLINE_VALUES_MAX);
        let (codec, heads) = (self.codec.clone(), self.heads.clone());
        let assemble = move || {
            let started = Instant::now();
            let rows = rows.into_iter();
            let rows = rows.map(|row| row.results(&heads, &settings.tasks));
            let rows = rows.collect();
            // Heads of rows that were encoded before are computed here.
            let of_heads = match reused {
                0 => Duration::ZERO,
                _ => started.elapsed(),
            };
            let labels = origins.labels.len();
            let score_kind = codec.tasks.first().score_kind(&settings, labels);
            let outputs = codec.outputs(rows, &origins, &settings);
            let outputs = outputs.map_err(|error| internal(error.to_string()).build())?;
            let mut response = response.build(&outputs, encoding);
            let parameters = &mut response.parameters;
            if let Some(kind) = score_kind {
                let kind = ParameterChoice::StringParam(kind.as_str().to_owned());
                parameters.insert(SCORE_KIND.to_owned(), parameter(kind));
            }
            let cuts = cuts.into_iter();
            parameters.extend(cuts.map(|(name, cut)| (name.to_owned(), parameter(cut))));
            Ok((response, of_heads))
        };
        let span = tracing::info_span!("assemble", rows_reused = reused);
        let ((response, of_heads), output) = self.job(span, is_short, assemble).await?;
        let cost = CallCost {
            queue: timing.queue_time,
            input,
            infer: timing.compute_time + of_heads,
            output: output.saturating_sub(of_heads),
            rows: count,
            rows_reused: reused,
            tokens,
            timing: Some(timing),
        };
        Ok((response, cost))
    }

    /// Returns the token ids of the call's rows, the form in which the request came, and the time
    /// that this took.
    async fn tokenize(
        &self,
        mut request: ModelInferRequest,
        signature: Arc<Signature>,
        settings: &Arc<CallSettings>,
    ) -> Result<((Tokenized, Encoding), Duration), Status> {
        let codec = self.codec.clone();
        let of_call = settings.clone();
        let span = tracing::info_span!("tokenize");
        if request.encoded_len() > INLINE_REQUEST_BYTES_MAX {
            let prepare = move || {
                let (inputs, encoding) = Inputs::take(&mut request, &signature, &codec.limits)?;
                let slices = codec.slices(&inputs, &of_call);
                let prepared = match slices.len() {
                    1 => Prepared::Rows(codec.tokenize(&inputs, &of_call)?),
                    _ => Prepared::Slices(Arc::new(inputs), slices),
                };
                Ok((prepared, encoding))
            };
            let ((prepared, encoding), read) = self.job(span.clone(), false, prepare).await?;
            let (rows, tokenized) = match prepared {
                Prepared::Rows(rows) => (rows, Duration::ZERO),
                Prepared::Slices(inputs, slices) => {
                    self.tokenize_slices(span, inputs, settings, slices).await?
                }
            };
            return Ok(((rows, encoding), read + tokenized));
        }
        let started = Instant::now();
        let (inputs, encoding) = Inputs::take(&mut request, &signature, &codec.limits)?;
        let cost = codec.tokenization_cost(&inputs, settings);
        let is_short = cost <= INLINE_TOKENIZATION_COST_MAX;
        let read = started.elapsed();
        let tokenize = move || Ok((codec.tokenize(&inputs, &of_call)?, encoding));
        let (rows, tokenized) = self.job(span, is_short, tokenize).await?;
        Ok((rows, read + tokenized))
    }

    /// Returns the token ids of a call's rows, and the time that this took: each slice is a job of
    /// its own on the pool, between those of other callers.
    async fn tokenize_slices(
        &self,
        span: Span,
        inputs: Arc<Inputs>,
        settings: &Arc<CallSettings>,
        slices: Vec<Range<usize>>,
    ) -> Result<(Tokenized, Duration), Status> {
        let (codec, of_call) = (self.codec.clone(), settings.clone());
        let tokenize = move |slice| codec.tokenize_slice(&inputs, &of_call, slice);
        let timed = self.pool.run_slices(span, slices, tokenize).await;
        let timed = timed.map_err(|error| status_of::pool_error(&error).build())??;
        let tokenized: Tokenized = timed.value.into_iter().collect();
        self.codec.check_tokens(&tokenized.rows, settings)?;
        Ok((tokenized, timed.ran))
    }

    /// Runs a job inline if it `is_short`, else on the pool. Also returns its time, with the wait
    /// for a thread of the pool.
    async fn job<T: Send + 'static>(
        &self,
        span: Span,
        is_short: bool,
        job: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<(T, Duration), Status> {
        let timed = if is_short {
            run_inline(&span, job)
        } else {
            self.pool.run(span, job).await
        };
        let timed = timed.map_err(|error| status_of::pool_error(&error).build())?;
        Ok((timed.value?, timed.waited + timed.ran))
    }

    /// Sends the rows through the batcher, but for those that a model with the same weights has
    /// encoded for the same caller.
    ///
    /// # Errors
    /// The status of the call as a whole, or of the first row that has no result.
    async fn encode(
        &self,
        rows: Vec<TokenIds>,
        origins: &RowOrigins,
        parameters: &Parameters,
        settings: &CallSettings,
    ) -> Result<Encoded, Status> {
        let caller = flow::Flow::current();
        let (rows, known) = self.find(caller, rows).await?;
        let trace = CallTrace::queue();
        let mut tokens = 0;
        let mut submitted = Vec::with_capacity(rows.len());
        let mut encoded: Vec<Option<EncodedRow>> = Vec::with_capacity(rows.len());
        for (ids, known) in rows.into_iter().zip(known) {
            if let Some(vectors) = known {
                encoded.push(Some(EncodedRow::Known { ids, vectors }));
                continue;
            }
            encoded.push(None);
            tokens += ids.len();
            let of_row = u32::try_from(ids.len()).unwrap_or(u32::MAX);
            let row = EncodeRow {
                ids,
                heads: settings.tasks.clone(),
                caller: Some(caller),
                trace: trace.clone(),
            };
            submitted.push((row, of_row));
        }
        // From here on only the rows hold it, so that its queue span ends with them.
        drop(trace);
        let reused = encoded.len() - submitted.len();
        self.metrics.rows_reused(reused);
        let call = Call {
            rows: submitted,
            deadline: parameters.deadline.map(|at| at.instant().into_std()),
            priority: parameters.priority,
            flow: scheduled(caller),
            lookahead: parameters.lookahead(),
        };
        let reply = self.batcher.submit(call).await;
        let reply = reply.map_err(|refused| status_of::refusal(&refused).build())?;
        let places = encoded.iter_mut().enumerate();
        let places = places.filter(|(_, row)| row.is_none());
        for ((number, place), result) in places.zip(reply.rows) {
            let results = result.map_err(|error| {
                status_of::row_error(&self.codec.field(number, origins), &error).build()
            })?;
            *place = Some(EncodedRow::Computed(results));
        }
        Ok(Encoded {
            rows: encoded.into_iter().flatten().collect(),
            timing: reply.timing,
            tokens,
            reused,
        })
    }

    /// Returns the rows, and for each its token vectors if a model with the same weights has
    /// encoded it for this caller.
    async fn find(
        &self,
        caller: flow::Flow,
        rows: Vec<TokenIds>,
    ) -> Result<(Vec<TokenIds>, Vec<Option<Arc<Values>>>), Status> {
        let shared = self.token_vectors.clone();
        let Some(shared) = shared.filter(|shared| shared.may_find()) else {
            let known = vec![None; rows.len()];
            return Ok((rows, known));
        };
        let is_short = rows.len() <= INLINE_LOOKUPS_MAX;
        let find = move || {
            let known = shared.find(caller, &rows);
            Ok((rows, known))
        };
        let (found, _) = self.job(Span::none(), is_short, find).await?;
        Ok(found)
    }
}

/// Returns a flow as the batcher schedules it, each level with the usual share.
fn scheduled(flow: flow::Flow) -> Flow {
    let keys = flow.keys().iter();
    keys.fold(Flow::default(), |flow, &key| {
        flow.under(key, Flow::USUAL_SHARE)
    })
}

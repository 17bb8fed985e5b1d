//! [`Runner`]: calls of any model, from request to response.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use motet_batcher::{Batcher, Call, CallTiming, Flow, Lookahead, Priority, Stats};
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{Encoding, parameter};
use motet_proto::signature::Signature;
use motet_runtime::deadline::Deadline;
use motet_runtime::flow;
use motet_runtime::metrics::{ModelMetrics, Watch};
use motet_runtime::status::{Reason, internal};
use prost::Message;
use tonic::Status;
use tracing::Span;

use super::answer::CallLengths;
use super::erased::{Named, RunModel};
use super::executor::BatchRow;
use super::{LoadedModel, Preparation, PreparedRow, PreparedRows, Request};
use crate::call_cost::CallCost;
use crate::cpu_pool::{CpuPool, Timed, run_inline};
use crate::limits::Limits;
use crate::request::{Inputs, Parameters, ResponseBuilder};
use crate::status_of;
use crate::trace::CallTrace;

/// Requests of up to this many bytes are read by the thread that received them.
const INLINE_REQUEST_BYTES_MAX: usize = 8192;

/// The prepared rows of a part of a call.
type Prepared<M> =
    PreparedRows<<M as LoadedModel>::Row, <M as LoadedModel>::Output, <M as LoadedModel>::Part>;

/// A running model: a loaded one, and the batcher in front of it if it has one.
pub(crate) struct Runner<M: LoadedModel> {
    pub(crate) task: Named,
    pub(crate) model: Arc<M>,
    pub(crate) batcher: Option<Batcher<BatchRow<M::Row>, M::Output>>,
    pub(crate) pool: CpuPool,
    pub(crate) limits: Limits,
    pub(crate) metrics: ModelMetrics,
    /// The batcher's gauges, registered as long as this exists.
    pub(crate) gauges: Option<Watch>,
}

/// A call whose request was read.
struct Opened<M: LoadedModel> {
    call: Arc<M::Call>,
    lengths: CallLengths,
    encoding: Encoding,
}

/// Order of a call among others.
struct Schedule {
    deadline: Option<Deadline>,
    priority: Priority,
    lookahead: Lookahead,
    flow: flow::Flow,
}

/// Times of a job.
#[derive(Clone, Copy, Default)]
struct Spent {
    waited: Duration,
    ran: Duration,
}

impl Spent {
    fn total(self) -> Duration {
        self.waited + self.ran
    }

    fn add(&mut self, other: Self) {
        self.waited += other.waited;
        self.ran += other.ran;
    }
}

/// The rows of a call after the batcher.
struct Outputs<O> {
    rows: Vec<O>,
    timing: Option<CallTiming>,
    /// Sum of the costs of the rows that were run.
    cost: usize,
    /// Number of rows whose output was known before.
    known: usize,
}

impl<M: LoadedModel> Runner<M> {
    async fn answer(
        &self,
        request: ModelInferRequest,
        signature: &Arc<Signature>,
        parameters: Parameters,
        response: ResponseBuilder,
    ) -> Result<(ModelInferResponse, CallCost), Status> {
        let schedule = Schedule {
            deadline: parameters.deadline,
            priority: parameters.priority,
            lookahead: parameters.lookahead(),
            flow: flow::Flow::current(),
        };
        let wanted = response.wanted().to_vec();
        let prepared = self.prepare(request, signature, parameters, wanted, schedule.flow);
        let (opened, prepared, input) = prepared.await?;
        let Opened {
            call,
            lengths,
            encoding,
        } = opened;
        let (rows, parts): (Vec<_>, Vec<_>) = prepared
            .into_iter()
            .map(|prepared| (prepared.rows, prepared.part))
            .unzip();
        self.model.check(&call, &parts)?;
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        let count = rows.len();
        let outputs = self.run(rows, &call, &parts, schedule).await?;
        let Outputs {
            rows,
            timing,
            cost,
            known,
        } = outputs;
        let is_short = self.model.has_short_answer(&call, &parts, &rows);
        let (model, signature, task) = (self.model.clone(), signature.clone(), self.task.name);
        let assemble = move || {
            let answer = model.answer(&call, parts, rows)?;
            answer
                .check(&signature, &lengths, response.wanted())
                .map_err(|difference| {
                    let message = format!("the task {task}: {difference}");
                    internal(message).reason(Reason::ModelFailed).build()
                })?;
            let mut built = response.build(&answer.outputs, encoding);
            let parameters = answer.parameters.into_iter();
            built
                .parameters
                .extend(parameters.map(|(name, value)| (name.to_owned(), parameter(value))));
            Ok((built, answer.computed))
        };
        let span = tracing::info_span!("assemble", rows_reused = known);
        let ((response, computed), output) = self.job(span, is_short, assemble).await?;
        let cost = match timing {
            Some(timing) => CallCost {
                queue: timing.queue_time,
                input: input.total(),
                infer: timing.compute_time + computed,
                output: output.total().saturating_sub(computed),
                rows: count,
                rows_reused: known,
                cost,
                unit: self.task.unit,
                timing: Some(timing),
            },
            // All of the work is the model's own.
            None => CallCost {
                queue: input.waited,
                infer: input.ran + output.ran,
                rows: count,
                ..CallCost::default()
            },
        };
        Ok((response, cost))
    }

    /// Reads a request and makes its rows, part by part. Also returns the time that this took.
    async fn prepare(
        &self,
        mut request: ModelInferRequest,
        signature: &Arc<Signature>,
        parameters: Parameters,
        wanted: Vec<String>,
        flow: flow::Flow,
    ) -> Result<(Opened<M>, Vec<Prepared<M>>, Spent), Status> {
        let is_short = request.encoded_len() <= INLINE_REQUEST_BYTES_MAX;
        let (model, signature, limits) = (self.model.clone(), signature.clone(), self.limits);
        // Reads the request, and makes its rows where that is one job of the same thread.
        let read = move || -> Result<_, Status> {
            let (inputs, encoding) = Inputs::take(&mut request, &signature, &limits)?;
            let lengths = CallLengths::of(&signature, &inputs, &parameters);
            let call = Arc::new(model.begin(Request {
                inputs,
                parameters,
                wanted,
                flow,
                limits,
            })?);
            let prepared = match model.preparation(&call) {
                Preparation::Inline => Parts::Prepared(model.rows(&call, 0..usize::MAX)?),
                Preparation::Pool(parts) => match &parts[..] {
                    [only] if !is_short => Parts::Prepared(model.rows(&call, only.clone())?),
                    _ => Parts::Left(parts),
                },
            };
            let opened = Opened {
                call,
                lengths,
                encoding,
            };
            Ok((opened, prepared))
        };
        let span = self.model.preparation_span();
        let ((opened, parts), mut spent): ((Opened<M>, Parts<M>), _) =
            self.job(span.clone(), is_short, read).await?;
        let parts = match parts {
            Parts::Prepared(all) => return Ok((opened, vec![all], spent)),
            Parts::Left(parts) => parts,
        };
        let (model, call) = (self.model.clone(), opened.call.clone());
        let rows = move |part| model.rows(&call, part);
        let prepared = match &parts[..] {
            [only] => {
                let only = only.clone();
                let (prepared, of_job) = self.job(span, false, move || rows(only)).await?;
                spent.add(of_job);
                vec![prepared]
            }
            _ => {
                let timed = self.pool.run_slices(span, parts, rows).await;
                let timed = timed.map_err(|error| status_of::pool_error(&error).build())??;
                spent.ran += timed.ran;
                timed.value
            }
        };
        Ok((opened, prepared, spent))
    }

    /// Sends the rows through the batcher, but for those whose output is known.
    ///
    /// # Errors
    /// The status of the call as a whole, or of the first row that has no output.
    async fn run(
        &self,
        rows: Vec<PreparedRow<M::Row, M::Output>>,
        call: &M::Call,
        parts: &[M::Part],
        schedule: Schedule,
    ) -> Result<Outputs<M::Output>, Status> {
        let Some(batcher) = &self.batcher else {
            return self.all_known(rows);
        };
        let trace = CallTrace::queue();
        let mut cost = 0;
        let mut submitted = Vec::with_capacity(rows.len());
        let mut groups = Vec::with_capacity(rows.len());
        let mut outputs: Vec<Option<M::Output>> = Vec::with_capacity(rows.len());
        for row in rows {
            let (row, of_row) = match row {
                // A row without a cost would be free to the batcher.
                PreparedRow::Run { row, cost } => (row, cost.max(1)),
                PreparedRow::Known(output) => {
                    outputs.push(Some(output));
                    continue;
                }
            };
            outputs.push(None);
            cost += of_row as usize;
            groups.push(self.model.group(&row));
            let row = BatchRow {
                row,
                cost: of_row,
                trace: trace.clone(),
            };
            submitted.push((row, of_row));
        }
        // From here on only the rows hold it, so that its queue span ends with them.
        drop(trace);
        let known = outputs.len() - submitted.len();
        self.metrics.rows_reused(known);
        let submitted = Call {
            rows: submitted,
            groups,
            deadline: schedule.deadline.map(|at| at.instant().into_std()),
            priority: schedule.priority,
            flow: scheduled(schedule.flow),
            lookahead: schedule.lookahead,
        };
        let reply = batcher.submit(submitted).await;
        let reply = reply.map_err(|refused| status_of::refusal(&refused).build())?;
        let places = outputs.iter_mut().enumerate();
        let places = places.filter(|(_, row)| row.is_none());
        for ((number, place), result) in places.zip(reply.rows) {
            let output = result.map_err(|error| {
                let field = self.model.field(call, parts, number);
                status_of::row_error(&field, &error, self.task.unit).build()
            })?;
            *place = Some(output);
        }
        Ok(Outputs {
            rows: outputs.into_iter().flatten().collect(),
            timing: Some(reply.timing),
            cost,
            known,
        })
    }

    /// Returns the outputs of rows that need no batcher.
    ///
    /// # Errors
    /// INTERNAL for a row that would have to run.
    fn all_known(
        &self,
        rows: Vec<PreparedRow<M::Row, M::Output>>,
    ) -> Result<Outputs<M::Output>, Status> {
        let rows = rows.into_iter().map(|row| match row {
            PreparedRow::Known(output) => Ok(output),
            PreparedRow::Run { .. } => {
                let message = format!(
                    "the task {} has rows to run, and no batcher",
                    self.task.name
                );
                Err(Status::from(internal(message).reason(Reason::ModelFailed)))
            }
        });
        Ok(Outputs {
            rows: rows.collect::<Result<_, _>>()?,
            timing: None,
            cost: 0,
            known: 0,
        })
    }

    /// Runs a job inline if it `is_short`, else on the pool. Also returns its times.
    async fn job<T: Send + 'static>(
        &self,
        span: Span,
        is_short: bool,
        job: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<(T, Spent), Status> {
        let timed = if is_short {
            run_inline(&span, job)
        } else {
            self.pool.run(span, job).await
        };
        let timed = timed.map_err(|error| status_of::pool_error(&error).build())?;
        let Timed { value, waited, ran } = timed;
        Ok((value?, Spent { waited, ran }))
    }
}

/// The rows of a call, or the parts that are left to be prepared.
enum Parts<M: LoadedModel> {
    Prepared(Prepared<M>),
    Left(Vec<Range<usize>>),
}

impl<M: LoadedModel> RunModel for Runner<M> {
    fn infer<'r>(
        &'r self,
        request: ModelInferRequest,
        signature: &'r Arc<Signature>,
        parameters: Parameters,
        response: ResponseBuilder,
    ) -> BoxFuture<'r, Result<(ModelInferResponse, CallCost), Status>> {
        Box::pin(self.answer(request, signature, parameters, response))
    }

    fn batcher_stats(&self) -> Option<Stats> {
        self.batcher.as_ref().map(Batcher::stats)
    }

    fn hurry(&self) {
        if let Some(batcher) = &self.batcher {
            batcher.hurry();
        }
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(batcher) = &self.batcher {
                batcher.drain().await;
            }
        })
    }
}

impl<M: LoadedModel> fmt::Debug for Runner<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("task", &self.task.name)
            .finish_non_exhaustive()
    }
}

/// Returns a flow as the batcher schedules it.
fn scheduled(flow: flow::Flow) -> Flow {
    flow.levels().fold(Flow::default(), |flow, (key, share)| {
        flow.under(key, share.into())
    })
}

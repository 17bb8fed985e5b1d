//! [`LoadedModel`]: a model in memory, which answers calls batch by batch.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use motet_batcher::{BatchError, Layout, Measurement, RowError};
use motet_models::ThreadTeam;
use tonic::Status;
use tracing::Span;

use super::{Answer, Request};
use crate::limits::Limits;

/// A model in memory. A call passes it in three steps, the first and the last of which run on the
/// threads of the compute pool:
///
/// 1. [`begin`](Self::begin) and [`rows`](Self::rows) make rows of its request, each with a cost.
/// 2. The batcher groups rows of different calls, and [`run`](Self::run) computes them, on a thread
///    of the batcher.
/// 3. [`answer`](Self::answer) makes tensors of their outputs.
///
/// A panic in any of them fails the call, or the batch, and nothing else.
pub trait LoadedModel: Send + Sync + 'static {
    /// Input of one row, as a batch takes it.
    type Row: Send + Sync + 'static;

    /// Output of one row.
    type Output: Send + 'static;

    /// A call between its request and its answer; [`Request`] if nothing else is needed.
    type Call: Send + Sync + 'static;

    /// Results of a part's preparation that the answer needs; `()` if there are none.
    type Part: Send + Sync + 'static;

    /// Reads the request of a call, in microseconds.
    ///
    /// # Errors
    /// The status of the call, for a request that the signature allows and the model does not.
    fn begin(&self, request: Request) -> Result<Self::Call, Status>;

    /// Returns how the rows of a call are made; by default in one job on the compute pool.
    fn preparation(&self, call: &Self::Call) -> Preparation {
        let _ = call;
        Preparation::Pool(std::iter::once(0..usize::MAX).collect())
    }

    /// Returns the rows of a part of a call. Parts are those of
    /// [`preparation`](Self::preparation); `0..usize::MAX` is all.
    ///
    /// # Errors
    /// The status of the call.
    #[allow(clippy::type_complexity)]
    fn rows(
        &self,
        call: &Self::Call,
        part: Range<usize>,
    ) -> Result<PreparedRows<Self::Row, Self::Output, Self::Part>, Status>;

    /// Checks the rows of all parts of a call, before any of them runs.
    ///
    /// # Errors
    /// The status of the call.
    fn check(&self, call: &Self::Call, parts: &[Self::Part]) -> Result<(), Status> {
        let _ = (call, parts);
        Ok(())
    }

    /// Computes one batch; returns an output for each row, in order, or its error. Rows are of one
    /// [group](Self::group). Candle's operations use the threads of the batcher's own, as many as
    /// `threads` says, once these have the cores for themselves.
    ///
    /// # Errors
    /// [`BatchError`] if no row has an output. The batcher then runs the halves; out of memory, it
    /// also learns how much fits.
    fn run(
        &self,
        rows: &[&Self::Row],
        worker: &Worker<'_>,
    ) -> Result<Vec<Result<Self::Output, RowError>>, BatchError>;

    /// Returns the answer to a call, of the outputs of its rows in their order.
    ///
    /// # Errors
    /// The status of the call.
    fn answer(
        &self,
        call: &Self::Call,
        parts: Vec<Self::Part>,
        rows: Vec<Self::Output>,
    ) -> Result<Answer, Status>;

    /// Returns whether [`answer`](Self::answer) takes microseconds, less than waking another
    /// thread for it.
    fn has_short_answer(
        &self,
        call: &Self::Call,
        parts: &[Self::Part],
        rows: &[Self::Output],
    ) -> bool {
        let _ = (call, parts, rows);
        false
    }

    /// Returns the field of the request that a row was made of, such as `text[3]`, for errors.
    fn field(&self, call: &Self::Call, parts: &[Self::Part], row: usize) -> String {
        let _ = (call, parts);
        format!("row {row}")
    }

    /// Returns a number that is equal for rows that may be in one run, such as the length of rows
    /// that cannot be padded; by default any may.
    fn group(&self, row: &Self::Row) -> u64 {
        let _ = row;
        0
    }

    /// Returns a row of about this cost, made up, and the cost that it has: with such rows the
    /// model is warmed up and measured before it serves. Without one it is neither: its first
    /// batches teach the batcher.
    fn sample(&self, cost: u32) -> Option<(Self::Row, u32)> {
        let _ = cost;
        None
    }

    /// Returns how rows share a batch.
    fn batching(&self) -> Batching {
        Batching::default()
    }

    /// Returns the limits of a call to this model, given those of the process; by default these.
    fn limits(&self, of_process: Limits) -> Limits {
        of_process
    }

    /// Returns whether batches pause where [`Worker::team`] says that a pause is due, between steps
    /// of a millisecond or so. Bulk rows then have executors of their own, which give way to the
    /// others.
    fn has_pauses(&self) -> bool {
        false
    }

    /// Returns the measured times of batches, if the model shares them with models that compute
    /// alike.
    fn measurements(&self) -> Option<Measurements> {
        None
    }

    /// Prepares the threads of the compute pool, on one of which it runs, before the model serves.
    fn warm_up(&self) {}

    /// Opens the span of the first step.
    fn preparation_span(&self) -> Span {
        tracing::info_span!("prepare")
    }
}

/// Measured times of batches; empty until the first executor has measured them.
pub type Measurements = Arc<OnceLock<Vec<Measurement>>>;

/// Place and parts in which the rows of a call are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// On the thread that received the call: less than a quarter of a millisecond.
    Inline,
    /// On the compute pool, a job for each part: a few milliseconds each, so that a long call gives
    /// way to others.
    Pool(Vec<Range<usize>>),
}

/// A row of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreparedRow<R, O> {
    /// A row to run, with its cost in the task's own unit, 1 at least: tokens, pixels, samples.
    /// The batcher learns the time of a batch from the costs of its rows.
    Run {
        /// The input.
        row: R,
        /// Its cost.
        cost: u32,
    },
    /// A row whose output is known already.
    Known(O),
}

/// The rows of a part of a call.
#[derive(Clone, Debug)]
pub struct PreparedRows<R, O, P> {
    /// The rows, in order.
    pub rows: Vec<PreparedRow<R, O>>,
    /// Everything that the answer needs beside their outputs.
    pub part: P,
}

impl<R, O, P: Default> FromIterator<(R, u32)> for PreparedRows<R, O, P> {
    /// Returns rows to run, each with its cost.
    fn from_iter<I: IntoIterator<Item = (R, u32)>>(rows: I) -> Self {
        let rows = rows.into_iter();
        Self {
            rows: rows
                .map(|(row, cost)| PreparedRow::Run { row, cost })
                .collect(),
            part: P::default(),
        }
    }
}

/// Rules by which rows share a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Work of a batch of rows of different costs.
    pub layout: Layout,
    /// The largest cost of a row, if there is one.
    pub max_row_cost: Option<u32>,
    /// The largest cost of a batch, such as what fits in memory; the configuration's
    /// `max_batch_tokens` may be less. A row of a larger cost runs alone.
    pub max_batch_cost: Option<u64>,
    /// `false` for a model that computes everything in the first step, as
    /// [`PreparedRow::Known`]: it has no batcher.
    pub is_batched: bool,
}

impl Default for Batching {
    /// Rows follow each other without padding, and may be of any cost.
    fn default() -> Self {
        Self {
            layout: Layout::Packed,
            max_row_cost: None,
            max_batch_cost: None,
            is_batched: true,
        }
    }
}

/// The thread of the batcher that runs a batch.
#[derive(Debug)]
pub struct Worker<'w> {
    team: &'w ThreadTeam,
}

impl<'w> Worker<'w> {
    pub(super) fn new(team: &'w ThreadTeam) -> Self {
        Self { team }
    }

    /// Returns the threads that compute the batch: the current one and its helpers. Operations of
    /// rayon, and so Candle's, use them in any case.
    pub fn team(&self) -> &'w ThreadTeam {
        self.team
    }
}

//! [`ModelExecutor`]: batches of any model, on a thread of the batcher.

use std::sync::Arc;

use motet_batcher::{
    BatchError, BuildError, Executor, ExecutorFactory, Measurement, Options, RowError, measure,
};
use motet_models::{ThreadPriority, ThreadTeam};

use super::erased::Named;
use super::{LoadedModel, Measurements, Worker};
use crate::core_permits::{BulkCores, CoreSemaphore};
use crate::trace::CallTrace;

/// Cost of the row that every executor runs before it serves.
const WARM_UP_COST: u32 = 16;

/// A row of a batch.
#[derive(Debug)]
pub(crate) struct BatchRow<R> {
    pub(crate) row: R,
    pub(crate) cost: u32,
    pub(crate) trace: Arc<CallTrace>,
}

/// Makes the executors of one model, each on its own thread; again after a panic, with the same
/// model, since it never changes.
pub(super) struct ModelExecutorFactory<M> {
    pub(super) name: Arc<str>,
    pub(super) task: Named,
    pub(super) model: Arc<M>,
    /// Threads that compute a batch, the executor's own included.
    pub(super) threads: usize,
    pub(super) cores: Cores,
    pub(super) measurements: Measurements,
}

/// The cores for batches.
#[derive(Clone, Debug)]
pub(super) enum Cores {
    /// A device computes: the thread only submits work to it.
    None,
    /// Batches of any rows.
    Usual(CoreSemaphore),
    /// Batches of bulk rows, which pause for others. Each executor has its own.
    Bulk(Arc<BulkCores>),
}

impl<M> Clone for ModelExecutorFactory<M> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            task: self.task,
            model: self.model.clone(),
            threads: self.threads,
            cores: self.cores.clone(),
            measurements: self.measurements.clone(),
        }
    }
}

impl<M> ModelExecutorFactory<M> {
    /// Returns the number of threads that compute a batch. On a CPU those are the executor's own
    /// and its helpers; other devices are used by the executor's alone, since their drivers keep
    /// state for each thread.
    fn team_size(&self) -> usize {
        match self.cores {
            Cores::Usual(_) | Cores::Bulk(_) => self.threads,
            Cores::None => 1,
        }
    }
}

impl<M: LoadedModel> ExecutorFactory for ModelExecutorFactory<M> {
    type Executor = ModelExecutor<M>;

    fn build(&mut self) -> Result<ModelExecutor<M>, BuildError> {
        let team = ThreadTeam::for_current_thread(self.team_size());
        let team = team.map_err(|error| BuildError(error.to_string()))?;
        Ok(ModelExecutor {
            team: match &self.cores {
                Cores::Bulk(cores) => team.with_pauses(cores.clone()),
                Cores::Usual(_) | Cores::None => team,
            },
            factory: self.clone(),
        })
    }

    /// The thread leads its helpers until it ends, so that they end with the model.
    fn run_thread(self, body: impl FnOnce(Self) + Send + 'static) {
        let priority = match self.cores {
            Cores::Bulk(_) => ThreadPriority::Low,
            Cores::Usual(_) | Cores::None => ThreadPriority::Usual,
        };
        ThreadTeam::lead(self.team_size(), priority, move || body(self));
    }
}

/// Runs batches of a model on a thread of the batcher, to which it belongs.
pub(super) struct ModelExecutor<M> {
    factory: ModelExecutorFactory<M>,
    team: ThreadTeam,
}

impl<M: LoadedModel> ModelExecutor<M> {
    /// Runs rows once the cores are free.
    ///
    /// # Errors
    /// As [`LoadedModel::run`], and another number of outputs than of rows.
    fn run_rows(&self, rows: &[&M::Row]) -> Result<Vec<Result<M::Output, RowError>>, BatchError> {
        let (_permit, _bulk_permit) = match &self.factory.cores {
            Cores::Usual(cores) => (Some(cores.acquire(self.team.count())), None),
            Cores::Bulk(cores) => (None, Some(cores.acquire())),
            Cores::None => (None, None),
        };
        let outputs = self.factory.model.run(rows, &Worker::new(&self.team))?;
        if outputs.len() != rows.len() {
            let (task, given, wanted) = (self.factory.task.name, outputs.len(), rows.len());
            return Err(BatchError::Failed(format!(
                "the task {task} gave {given} outputs for {wanted} rows"
            )));
        }
        Ok(outputs)
    }
}

impl<M: LoadedModel> Executor for ModelExecutor<M> {
    type Row = BatchRow<M::Row>;
    type Output = M::Output;

    fn run(
        &mut self,
        batch: &[&BatchRow<M::Row>],
    ) -> Result<Vec<Result<M::Output, RowError>>, BatchError> {
        let _compute_spans = CallTrace::compute(batch.iter().map(|row| &row.trace));
        let tokens: u64 = batch.iter().map(|row| u64::from(row.cost)).sum();
        let (model, unit) = (&*self.factory.name, self.factory.task.unit);
        let forward = tracing::info_span!("forward", model, rows = batch.len(), tokens, unit);
        let rows: Vec<&M::Row> = batch.iter().map(|row| &row.row).collect();
        forward.in_scope(|| self.run_rows(&rows))
    }

    fn sample(&self, cost: u32) -> Option<(BatchRow<M::Row>, u32)> {
        let (row, cost) = self.factory.model.sample(cost)?;
        let row = BatchRow {
            row,
            cost,
            trace: CallTrace::queue(),
        };
        Some((row, cost))
    }

    /// The first executor of a model measures it, while the others wait. All run a small batch,
    /// which must have an output.
    fn warm_up(&mut self, options: &Options) -> Result<Vec<Measurement>, BatchError> {
        let Some((row, _)) = self.sample(WARM_UP_COST) else {
            return Ok(Vec::new());
        };
        for output in self.run(&[&row])? {
            output.map_err(|error| BatchError::Failed(format!("warming it up: {error}")))?;
        }
        let measurements = self.factory.measurements.clone();
        let measurements = measurements.get_or_init(|| measure(self, options));
        Ok(measurements.clone())
    }
}

//! [`ModelExecutor`]: batches of any model, on a thread of the batcher.

use std::sync::Arc;

use motet_batcher::{
    BatchError, BuildError, Executor, ExecutorFactory, Measurement, Options, RowError, measure,
};
use motet_models::ThreadTeam;

use super::erased::Named;
use super::{LoadedModel, Measurements, Worker};
use crate::core_permits::CoreSemaphore;
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
    /// `None` where a device computes: the thread then only submits work to it.
    pub(super) cores: Option<CoreSemaphore>,
    pub(super) measurements: Measurements,
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
        if self.cores.is_some() {
            self.threads
        } else {
            1
        }
    }
}

impl<M: LoadedModel> ExecutorFactory for ModelExecutorFactory<M> {
    type Executor = ModelExecutor<M>;

    fn build(&mut self) -> Result<ModelExecutor<M>, BuildError> {
        let team = ThreadTeam::for_current_thread(self.team_size());
        Ok(ModelExecutor {
            team: team.map_err(|error| BuildError(error.to_string()))?,
            factory: self.clone(),
        })
    }

    /// The thread leads its helpers until it ends, so that they end with the model.
    fn run_thread(self, body: impl FnOnce(Self) + Send + 'static) {
        ThreadTeam::lead(self.team_size(), move || body(self));
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
        let cores = self.factory.cores.as_ref();
        let _permit = cores.map(|cores| cores.acquire(self.team.count()));
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

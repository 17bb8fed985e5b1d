//! Models whose types are forgotten: checked, loaded, running.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use motet_batcher::{Batcher, Options, SpawnError, Stats};
use motet_models::DeviceSpec;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::signature::Signature;
use motet_runtime::metrics::ModelMetrics;
use tonic::Status;

use super::executor::{Cores, ModelExecutorFactory};
use super::runner::Runner;
use super::{BoxError, Facts, LoadContext, LoadedModel, Task};
use crate::call_cost::CallCost;
use crate::core_permits::{BulkCores, CoreSemaphore};
use crate::cpu_pool::CpuPool;
use crate::model_health::ModelHealth;
use crate::observer::{ModelObserver, register_gauges};
use crate::request::{Parameters, ResponseBuilder};

/// A configuration that was checked.
pub(crate) trait Checked: Send + Sync {
    /// Loads the model, on a thread where it may block.
    ///
    /// # Errors
    /// Any reason for which the model cannot run.
    fn load(&self, context: &LoadContext) -> Result<Arc<dyn StartModel>, BoxError>;

    /// Returns what is known of the model before it is loaded.
    ///
    /// # Errors
    /// Files that cannot be read, or a device that is not there.
    fn facts(&self) -> Result<Facts, BoxError>;
}

/// A loaded model.
pub(crate) trait StartModel: Send + Sync {
    /// Prepares the threads of the compute pool.
    fn warm_up(&self);

    /// Starts the executors of the model behind a batcher, if it has one.
    fn start(
        self: Arc<Self>,
        context: StartContext,
    ) -> BoxFuture<'static, Result<Box<dyn RunModel>, SpawnError>>;
}

/// A running model.
pub(crate) trait RunModel: fmt::Debug + Send + Sync {
    /// Answers a call. Dropping the future takes it out of every queue.
    ///
    /// # Errors
    /// The status of the call, without the model's name.
    fn infer<'r>(
        &'r self,
        request: ModelInferRequest,
        signature: &'r Arc<Signature>,
        parameters: Parameters,
        response: ResponseBuilder,
    ) -> BoxFuture<'r, Result<(ModelInferResponse, CallCost), Status>>;

    /// Returns the totals of the batcher, where there is one.
    fn batcher_stats(&self) -> Option<Stats>;

    /// From now on no row waits in the queue for others to share its batch.
    fn hurry(&self);

    /// Refuses new calls, answers those in the queue, and ends the executors' threads.
    fn drain(&self) -> BoxFuture<'_, ()>;
}

/// Everything that starting a model takes.
#[derive(Debug)]
pub(crate) struct StartContext {
    pub(crate) load: LoadContext,
    /// Options of the batcher, as the configuration has them.
    pub(crate) options: Options,
    pub(crate) executors: usize,
    /// Threads that compute a batch; `None` is an equal share of the cores for each executor.
    pub(crate) threads: Option<usize>,
    pub(crate) cores: CoreSemaphore,
    pub(crate) pool: CpuPool,
    pub(crate) metrics: ModelMetrics,
    pub(crate) health: ModelHealth,
}

/// The checked configuration of a task.
pub(super) struct CheckedTask<T: Task>(pub(super) T::Checked);

impl<T: Task> Checked for CheckedTask<T> {
    fn load(&self, context: &LoadContext) -> Result<Arc<dyn StartModel>, BoxError> {
        let model = T::load(self.0.clone(), context)?;
        Ok(Arc::new(Loaded {
            task: Named {
                name: T::NAME,
                unit: T::UNIT,
            },
            model: Arc::new(model),
        }))
    }

    fn facts(&self) -> Result<Facts, BoxError> {
        T::facts(&self.0)
    }
}

/// The words of a task, where its type is forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: &'static str,
    /// The unit of the costs of its rows.
    pub(crate) unit: &'static str,
}

/// The loaded model of a task.
struct Loaded<M> {
    task: Named,
    model: Arc<M>,
}

impl<M: LoadedModel> StartModel for Loaded<M> {
    fn warm_up(&self) {
        self.model.warm_up();
    }

    fn start(
        self: Arc<Self>,
        context: StartContext,
    ) -> BoxFuture<'static, Result<Box<dyn RunModel>, SpawnError>> {
        Box::pin(async move {
            let runner: Box<dyn RunModel> =
                Box::new(start(self.task, self.model.clone(), context).await?);
            Ok(runner)
        })
    }
}

/// Starts the executors of a model behind a batcher, if it has one.
async fn start<M: LoadedModel>(
    task: Named,
    model: Arc<M>,
    context: StartContext,
) -> Result<Runner<M>, SpawnError> {
    let StartContext {
        load,
        options,
        executors,
        threads,
        cores,
        pool,
        metrics,
        health,
    } = context;
    metrics.task(task.name, task.unit);
    let batching = model.batching();
    let is_cpu = load
        .opened
        .main()
        .is_none_or(|main| main == DeviceSpec::Cpu);
    let limits = model.limits(load.limits());
    let mut runner = Runner {
        task,
        model,
        batcher: None,
        pool,
        limits,
        metrics,
        gauges: None,
    };
    if !batching.is_batched {
        return Ok(runner);
    }
    let options = Options {
        max_row_tokens: batching.max_row_cost,
        max_batch_tokens: batching
            .max_batch_cost
            .map_or(options.max_batch_tokens, |most| {
                most.max(1).min(options.max_batch_tokens)
            }),
        layout: batching.layout,
        ..options
    };
    // Executors that compute at the same time get an equal share of the cores each.
    let threads = threads.unwrap_or_else(|| cores.total().div_ceil(executors));
    let factory = ModelExecutorFactory {
        name: load.name.clone(),
        task,
        model: runner.model.clone(),
        threads,
        cores: match is_cpu {
            true => Cores::Usual(cores.clone()),
            false => Cores::None,
        },
        measurements: runner.model.measurements().unwrap_or_default(),
    };
    let bulk = (0..executors).map_while(|_| {
        let has_pauses = is_cpu && factory.model.has_pauses();
        let cores = || BulkCores::new(cores.clone(), threads.max(1), options.bulk_share);
        let bulk = has_pauses.then(cores).flatten()?;
        let cores = Cores::Bulk(Arc::new(bulk));
        Some(ModelExecutorFactory {
            cores,
            ..factory.clone()
        })
    });
    let bulk = bulk.collect();
    let factories = vec![factory; executors];
    let name = &*load.name;
    let observer = ModelObserver::new(runner.metrics.clone(), health);
    let observer = Arc::new(observer);
    let batcher = Batcher::spawn_with_bulk(name, options, observer, factories, bulk).await?;
    runner.gauges = Some(register_gauges(&runner.metrics, &batcher));
    runner.batcher = Some(batcher);
    Ok(runner)
}

//! From resolved models to running ones.

use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};

use motet_batcher::SpawnError;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use tokio::sync::Mutex;
use tracing::Span;

use crate::core_permits::CoreSemaphore;
use crate::cpu_pool::CpuPool;
use crate::limits::Limits;
use crate::memory_budget::{MemoryBudget, MemoryLimit, NotEnoughMemory, Reservation, Weights};
use crate::model::{Model, Origin};
use crate::model_health::ModelHealth;
use crate::resolve::ResolvedModel;
use crate::task::{BoxError, LoadContext, OpenedDevices, Shared, StartContext, StartModel};

/// Why a model cannot be started. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The task cannot load it: a device that is not present, weights that cannot be read.
    #[error("{model}: {cause}")]
    Task {
        /// The model's name.
        model: String,
        /// Why.
        cause: BoxError,
    },
    /// The batcher or its executors cannot be started.
    #[error("{model}: {cause}")]
    Batcher {
        /// The model's name.
        model: String,
        /// Why.
        cause: SpawnError,
    },
    /// Loading panicked.
    #[error("{model}: loading it crashed: {reason}")]
    Crashed {
        /// The model's name.
        model: String,
        /// The message of the panic.
        reason: String,
    },
    /// It does not fit into memory.
    #[error("{model}: {cause}")]
    Memory {
        /// The model's name.
        model: String,
        /// Its need, and the memory that there is.
        cause: NotEnoughMemory,
    },
    /// The system cannot start threads.
    #[error("the system gives no threads for tokenizing: {0}")]
    Threads(rayon::ThreadPoolBuildError),
}

/// Loads models, which share the cores, the compute pool and what else their tasks let them share,
/// such as the weights of one source. Clones share these too.
#[derive(Clone, Debug)]
pub struct Loader {
    metrics: Metrics,
    health: Health,
    limits: Limits,
    shared: Shared,
    cores: CoreSemaphore,
    pool: CpuPool,
    memory: MemoryBudget,
    /// Held while a model is measured: that of one would disturb that of another.
    measuring: Arc<Mutex<()>>,
    /// The weights that were loaded, each for as long as a model has them.
    weights: Arc<StdMutex<Vec<Weak<Weights>>>>,
}

impl Loader {
    /// Returns a loader whose models are counted in `metrics`, and appear in `health` under their
    /// names once a server has them.
    ///
    /// # Errors
    /// [`LoadError::Threads`] if the CPU pool cannot be started.
    pub fn new(metrics: Metrics, health: Health) -> Result<Self, LoadError> {
        Ok(Self {
            metrics,
            health,
            limits: Limits::default(),
            shared: Shared::default(),
            cores: CoreSemaphore::default(),
            pool: CpuPool::new().map_err(LoadError::Threads)?,
            memory: MemoryBudget::default(),
            measuring: Arc::default(),
            weights: Arc::default(),
        })
    }

    /// Returns the loader with other limits of a call.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the loader with another limit of the memory that the process may use.
    #[must_use]
    pub fn with_memory(self, limit: MemoryLimit) -> Self {
        Self {
            memory: MemoryBudget::new(limit),
            ..self
        }
    }

    /// Loads a model, starts its batcher, and runs it until it is warm: its first response is as
    /// fast as later ones.
    ///
    /// # Errors
    /// A device that is not present, or weights that cannot be read or do not fit, also into
    /// memory. Nothing is left running then.
    pub async fn load(&self, model: ResolvedModel) -> Result<Model, LoadError> {
        let (weights, reservation) = self.reserve(&model).await?;
        let ResolvedModel {
            name,
            signature,
            identity,
            checked,
            settings,
        } = model;
        let health = ModelHealth::new(&name, self.health.clone());
        let metrics = self.metrics.model(&name);
        let load = LoadContext {
            name: name.as_str().into(),
            device: settings.device,
            precision: settings.precision,
            limits: self.limits,
            shared: self.shared.clone(),
            opened: OpenedDevices::default(),
        };
        let (context, opened) = (load.clone(), load.opened.clone());
        let loading = tokio::task::spawn_blocking(move || checked.load(&context)).await;
        let loaded = loading.map_err(|error| LoadError::Crashed {
            model: name.clone(),
            reason: error.to_string(),
        })?;
        let loaded = loaded.map_err(|cause| LoadError::Task {
            model: name.clone(),
            cause,
        })?;
        self.warm_up_pool(&name, &loaded).await?;
        let context = StartContext {
            load,
            options: settings.options,
            executors: settings.executors,
            threads: settings.threads,
            cores: self.cores.clone(),
            pool: self.pool.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
        };
        let measuring = self.measuring.lock().await;
        let running = loaded.start(context).await;
        drop(measuring);
        let running = running.map_err(|cause| LoadError::Batcher {
            model: name.clone(),
            cause,
        })?;
        drop(reservation);
        let origin = Origin {
            identity,
            weights,
            device: opened.main(),
        };
        let signature = Arc::new(signature);
        Ok(Model::new(
            name, signature, origin, running, metrics, health,
        ))
    }

    /// Reserves the memory of a model, if its files say how much it takes.
    async fn reserve(
        &self,
        model: &ResolvedModel,
    ) -> Result<(Option<Arc<Weights>>, Option<Reservation>), LoadError> {
        let (name, identity) = (model.name().to_owned(), model.identity().clone());
        let checked = model.checked.clone();
        // Headers of weights are read. What is wrong with them is said when they are loaded.
        let facts = tokio::task::spawn_blocking(move || checked.facts().ok()).await;
        let facts = facts.ok().flatten();
        let Some(weights) = facts.and_then(|facts| Weights::of(&identity, &facts)) else {
            return Ok((None, None));
        };
        let mut known = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|weights| weights.strong_count() > 0);
        let held: Vec<Weights> = known
            .iter()
            .filter_map(|weights| Some((*weights.upgrade()?).clone()))
            .collect();
        let reservation = self.memory.reserve(&weights, &held);
        let reservation = reservation.map_err(|cause| LoadError::Memory { model: name, cause })?;
        let weights = Arc::new(weights);
        known.push(Arc::downgrade(&weights));
        Ok((Some(weights), Some(reservation)))
    }

    /// Loads models one after another, so that each is measured while nothing else runs. They are
    /// ready from then on.
    ///
    /// # Errors
    /// The error of the first that cannot be loaded; the models before it are dropped.
    pub async fn load_all(
        &self,
        models: impl IntoIterator<Item = ResolvedModel>,
    ) -> Result<Vec<Model>, LoadError> {
        let mut loaded = Vec::new();
        for model in models {
            let model = self.load(model).await?;
            model.begin();
            loaded.push(model);
        }
        Ok(loaded)
    }

    /// Warms up the compute pool; executors warm themselves up.
    async fn warm_up_pool(&self, name: &str, model: &Arc<dyn StartModel>) -> Result<(), LoadError> {
        let model = model.clone();
        match self.pool.run(Span::none(), move || model.warm_up()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(LoadError::Crashed {
                model: name.to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

//! From resolved models to running ones.

use std::sync::Arc;

use motet_batcher::SpawnError;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use tracing::Span;

use crate::core_permits::CoreSemaphore;
use crate::cpu_pool::CpuPool;
use crate::limits::Limits;
use crate::model::Model;
use crate::resolve::ResolvedModel;
use crate::task::{BoxError, LoadContext, Shared, StartContext, StartModel};

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
}

impl Loader {
    /// Returns a loader whose models are counted in `metrics`, and appear in `health` under their
    /// names: not serving until they are loaded and warm.
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
        })
    }

    /// Returns the loader with other limits of a call.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Loads a model, starts its batcher, and runs it until it is warm: its first response is as
    /// fast as later ones.
    ///
    /// # Errors
    /// A device that is not present, or weights that cannot be read or do not fit. Nothing is left
    /// running then.
    pub async fn load(&self, model: ResolvedModel) -> Result<Model, LoadError> {
        let ResolvedModel {
            name,
            signature,
            checked,
            settings,
        } = model;
        self.health.set(&name, false);
        let metrics = self.metrics.model(&name);
        let load = LoadContext {
            name: name.as_str().into(),
            device: settings.device,
            precision: settings.precision,
            limits: self.limits,
            shared: self.shared.clone(),
            uses_device: Arc::default(),
        };
        let context = load.clone();
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
            health: self.health.clone(),
        };
        let running = loaded.start(context).await;
        let running = running.map_err(|cause| LoadError::Batcher {
            model: name.clone(),
            cause,
        })?;
        self.health.set(&name, true);
        let health = self.health.clone();
        Ok(Model::new(name, signature, running, metrics, health))
    }

    /// Loads models one after another, so that each is measured while nothing else runs.
    ///
    /// # Errors
    /// The error of the first that cannot be loaded; the models before it are dropped.
    pub async fn load_all(
        &self,
        models: impl IntoIterator<Item = ResolvedModel>,
    ) -> Result<Vec<Model>, LoadError> {
        let mut loaded = Vec::new();
        for model in models {
            loaded.push(self.load(model).await?);
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

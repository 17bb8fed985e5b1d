//! From blueprints to running models.

use std::sync::Arc;

use motet_batcher::{Batcher, BuildError, SpawnError};
use motet_models::{DeviceError, EncoderCache, TextEncoder, Tokenizer};
use motet_runtime::health::Health;
use motet_runtime::metrics::{Metrics, ModelMetrics};
use tracing::Span;

use crate::blueprint::{Blueprint, EncodePlan, Plan};
use crate::cores::{Cores, Place};
use crate::executor::EncoderExecutor;
use crate::model::Model;
use crate::observer::{ModelObserver, watch};
use crate::pool::Pool;
use crate::task::{Encode, Encoding, Limits, Preprocess, Task};
use crate::warm_up::{WarmUps, warm_up};

/// What the tokenizers are warmed up with.
const WARM_UP_TEXT: &str = "Where does the first answer come from, and how fast?";

/// Why a model cannot be started. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The device is not compiled in, or not there.
    #[error("{model}: {cause}")]
    Device {
        /// The model's name.
        model: String,
        /// Why.
        cause: DeviceError,
    },
    /// The weights cannot be loaded.
    #[error("{model}: {cause}")]
    Weights {
        /// The model's name.
        model: String,
        /// Why.
        cause: motet_models::LoadError,
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
        /// What is known about it.
        reason: String,
    },
    /// The system gives no threads.
    #[error("the system gives no threads for tokenizing: {0}")]
    Threads(rayon::ThreadPoolBuildError),
}

/// Loads models. Those of one source share their weights, and all share the cores and the threads for tokenizing. Clones share both.
#[derive(Clone, Debug)]
pub struct Loader {
    metrics: Metrics,
    health: Health,
    limits: Limits,
    cache: Arc<EncoderCache>,
    warm_ups: Arc<WarmUps>,
    cores: Cores,
    pool: Pool,
}

impl Loader {
    /// Models will be counted in `metrics`, and be in `health` under their names: not serving until they are loaded and warm.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(metrics: Metrics, health: Health) -> Result<Self, LoadError> {
        Ok(Self {
            metrics,
            health,
            limits: Limits::default(),
            cache: Arc::default(),
            warm_ups: Arc::default(),
            cores: Cores::default(),
            pool: Pool::new().map_err(LoadError::Threads)?,
        })
    }

    /// The same with other limits on what a call may ask for.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Loads a model, starts its batcher, and runs it until it is warm: its first answer is not slower than others.
    ///
    /// # Errors
    /// A device that is not there, weights that cannot be read or do not fit; nothing is left running then.
    pub async fn load(&self, blueprint: Blueprint) -> Result<Model, LoadError> {
        let Blueprint {
            name,
            signature,
            plan,
        } = blueprint;
        self.health.set(&name, false);
        let metrics = self.metrics.model(&name);
        let task = match plan {
            Plan::Preprocess { tokenizer, chunks } => {
                self.warm_up_pool(&name, tokenizer.clone()).await?;
                Task::Preprocess(Preprocess {
                    tokenizer,
                    chunks,
                    pool: self.pool.clone(),
                    limits: self.limits,
                })
            }
            Plan::Encode(plan) => {
                self.warm_up_pool(&name, plan.tokenizer.clone()).await?;
                Task::Encode(self.encode(&name, *plan, metrics.clone()).await?)
            }
        };
        self.health.set(&name, true);
        let health = self.health.clone();
        Ok(Model::new(name, signature, task, metrics, health))
    }

    /// Loads models one after another, so that each is measured while nothing else runs.
    ///
    /// # Errors
    /// The first that cannot be loaded; those before it are dropped.
    pub async fn load_all(
        &self,
        blueprints: impl IntoIterator<Item = Blueprint>,
    ) -> Result<Vec<Model>, LoadError> {
        let mut models = Vec::new();
        for blueprint in blueprints {
            models.push(self.load(blueprint).await?);
        }
        Ok(models)
    }

    async fn encode(
        &self,
        name: &str,
        plan: EncodePlan,
        metrics: ModelMetrics,
    ) -> Result<Encode, LoadError> {
        let encoder = self.encoder(name, &plan).await?;
        let encoding = Encoding {
            head: plan.head,
            tokenizer: plan.tokenizer,
            output: plan.output,
            max_tokens: plan.max_tokens,
            size: encoder.config().hidden_size(),
            limits: self.limits,
        };
        let model: Arc<str> = name.into();
        let known = self.warm_ups.of(&encoder);
        // Executors that compute at the same time have a share of the cores each.
        let threads = plan.threads;
        let threads = threads.unwrap_or_else(|| self.cores.count().div_ceil(plan.executors));
        let factory = || {
            let (model, encoder, known) = (model.clone(), encoder.clone(), known.clone());
            let cores = self.cores.clone();
            // Weights never change, so an executor that is rebuilt after a panic can have the same.
            move || {
                let place = Place::of(&encoder, threads, &cores).map_err(build_error)?;
                let (output, max_tokens) = (plan.output, plan.max_tokens);
                warm_up(&encoder, &place, output, max_tokens, &known).map_err(build_error)?;
                Ok(EncoderExecutor {
                    model: model.clone(),
                    encoder: encoder.clone(),
                    place,
                })
            }
        };
        let factories: Vec<_> = (0..plan.executors).map(|_| factory()).collect();
        let watched = metrics.clone();
        let observer = ModelObserver::new(name, metrics, self.health.clone(), plan.executors);
        let batcher = Batcher::spawn(name, plan.options, Arc::new(observer), factories)
            .await
            .map_err(|cause| LoadError::Batcher {
                model: name.to_owned(),
                cause,
            })?;
        batcher.calibrate(known.get().map_or(&[], Vec::as_slice));
        Ok(Encode {
            encoding,
            _watch: watch(&watched, &batcher),
            batcher,
            pool: self.pool.clone(),
        })
    }

    /// The weights on their device; reading them blocks, so a thread of its own does it.
    async fn encoder(&self, name: &str, plan: &EncodePlan) -> Result<Arc<TextEncoder>, LoadError> {
        let (device, precision) = (plan.device, plan.precision);
        let (files, cache, model) = (plan.files.clone(), self.cache.clone(), name.to_owned());
        let loading = tokio::task::spawn_blocking(move || {
            let device = device.open().map_err(|cause| LoadError::Device {
                model: model.clone(),
                cause,
            })?;
            cache
                .get(&files, &device, precision)
                .map_err(|cause| LoadError::Weights { model, cause })
        });
        loading.await.map_err(|error| LoadError::Crashed {
            model: name.to_owned(),
            reason: error.to_string(),
        })?
    }

    /// The way to the executors, which warm up by themselves.
    async fn warm_up_pool(&self, name: &str, tokenizer: Arc<Tokenizer>) -> Result<(), LoadError> {
        let warm = move || tokenizer.encode(WARM_UP_TEXT).map(|ids| ids.len());
        match self.pool.run(Span::none(), warm).await {
            Ok(_) => Ok(()),
            Err(error) => Err(LoadError::Crashed {
                model: name.to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

fn build_error(error: impl std::fmt::Display) -> BuildError {
    BuildError(error.to_string())
}

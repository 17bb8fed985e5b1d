//! From resolved models to running ones.

use std::sync::Arc;

use motet_batcher::{Batcher, BuildError, SpawnError};
use motet_models::{DeviceError, EncoderCache, LoadedHead, ModelFiles, TextEncoder, Tokenizer};
use motet_runtime::health::Health;
use motet_runtime::metrics::{Metrics, ModelMetrics};
use tracing::Span;

use crate::core_permits::CoreSemaphore;
use crate::cpu_pool::CpuPool;
use crate::executor::{EncoderExecutor, ModelHeads};
use crate::limits::Limits;
use crate::measurements::Measurements;
use crate::model::Model;
use crate::observer::{ModelObserver, register_gauges};
use crate::per_encoder::PerEncoder;
use crate::resolve::{EncoderModel, ModelKind, ResolvedModel};
use crate::task::{BatchedEncoder, ModelTasks, Runner, Splitter, TextCodec};
use crate::token_vectors::{Member, TokenVectors};

/// The text that tokenizers are warmed up with.
const WARM_UP_TEXT: &str = "Where does the first answer come from, and how fast?";

/// Why a model cannot be started. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The device is not compiled in, or not present.
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
        /// The message of the panic.
        reason: String,
    },
    /// The system cannot start threads.
    #[error("the system gives no threads for tokenizing: {0}")]
    Threads(rayon::ThreadPoolBuildError),
}

/// Loads models. Models of one source, device and number format share their weights, and all
/// models of a loader share the cores and the CPU pool. Clones share these too.
#[derive(Clone, Debug)]
pub struct Loader {
    metrics: Metrics,
    health: Health,
    limits: Limits,
    encoders: Arc<EncoderCache>,
    measurements: Arc<PerEncoder<Measurements>>,
    token_vectors: Arc<PerEncoder<Arc<TokenVectors>>>,
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
            encoders: Arc::default(),
            measurements: Arc::default(),
            token_vectors: Arc::default(),
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
            kind,
        } = model;
        self.health.set(&name, false);
        let metrics = self.metrics.model(&name);
        let runner = match kind {
            ModelKind::Splitter(splitter) => {
                self.warm_up_pool(&name, &splitter.tokenizer).await?;
                Runner::Splitter(Splitter {
                    tokenizer: splitter.tokenizer,
                    default: splitter.default,
                    pool: self.pool.clone(),
                    limits: self.limits,
                })
            }
            ModelKind::Encoder(encoder) => {
                self.warm_up_pool(&name, &encoder.tokenizer).await?;
                let encoder = self.start_encoder(&name, *encoder, metrics.clone());
                Runner::Encoder(Box::new(encoder.await?))
            }
        };
        self.health.set(&name, true);
        let health = self.health.clone();
        Ok(Model::new(name, signature, runner, metrics, health))
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

    /// Loads the weights and starts the executors behind a batcher.
    async fn start_encoder(
        &self,
        name: &str,
        model: EncoderModel,
        metrics: ModelMetrics,
    ) -> Result<BatchedEncoder, LoadError> {
        let (encoder, heads) = self.encoder(name, &model).await?;
        let prompts = Arc::new(encoder.config().prompts.clone());
        // Other heads than those of vectors read what they were trained to read.
        let pools_prompt = encoder.config().pools_prompt || model.tasks.of_vectors().is_none();
        let measurements = self.measurements.of(&encoder);
        // From vectors that are kept a head gives the same bits as from new ones only on this
        // engine, and others may have to copy them from a device first.
        let shares = encoder.is_packed();
        let token_vectors = shares.then(|| {
            let takes = heads.of_tasks.iter().all(LoadedHead::is_cheap);
            Arc::new(self.token_vectors.of(&encoder).join(takes))
        });
        // Executors that compute at the same time get an equal share of the cores each.
        let threads = model.threads;
        let threads = threads.unwrap_or_else(|| self.cores.total().div_ceil(model.executors));
        let factory = ExecutorFactory {
            model: name.into(),
            encoder,
            heads: heads.clone(),
            token_vectors: token_vectors.clone(),
            threads,
            cores: self.cores.clone(),
            measurements,
        };
        let factories = (0..model.executors).map(|_| {
            let factory = factory.clone();
            move || factory.build()
        });
        let health = self.health.clone();
        let observer = ModelObserver::new(name, metrics.clone(), health, model.executors);
        let batcher = Batcher::spawn(name, model.options, Arc::new(observer), factories.collect());
        let batcher = batcher.await.map_err(|cause| LoadError::Batcher {
            model: name.to_owned(),
            cause,
        })?;
        Ok(BatchedEncoder {
            codec: TextCodec {
                tasks: model.tasks,
                tokenizer: model.tokenizer,
                defaults: model.defaults,
                prompts,
                pools_prompt,
                limits: self.limits,
            },
            heads,
            token_vectors,
            _gauges: register_gauges(&metrics, &batcher),
            batcher,
            metrics,
            pool: self.pool.clone(),
        })
    }

    /// Loads the weights onto their device, and those of the heads, on a thread where it may block.
    async fn encoder(
        &self,
        name: &str,
        model: &EncoderModel,
    ) -> Result<(Arc<TextEncoder>, Arc<ModelHeads>), LoadError> {
        let (device, engine, precision) = (model.device, model.engine, model.precision);
        let tasks = model.tasks.clone();
        let (files, encoders, model) =
            (model.files.clone(), self.encoders.clone(), name.to_owned());
        let loading = tokio::task::spawn_blocking(move || {
            let device = device.open().map_err(|cause| LoadError::Device {
                model: model.clone(),
                cause,
            })?;
            let heads = load_heads(&files, &tasks);
            heads
                .and_then(|heads| Ok((encoders.get(engine, &files, &device, precision)?, heads)))
                .map_err(|cause| LoadError::Weights { model, cause })
        });
        loading.await.map_err(|error| LoadError::Crashed {
            model: name.to_owned(),
            reason: error.to_string(),
        })?
    }

    /// Warms up the tokenizer and the CPU pool; executors warm themselves up.
    async fn warm_up_pool(&self, name: &str, tokenizer: &Arc<Tokenizer>) -> Result<(), LoadError> {
        let tokenizer = tokenizer.clone();
        let tokenize = move || tokenizer.encode(WARM_UP_TEXT).map(|ids| ids.len());
        match self.pool.run(Span::none(), tokenize).await {
            Ok(_) => Ok(()),
            Err(error) => Err(LoadError::Crashed {
                model: name.to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

fn load_heads(
    files: &ModelFiles,
    tasks: &ModelTasks,
) -> Result<Arc<ModelHeads>, motet_models::LoadError> {
    let of_tasks = tasks.iter().map(|task| LoadedHead::load(files, &task.head));
    Ok(Arc::new(ModelHeads {
        of_tasks: of_tasks.collect::<Result<_, _>>()?,
        of_tokens: LoadedHead::of_tokens(files.config().hidden_size()),
    }))
}

/// Builds the executors of one model, each on its own thread; again after a panic, with the same
/// weights, since these never change.
#[derive(Clone, Debug)]
struct ExecutorFactory {
    model: Arc<str>,
    encoder: Arc<TextEncoder>,
    heads: Arc<ModelHeads>,
    token_vectors: Option<Arc<Member>>,
    threads: usize,
    cores: CoreSemaphore,
    measurements: Measurements,
}

impl ExecutorFactory {
    /// Returns an executor that belongs to the calling thread.
    fn build(&self) -> Result<EncoderExecutor, BuildError> {
        let (model, encoder) = (self.model.clone(), self.encoder.clone());
        let (threads, measurements) = (self.threads, self.measurements.clone());
        EncoderExecutor::new(
            model,
            encoder,
            self.heads.clone(),
            self.token_vectors.clone(),
            threads,
            &self.cores,
            measurements,
        )
        .map_err(|error| BuildError(error.to_string()))
    }
}

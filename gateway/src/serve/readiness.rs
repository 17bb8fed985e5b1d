//! Readiness: which models and pipelines can answer. Health has it, and every surface tells what
//! health has.
//!
//! A model of this process sets its own entry. Models in other processes are asked every second,
//! and whenever someone asks for readiness by the Open Inference Protocol; `remote_models` compares
//! what they state. A pipeline is ready when it can answer without the models that are away,
//! degraded or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::future::join_all;
use motet_proto::signature::Signature;
use motet_runtime::health::{Health, HealthChanges, OVERALL};
use motet_runtime::metrics::Metrics;
use tokio::runtime::Handle;
use tokio::time::Duration;

use super::pipeline::ServedPipeline;
use super::registry::{Pipelines, Registry};
use super::remote_models::RemoteModels;
use crate::check::SignatureSource;
use crate::model::Backend;

/// Time limit of asking a model service.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two rounds of asking the models in other processes.
const PAUSE: Duration = Duration::from_secs(1);

/// The readiness of a gateway.
#[derive(Debug)]
pub(super) struct Readiness {
    registry: Arc<Registry>,
    health: Health,
    metrics: Metrics,
    remote: Mutex<RemoteModels>,
}

impl Readiness {
    /// Returns the readiness of the pipelines and models of `registry`, which is kept up to date in
    /// the background while it exists. `unseen` are the models that have not been reached yet;
    /// pipelines were checked against these and `signatures`.
    pub(super) fn new(
        registry: Arc<Registry>,
        unseen: BTreeMap<String, Signature>,
        signatures: &dyn SignatureSource,
        health: Health,
        metrics: Metrics,
    ) -> Arc<Self> {
        for name in unseen.keys() {
            health.set_spared(name, false);
            metrics.model_ready(name, false);
        }
        let models = registry.models();
        let remote = models.values().filter(|model| !model.is_local());
        let remote = remote.map(|model| match unseen.get(model.model()) {
            Some(signature) => (model.model(), Some(signature.clone().into())),
            None => (model.model(), signatures.model(model.model()).ok()),
        });
        let remote = RemoteModels::new(remote);
        let changes = health.changes();
        let readiness = Arc::new(Self {
            registry,
            remote: Mutex::new(remote),
            health,
            metrics,
        });
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(follow(Arc::downgrade(&readiness), changes));
            if models.values().any(|model| !model.is_local()) {
                runtime.spawn(ask_again(Arc::downgrade(&readiness)));
            }
        }
        readiness
    }

    /// Returns whether the server is ready. Asks the models in other processes.
    pub(super) async fn of_server(&self) -> bool {
        self.ask(self.registry.models().values()).await;
        self.is_serving(OVERALL)
    }

    /// Returns whether a pipeline is ready. Asks the models in other processes that it calls.
    pub(super) async fn of_pipeline(&self, name: &str) -> bool {
        if let Some(served) = self.registry.pipeline(name) {
            self.ask(served.plan.backends()).await;
        }
        self.is_serving(name)
    }

    /// Returns whether a model is ready. Asks it if it is in another process.
    pub(super) async fn of_model(&self, model: &Backend) -> bool {
        match self.registry.models().get(model.model()) {
            // Another version than that of the configuration has no entry.
            Some(known) if known.version() == model.version() => {
                self.ask([known]).await;
                self.is_serving(model.model())
            }
            _ => model.ready(QUERY_TIMEOUT).await,
        }
    }

    /// Sets the entries of pipelines that are served from now on.
    pub(super) fn set_pipelines(&self, pipelines: &Pipelines) {
        for (name, served) in pipelines {
            let can = self.can_answer(served);
            if !can && self.health.is_serving(name) == Some(true) {
                tracing::warn!(pipeline = name, "a pipeline cannot answer: models are away");
            }
            self.health.set(name, can);
            self.health.set(&served.api.service, can);
        }
    }

    /// Returns the models that are away and without which some pipeline cannot answer.
    pub(super) fn missing(&self) -> Vec<String> {
        let pipelines = self.registry.pipelines();
        let unable = pipelines.values().filter(|served| !self.can_answer(served));
        let models = unable.flat_map(|served| served.plan.backends());
        let missing = models.filter(|model| !self.is_up(model));
        let names: BTreeSet<&str> = missing.map(Backend::model).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Returns whether a pipeline can answer. One that calls a model which takes or gives something
    /// else than the pipeline was checked against cannot.
    fn can_answer(&self, served: &ServedPipeline) -> bool {
        let remote = lock(&self.remote);
        let differs = |model: &Backend| remote.differs(model.model());
        let plan = &served.plan;
        !plan.backends().iter().any(differs) && plan.can_answer(&|model| self.is_up(model))
    }

    /// Returns whether a model in another process is ready. It must have the signature that its
    /// pipelines were checked against. Rows of its answers that are kept are forgotten if it was
    /// loaded anew.
    async fn is_ready(&self, model: &Backend) -> bool {
        if !model.ready(QUERY_TIMEOUT).await {
            return false;
        }
        let description = model.description(QUERY_TIMEOUT).await;
        let mut remote = lock(&self.remote);
        let Ok(description) = description else {
            return remote.was_seen(model.model());
        };
        let seen = remote.see(model.model(), &description);
        drop(remote);
        if seen.is_new {
            tracing::debug!(
                model = model.model(),
                "a model in another process was loaded anew"
            );
            model.rows().renew();
        }
        seen.suits
    }

    /// Asks the models in other processes among these, and brings all entries up to date.
    async fn ask(&self, models: impl IntoIterator<Item = &Backend>) {
        let remote = models.into_iter().filter(|model| !model.is_local());
        let asked = remote.map(async |model| (model, self.is_ready(model).await));
        for (model, is_ready) in join_all(asked).await {
            let name = model.model();
            if self.health.is_serving(name) != Some(is_ready) {
                match is_ready {
                    true => tracing::info!(name, "a model in another process is ready"),
                    false => tracing::warn!(name, "a model in another process is not ready"),
                }
            }
            self.health.set_spared(name, is_ready);
            self.metrics.model_ready(name, is_ready);
        }
        self.set_pipelines(&self.registry.pipelines());
    }

    fn is_up(&self, model: &Backend) -> bool {
        self.is_serving(model.model())
    }

    fn is_serving(&self, name: &str) -> bool {
        self.health.is_serving(name) == Some(true)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Brings the entries of pipelines up to date whenever those of models change.
async fn follow(readiness: Weak<Readiness>, mut changes: HealthChanges) {
    while changes.next().await {
        let Some(readiness) = readiness.upgrade() else {
            return;
        };
        readiness.set_pipelines(&readiness.registry.pipelines());
    }
}

/// Asks the models in other processes again and again.
async fn ask_again(readiness: Weak<Readiness>) {
    loop {
        // Many gateways do not ask at the same moments.
        tokio::time::sleep(PAUSE.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        let Some(readiness) = readiness.upgrade() else {
            return;
        };
        let models = readiness.registry.models();
        readiness.ask(models.values()).await;
    }
}

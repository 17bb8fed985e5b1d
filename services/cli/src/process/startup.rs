//! Startup, in phases: place, fetch, connect, check, assemble, load.
//!
//! Steps that are likely to fail come first: the configuration is checked before weights are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use motet_gateway::check::CheckedPipeline;
use motet_gateway::grpc::Endpoints;
use motet_gateway::model::{Backend, ModelService};
use motet_gateway::serve::{Gateway, GatewayParts};
use motet_proto::signature::Signature;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use motet_service::{HubSources, Loader, MemoryLimit, ModelServer, Repository, ResolvedModel};
use tokio::time::Instant;

use super::models::{GatewayUsers, ModelFinder};
use super::watch::Reloader;
use super::{Options, Overview, PipelineOverview, Role};
use crate::configuration::{Configuration, ConfigurationErrors, ResolvedModels};
use crate::fetch::{self, Fetched, Out};
use crate::lock::Lock;
use crate::placement::{Flags, Placement};
use crate::remote_startup;
use crate::signatures::{self, Signatures};

/// Health and metrics of what is started.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
}

impl Instruments {
    /// Returns instruments for what has this role. Where the environment names a collector, metrics
    /// are sent to it.
    pub(crate) fn new(role: &Role) -> anyhow::Result<Self> {
        Self::named(role.service_name())
    }

    /// Returns instruments for a process of this name.
    pub(crate) fn named(service: &str) -> anyhow::Result<Self> {
        Ok(Self {
            health: Health::new(),
            metrics: Metrics::from_env(service)?,
        })
    }
}

/// A configuration that is being started.
pub(crate) struct Startup {
    pub(crate) configuration: Configuration,
    role: Role,
    signatures: Signatures,
    hub: HubSources,
    /// Folders of the models that were resolved.
    folders: BTreeSet<PathBuf>,
}

/// Clients of servers in other processes.
pub(crate) struct Remote {
    models: Vec<Backend>,
    /// Signatures of those that are not up, as the lock file has them.
    unseen: BTreeMap<String, Signature>,
    /// Until when those are waited for that nothing works without.
    deadline: Instant,
    endpoints: Endpoints,
    forwarded: Vec<HeaderName>,
}

/// Models of this process that are about to be loaded.
pub(crate) struct Loading {
    repository: Repository,
    models: Vec<ResolvedModel>,
}

impl Loading {
    /// Reads the weights of the models, and warms them up.
    ///
    /// # Errors
    /// The first that cannot be loaded.
    pub(crate) async fn load(self) -> anyhow::Result<()> {
        Ok(self.repository.start(self.models).await?)
    }
}

/// Services of a port, or of a program of one's own.
pub(crate) struct Served {
    pub(crate) routes: LiveRoutes,
    pub(crate) models: ModelServer,
    pub(crate) overview: Overview,
    /// Names of headers that go along to other servers.
    pub(crate) forwarded: Vec<HeaderName>,
    pub(crate) gateway: Option<Gateway>,
    /// Models in other processes, and until when they are waited for.
    remote: (Vec<Backend>, Instant),
}

impl Served {
    /// Waits for the models in other processes that pipelines cannot do without.
    ///
    /// # Errors
    /// One that does not come in time.
    pub(crate) async fn required(&self) -> anyhow::Result<()> {
        let (models, deadline) = &self.remote;
        match &self.gateway {
            Some(gateway) => remote_startup::required(gateway, models, *deadline).await,
            None => Ok(()),
        }
    }
}

impl Startup {
    pub(crate) fn new(configuration: Configuration, role: Role) -> Self {
        Self {
            hub: configuration.hub(),
            configuration,
            role,
            signatures: Signatures::default(),
            folders: BTreeSet::new(),
        }
    }

    pub(crate) fn role(&self) -> &Role {
        &self.role
    }

    /// Returns the folders of the models that were resolved.
    pub(crate) fn folders(&self) -> BTreeSet<PathBuf> {
        self.folders.clone()
    }

    /// Takes what is known of the models and services of other processes.
    pub(crate) fn use_remote(&mut self, known: &Signatures) {
        self.signatures = std::mem::take(&mut self.signatures).with_remote(known);
    }

    /// Returns what takes later changes of the files, without the gateway.
    pub(super) fn reloader(
        &self,
        options: &Options,
        placement: Placement,
        loading: &Loading,
    ) -> Reloader {
        Reloader {
            files: options.files.clone(),
            role: self.role.clone(),
            flags: Flags {
                endpoints: options.endpoints.clone(),
            },
            locked: options.locked,
            models: loading.repository.clone(),
            gateway: None,
            configuration: self.configuration.clone(),
            placement,
            signatures: self.signatures.clone(),
            folders: self.folders(),
            refused: BTreeSet::new(),
        }
    }

    /// Decides where each model runs, and resolves those of this process against their files, as
    /// far as these are on this machine.
    pub(crate) async fn place(&mut self, flags: &Flags) -> anyhow::Result<Placement> {
        if self.configuration.diagnostics.has_errors() {
            return Err(self.all_errors(flags).await?.into());
        }
        let placement = Placement::for_process(&self.configuration, &self.role, flags)?;
        let resolved = self.resolve(&placement);
        let signatures = Signatures::new(self.configuration.served_models()).with_models(&resolved);
        self.signatures = match self.role.has_gateway() {
            true => signatures.with_services(self.configuration.schemas()),
            false => signatures,
        };
        if self.configuration.diagnostics.has_errors() {
            return Err(self.all_errors(flags).await?.into());
        }
        Ok(placement)
    }

    /// Resolves the models of this process, whose files are fetched where they are not on this
    /// machine.
    pub(crate) async fn fetch(
        &mut self,
        placement: &Placement,
        flags: &Flags,
        locked: bool,
    ) -> anyhow::Result<Vec<ResolvedModel>> {
        let mut fetched = Fetched::new(&self.hub, Out::of_process());
        loop {
            let resolved = self.resolve(placement);
            if self.configuration.diagnostics.has_errors() {
                return Err(self.all_errors(flags).await?.into());
            }
            if !fetched.have(&resolved.repositories).await? {
                let resolved = match locked {
                    true => self.locked(resolved).await?,
                    false => resolved,
                };
                self.signatures = std::mem::take(&mut self.signatures).with_models(&resolved);
                return Ok(resolved.models);
            }
        }
    }

    /// Refuses models that are other ones than those of the lock file.
    async fn locked(&self, resolved: ResolvedModels) -> anyhow::Result<ResolvedModels> {
        let lock = self.configuration.lock_path();
        // Large files are read.
        fetch::on_thread("digests", move || {
            Lock::refuse(lock.as_deref(), &resolved).map(|()| resolved)
        })
        .await?
    }

    fn resolve(&mut self, placement: &Placement) -> ResolvedModels {
        let is_local = |model: &_| placement.is_local(model);
        let resolved = self.configuration.resolve_models(&self.hub, is_local);
        self.folders.extend(resolved.folders.values().cloned());
        resolved
    }

    /// Nothing will start: finds every other error that can be found now, so that one run shows
    /// them all. Servers in other processes are asked once.
    async fn all_errors(&mut self, flags: &Flags) -> anyhow::Result<ConfigurationErrors> {
        let configuration = &mut self.configuration;
        let placement = match self.role.has_gateway() {
            true => Placement::for_process(configuration, &self.role, flags).ok(),
            false => None,
        };
        let placement = placement.unwrap_or_else(|| Placement::of_file(configuration));
        let (signatures, _) = signatures::discover(configuration, &self.hub, &placement).await?;
        configuration.check(&signatures, true);
        Ok(configuration.errors())
    }

    /// Connects to the servers in other processes, and waits until each has stated what its models
    /// and services take and give.
    pub(crate) async fn connect(
        &mut self,
        placement: &Placement,
        health: &Health,
        wait: Duration,
    ) -> anyhow::Result<Remote> {
        let message_bytes_max = self.message_bytes_max();
        let deadline = Instant::now() + wait;
        let mut remote = Remote {
            models: placement.connect(message_bytes_max)?,
            unseen: BTreeMap::new(),
            deadline,
            endpoints: placement.endpoints(message_bytes_max),
            forwarded: placement.forwarded(),
        };
        if !self.role.has_gateway() {
            return Ok(remote);
        }
        let lock = self.configuration.lock_path();
        let lock = lock.map(|path| Lock::read(&path)).transpose()?.flatten();
        let mut locked = lock.unwrap_or_default().models;
        for backend in &remote.models {
            let name = backend.model();
            let signature = match locked.remove(name) {
                None => remote_startup::signature(backend, deadline).await?,
                Some(locked) => match remote_startup::signature_if_up(backend).await? {
                    Some(signature) => signature,
                    None => {
                        tracing::warn!(
                            name,
                            address = backend.address(),
                            "a model is not up: the lock file says what it takes and gives"
                        );
                        remote.unseen.insert(name.to_owned(), locked.clone());
                        locked
                    }
                },
            };
            self.signatures.insert(name, Ok(signature));
            health.set_spared(name, !remote.unseen.contains_key(name));
        }
        let services = self.configuration.called_services();
        for (endpoint, service) in self.signatures.services.to_ask(services) {
            if let Some(remote) = remote.endpoints.get(&endpoint) {
                let answer = remote_startup::service(&remote, &service, deadline).await;
                self.signatures.services.insert(endpoint, service, answer);
            }
        }
        Ok(remote)
    }

    /// Checks the pipelines against the signatures.
    pub(crate) fn check(&mut self) -> anyhow::Result<Vec<CheckedPipeline>> {
        let pipelines = match self.role.has_gateway() {
            true => self.configuration.check(&self.signatures, false),
            false => Vec::new(),
        };
        self.configuration.ok()?;
        for warning in self.configuration.diagnostics.sorted() {
            tracing::warn!("{}", warning.message);
        }
        Ok(pipelines)
    }

    /// Returns the models of this process, to be loaded.
    pub(crate) fn models(
        &self,
        models: Vec<ResolvedModel>,
        memory: MemoryLimit,
        instruments: &Instruments,
    ) -> anyhow::Result<Loading> {
        let Instruments { health, metrics } = instruments.clone();
        let loader = Loader::new(metrics, health.clone())?.with_memory(memory);
        let finder = ModelFinder::new(self.configuration.clone());
        let repository = Repository::new(loader, health, finder);
        repository.announce(&models);
        Ok(Loading { repository, models })
    }

    /// Puts the models and pipelines into service. A model that is being loaded, and a pipeline
    /// that cannot do without it, are not ready yet.
    pub(crate) fn assemble(
        self,
        loading: &Loading,
        remote: Remote,
        pipelines: Vec<CheckedPipeline>,
        instruments: &Instruments,
    ) -> anyhow::Result<Served> {
        let message_bytes_max = self.message_bytes_max();
        let models = ModelServer::of_repository(loading.repository.clone());
        let local = loading.models.iter().map(|model| model.name().to_owned());
        let overview = Overview {
            local_models: local.collect(),
            remote_models: remote.models.iter().map(|m| m.model().to_owned()).collect(),
            pipelines: pipelines.iter().map(PipelineOverview::of).collect(),
        };
        if !self.role.has_gateway() {
            let routes = models.routes(&instruments.health, message_bytes_max)?;
            return Ok(Served {
                routes: LiveRoutes::new(routes),
                models,
                overview,
                gateway: None,
                remote: (Vec::new(), remote.deadline),
                forwarded: Vec::new(),
            });
        }
        let service = models.local(message_bytes_max);
        let service = ModelService::new(service, models.clone(), message_bytes_max);
        let local = overview.local_models.iter();
        let local = local.map(|name| service.backend(name));
        let others = remote.models.clone();
        let gateway = Gateway::new(GatewayParts {
            models: local.chain(remote.models).collect(),
            model_service: (self.role == Role::Up).then_some(service),
            unseen: remote.unseen,
            signatures: Arc::new(self.signatures),
            endpoints: Arc::new(remote.endpoints),
            pipelines,
            message_bytes_max,
            metrics: instruments.metrics.clone(),
            health: instruments.health.clone(),
        })?;
        let users = GatewayUsers(gateway.downgrade());
        loading.repository.set_users(users);
        Ok(Served {
            routes: gateway.routes(),
            models,
            overview,
            gateway: Some(gateway),
            remote: (others, remote.deadline),
            forwarded: remote.forwarded,
        })
    }

    fn message_bytes_max(&self) -> usize {
        self.configuration.config.server.max_message_bytes
    }
}

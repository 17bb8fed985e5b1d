//! Signatures of the models and services of a configuration: what each takes and gives, from
//! files and from the servers that answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use motet_config::Diagnostic;
use motet_gateway::check::{SignatureError, SignatureSource};
use motet_gateway::grpc::{Schemas, ServiceLookupError};
use motet_gateway::syntax::EndpointRef;
use motet_proto::signature::Signature;
use motet_service::HubSources;
use motet_service::spec::ModelSpec;
use prost_reflect::ServiceDescriptor;
use tokio::task::JoinSet;

use crate::configuration::{Configuration, ResolvedModels};
use crate::placement::Placement;

/// How long one server may take to answer. A server that does not is a warning.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(2);

/// The signatures of models and services, or why one is missing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Signatures {
    models: BTreeMap<String, Result<Arc<Signature>, SignatureError>>,
    /// Schemas of services at endpoints.
    pub(crate) services: Schemas,
}

impl Signatures {
    /// Signatures of models, none of which is known yet.
    ///
    /// A model that stays so has errors of its own, which are reported where they are: the check
    /// of pipelines is silent about it.
    pub(crate) fn new<'m>(models: impl IntoIterator<Item = &'m ModelSpec>) -> Self {
        Self {
            models: models
                .into_iter()
                .map(|m| (m.name.value.clone(), Err(SignatureError::Mistaken)))
                .collect(),
            services: Schemas::default(),
        }
    }

    /// Returns the signatures with schemas of services at endpoints.
    #[must_use]
    pub(crate) fn with_services(mut self, services: Schemas) -> Self {
        self.services = services;
        self
    }

    /// Returns the signatures with those of resolved models.
    #[must_use]
    pub(crate) fn with_models(mut self, resolved: &ResolvedModels) -> Self {
        for model in &resolved.models {
            self.insert(model.name(), Ok(model.signature().clone()));
        }
        for problem in &resolved.absent {
            self.insert(&problem.model, Err(problem.message.clone()));
        }
        self
    }

    /// Returns the signatures with those of another configuration for the models that have none
    /// here, and with its services.
    #[must_use]
    pub(crate) fn with_remote(mut self, known: &Self) -> Self {
        for (name, signature) in &mut self.models {
            let other = known.models.get(name);
            if let (Err(SignatureError::Mistaken), Some(other)) = (&signature, other) {
                signature.clone_from(other);
            }
        }
        for (endpoint, service, answer) in known.services.asked() {
            let (endpoint, service) = (endpoint.clone(), service.to_owned());
            self.services.insert(endpoint, service, answer.clone());
        }
        self
    }

    /// Adds the signature of a model, or the reason why its server does not state one.
    pub(crate) fn insert(&mut self, model: &str, signature: Result<Signature, String>) {
        let signature = signature
            .map(Arc::new)
            .map_err(|reason| SignatureError::Unavailable { reason });
        self.models.insert(model.to_owned(), signature);
    }

    /// Iterates over the models, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Result<&Signature, &SignatureError>)> {
        self.models
            .iter()
            .map(|(model, known)| (model.as_str(), known.as_ref().map(|s| &**s)))
    }
}

impl SignatureSource for Signatures {
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        match self.models.get(name) {
            Some(known) => known.clone(),
            None => Err(SignatureError::Unknown {
                known: self.models.keys().cloned().collect(),
            }),
        }
    }

    fn service(
        &self,
        endpoint: &EndpointRef,
        service: &str,
    ) -> Result<ServiceDescriptor, ServiceLookupError> {
        self.services.service(endpoint, service)
    }
}

/// Discovers signatures without starting or waiting for anything: models placed in this process
/// are resolved against their files, and every server is asked once, all at the same time.
///
/// Errors in files are added to the configuration's diagnostics. A server that cannot be reached
/// is stated so in the signatures, and so are files that are not on this machine: nothing is
/// fetched. Needs a tokio runtime.
///
/// # Errors
/// When an endpoint is not a valid address.
pub(crate) async fn discover(
    configuration: &mut Configuration,
    hub: &HubSources,
    placement: &Placement,
) -> anyhow::Result<(Signatures, ResolvedModels)> {
    let resolved = configuration.resolve_models(hub, |m| placement.is_local(m));
    for problem in &resolved.absent {
        let help = problem.help.as_deref().unwrap_or_default();
        let warning = Diagnostic::warning(problem.span, &problem.message).help(help);
        configuration.diagnostics.push(warning);
    }
    let mut signatures = Signatures::new(configuration.served_models())
        .with_models(&resolved)
        .with_services(configuration.schemas());
    let message_bytes_max = configuration.config.server.max_message_bytes;

    let mut models = JoinSet::new();
    for backend in placement.connect(message_bytes_max)? {
        models.spawn(async move {
            let answer = backend.signature(REMOTE_TIMEOUT).await;
            (backend, answer)
        });
    }
    let endpoints = placement.endpoints(message_bytes_max);
    let mut services = JoinSet::new();
    for (endpoint, service) in signatures.services.to_ask(configuration.called_services()) {
        if let Some(remote) = endpoints.get(&endpoint) {
            services.spawn(async move {
                let answer = remote.describe(&service, REMOTE_TIMEOUT).await;
                (endpoint, service, answer.map_err(ServiceLookupError::from))
            });
        }
    }
    for (backend, answer) in models.join_all().await {
        let signature = answer.map(|(signature, _)| signature);
        signatures.insert(
            backend.model(),
            signature.map_err(|e| e.message().to_owned()),
        );
    }
    for (endpoint, service, answer) in services.join_all().await {
        signatures.services.insert(endpoint, service, answer);
    }
    Ok((signatures, resolved))
}

/// Discovers signatures with the placement that the file states. Needs a tokio runtime.
///
/// # Errors
/// When an endpoint is not a valid address.
pub(crate) async fn discover_from_file(
    configuration: &mut Configuration,
    hub: &HubSources,
) -> anyhow::Result<(Signatures, ResolvedModels)> {
    let placement = Placement::of_file(configuration);
    discover(configuration, hub, &placement).await
}

//! Placement: which models run in this process, and where the others and the endpoints are.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use http::HeaderName;
use motet_config::{list_of, nearest};
use motet_gateway::grpc::Endpoints;
use motet_gateway::model::Backend;
use motet_runtime::config::{Destination, Endpoint, ErrorWords};
use motet_service::spec::ModelSpec;

use crate::configuration::Configuration;
use crate::process::Role;

/// Addresses that take precedence over the file's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// Of models and endpoints, by name.
    pub(crate) endpoints: Vec<(String, Endpoint)>,
}

/// Which models run in this process, and where the others and the endpoints are.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    local: Vec<String>,
    remote: Vec<(String, Destination, ErrorWords)>,
    endpoints: Vec<(String, Destination, ErrorWords)>,
    /// Names of headers that go along to all of them.
    forward: Vec<String>,
}

impl Placement {
    /// Returns the placement that the file states, for commands that serve nothing. A model that is
    /// placed nowhere is left out.
    pub(crate) fn of_file(configuration: &Configuration) -> Self {
        let mut placement = Self::with_endpoints(configuration, &[]);
        for model in configuration.served_models() {
            match &model.endpoint {
                _ if model.is_local() => placement.local.push(model.name.value.clone()),
                Some(endpoint) => placement.add_remote(model, &endpoint.value),
                None => {}
            }
        }
        placement
    }

    /// Returns the placement for a process, decided by its role, the flags and the file, in this
    /// order.
    ///
    /// # Errors
    /// When a flag names an unknown model or endpoint, or a model that is needed is placed nowhere.
    pub(crate) fn for_process(
        configuration: &Configuration,
        role: &Role,
        flags: &Flags,
    ) -> anyhow::Result<Self> {
        check_flags(configuration, role, flags)?;
        let mut placement = Self::with_endpoints(configuration, &flags.endpoints);
        let mut unplaced = Vec::new();
        for model in configuration.served_models() {
            let name = &model.name.value;
            let flag = flagged(&flags.endpoints, name);
            let endpoint = flag.or(model.endpoint.as_ref().map(|e| &e.value));
            match role {
                Role::Serve(wanted) if wanted.is_empty() && !model.is_local() => {}
                Role::Serve(wanted) if wanted.is_empty() || wanted.contains(name) => {
                    if !model.is_local() {
                        bail!(
                            "model `{name}` has no `task` and `source`: it cannot be served here"
                        );
                    }
                    placement.local.push(name.clone());
                }
                Role::Serve(_) => {}
                Role::Up if flag.is_none() && model.is_local() => {
                    placement.local.push(name.clone());
                }
                Role::Up | Role::Gateway => match endpoint {
                    Some(endpoint) => placement.add_remote(model, endpoint),
                    None => unplaced.push(name.as_str()),
                },
            }
        }
        if let Some(first) = unplaced.first() {
            bail!(
                "no endpoint is known for {}: add `endpoint: grpc://host:port` in the \
                 configuration or pass --endpoint {first}=grpc://host:port (or use the \
                 command `up`, which runs models itself)",
                list_of(&unplaced)
            );
        }
        if placement.local.is_empty() && matches!(role, Role::Serve(_)) {
            bail!("the configuration has no model that can be served here");
        }
        Ok(placement)
    }

    fn with_endpoints(configuration: &Configuration, flags: &[(String, Endpoint)]) -> Self {
        let endpoints = configuration.config.endpoints.iter().filter_map(|spec| {
            let name = &spec.name.value;
            let address = flagged(flags, name).or(spec.url.as_ref().map(|e| &e.value))?;
            let destination = Destination::new(address.clone(), &spec.access);
            let destination = destination.forwarding(&configuration.config.server.forward);
            Some((name.clone(), destination, spec.errors))
        });
        Self {
            endpoints: endpoints.collect(),
            forward: configuration.config.server.forward.clone(),
            ..Self::default()
        }
    }

    fn add_remote(&mut self, model: &ModelSpec, endpoint: &Endpoint) {
        let errors = model.errors.map(|word| word.value).unwrap_or_default();
        let name = model.name.value.clone();
        let destination = Destination::new(endpoint.clone(), &model.access);
        let destination = destination.forwarding(&self.forward);
        self.remote.push((name, destination, errors));
    }

    /// Returns whether the models and endpoints of other processes are where they are here.
    pub(crate) fn is_remote_like(&self, other: &Self) -> bool {
        self.remote == other.remote && self.endpoints == other.endpoints
    }

    /// Returns whether the model runs in this process.
    pub(crate) fn is_local(&self, model: &ModelSpec) -> bool {
        self.local.contains(&model.name.value)
    }

    /// Returns a backend for each model in another process. Needs a tokio runtime.
    ///
    /// # Errors
    /// When an endpoint is not a valid address.
    pub(crate) fn connect(&self, message_bytes_max: usize) -> anyhow::Result<Vec<Backend>> {
        self.remote
            .iter()
            .map(|(model, destination, errors)| {
                let endpoint = &destination.endpoint;
                Backend::remote(model, destination, message_bytes_max)
                    .map(|backend| backend.with_errors(*errors))
                    .with_context(|| format!("model {model}: {endpoint} cannot be used"))
            })
            .collect()
    }

    /// Returns the names of headers that go along to some server.
    pub(crate) fn forwarded(&self) -> Vec<HeaderName> {
        let destinations = self.remote.iter().chain(&self.endpoints);
        let names = destinations.flat_map(|(_, destination, _)| &destination.forward);
        let names: BTreeSet<&String> = names.collect();
        let names = names.into_iter();
        names
            .filter_map(|name| HeaderName::try_from(name).ok())
            .collect()
    }

    /// Returns the gRPC servers whose methods nodes call.
    pub(crate) fn endpoints(&self, message_bytes_max: usize) -> Endpoints {
        Endpoints::new(self.endpoints.iter().cloned(), message_bytes_max)
    }
}

/// Returns the address that `--endpoint` gives for `name`.
fn flagged<'f>(flags: &'f [(String, Endpoint)], name: &str) -> Option<&'f Endpoint> {
    flags.iter().find(|(n, _)| n == name).map(|(_, e)| e)
}

/// Refuses flags that name a model or endpoint which the configuration does not have.
fn check_flags(configuration: &Configuration, role: &Role, flags: &Flags) -> anyhow::Result<()> {
    let models = configuration.served_models();
    let models: Vec<&str> = models.map(|m| m.name.value.as_str()).collect();
    if let Role::Serve(wanted) = role {
        check_names(wanted.iter().map(String::as_str), &models, "model")?;
    }
    let endpoints = configuration.config.endpoints.iter();
    let endpoints: Vec<&str> = endpoints.map(|e| e.name.value.as_str()).collect();
    let kind = match endpoints.as_slice() {
        [] => "model",
        _ => "model or endpoint",
    };
    let known = [models, endpoints].concat();
    check_names(
        flags.endpoints.iter().map(|(n, _)| n.as_str()),
        &known,
        kind,
    )
}

/// Refuses the first of the `given` names that is not `known`.
fn check_names<'n>(
    given: impl IntoIterator<Item = &'n str>,
    known: &[&str],
    kind: &str,
) -> anyhow::Result<()> {
    let Some(unknown) = given.into_iter().find(|name| !known.contains(name)) else {
        return Ok(());
    };
    let hint = match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are: {}", list_of(known)),
    };
    bail!("the configuration has no {kind} `{unknown}`; {hint}");
}

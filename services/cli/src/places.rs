//! Where what a configuration names runs: here, or at an endpoint.

use anyhow::{Context, bail};
use motet_gateway::backend::Backend;
use motet_runtime::config::{Endpoint, ModelSpec, list_of, nearest};

use crate::load::Configuration;
use crate::process::{Options, Role};

/// Which models run here, and where the others and the endpoints are.
pub(crate) struct Places {
    /// Models that run here.
    pub(crate) local: Vec<String>,
    /// Models that run elsewhere.
    pub(crate) remote: Vec<(String, Endpoint)>,
    /// gRPC servers whose methods nodes call.
    pub(crate) endpoints: Vec<(String, Endpoint)>,
}

impl Places {
    pub(crate) fn is_local(&self, model: &ModelSpec) -> bool {
        self.local.contains(&model.name.value)
    }

    /// The way to each model that runs elsewhere.
    pub(crate) fn connect(&self, message_bytes_max: usize) -> anyhow::Result<Vec<Backend>> {
        self.remote
            .iter()
            .map(|(model, endpoint)| {
                Backend::remote(model, endpoint, message_bytes_max)
                    .with_context(|| format!("model {model}: {endpoint} cannot be used"))
            })
            .collect()
    }
}

/// Decides by the role, the flags and the file, in this order.
///
/// # Errors
/// When something is named that there is not, or a model that is needed is nowhere.
pub(crate) fn places(configuration: &Configuration, options: &Options) -> anyhow::Result<Places> {
    let models = &configuration.config.models;
    let names: Vec<&str> = models.iter().map(|m| m.name.value.as_str()).collect();
    let wanted: &[String] = match &options.role {
        Role::Serve(models) => models,
        Role::Up | Role::Gateway => &[],
    };
    known_name(wanted, &names, "model")?;
    let endpoints = configuration.config.endpoints.iter();
    let others: Vec<&str> = endpoints.map(|e| e.name.value.as_str()).collect();
    let what = match others.as_slice() {
        [] => "model",
        _ => "model or endpoint",
    };
    let all = [names.as_slice(), others.as_slice()].concat();
    let flagged: Vec<String> = options.endpoints.iter().map(|(n, _)| n.clone()).collect();
    known_name(&flagged, &all, what)?;
    let mut places = Places {
        local: Vec::new(),
        remote: Vec::new(),
        endpoints: Vec::new(),
    };
    for endpoint in &configuration.config.endpoints {
        let name = &endpoint.name.value;
        let flag = options.endpoints.iter().find(|(n, _)| n == name);
        let url = flag
            .map(|(_, e)| e)
            .or(endpoint.url.as_ref().map(|e| &e.value));
        places
            .endpoints
            .extend(url.map(|url| (name.clone(), url.clone())));
    }
    let mut homeless = Vec::new();
    for model in models {
        let name = &model.name.value;
        let flag = options.endpoints.iter().find(|(n, _)| n == name);
        let endpoint = flag
            .map(|(_, e)| e)
            .or(model.endpoint.as_ref().map(|e| &e.value));
        match &options.role {
            Role::Serve(wanted) if wanted.is_empty() && !model.is_local() => {}
            Role::Serve(wanted) if wanted.is_empty() || wanted.contains(name) => {
                if !model.is_local() {
                    bail!("model `{name}` has no `task` and `source`: it cannot be served here");
                }
                places.local.push(name.clone());
            }
            Role::Serve(_) => {}
            Role::Up if flag.is_none() && model.is_local() => places.local.push(name.clone()),
            Role::Up | Role::Gateway => match endpoint {
                Some(endpoint) => places.remote.push((name.clone(), endpoint.clone())),
                None => homeless.push(name.as_str()),
            },
        }
    }
    if let Some(first) = homeless.first() {
        bail!(
            "no endpoint is known for {}: add `endpoint: grpc://host:port` in the configuration \
             or pass --endpoint {first}=grpc://host:port (or use `motet up`, which runs models \
             itself)",
            list_of(&homeless)
        );
    }
    if places.local.is_empty() && matches!(options.role, Role::Serve(_)) {
        bail!("the configuration has no model that can be served here");
    }
    Ok(places)
}

/// Refuses names that a command line gives to something that there is not.
fn known_name(given: &[String], names: &[&str], what: &str) -> anyhow::Result<()> {
    let Some(unknown) = given.iter().find(|name| !names.contains(&name.as_str())) else {
        return Ok(());
    };
    let hint = match nearest(unknown, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are: {}", list_of(names)),
    };
    bail!("the configuration has no {what} `{unknown}`; {hint}");
}

//! What the models and endpoints of a configuration take and give, for commands that serve
//! nothing: from files, from the servers that answer now, and from the lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use motet_gateway::backend::Backend;
use motet_gateway::grpc::{Endpoints, NoService, descriptors};
use motet_gateway::spec::EndpointRef;
use motet_runtime::config::ModelSpec;

use crate::load::{Configuration, Signatures};
use crate::lock::Lock;

/// How long a server may take to answer; one that does not is a warning.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is known from files, and from the servers of the models and of these services.
///
/// # Errors
/// When nobody can be asked at all.
pub fn ask(
    configuration: &mut Configuration,
    needs: BTreeSet<(EndpointRef, String)>,
) -> anyhow::Result<Signatures> {
    let blueprints = configuration.blueprints(ModelSpec::is_local);
    let mut signatures = Signatures::unknown(&configuration.config.models)
        .with_blueprints(&blueprints)
        .with_services(configuration.services());
    let to_ask = signatures.services.to_ask(needs);
    let remote: Vec<_> = configuration
        .config
        .models
        .iter()
        .filter(|m| !m.is_local())
        .filter_map(|m| Some((m.name.value.as_str(), &m.endpoint.as_ref()?.value)))
        .collect();
    if remote.is_empty() && to_ask.is_empty() {
        return Ok(signatures);
    }
    let message_bytes_max = configuration.config.server.max_message_bytes;
    let named = configuration.config.endpoints.iter();
    let named = named.filter_map(|e| Some((e.name.value.clone(), e.url.clone()?.value)));
    let endpoints = Endpoints::new(named, message_bytes_max);
    crate::commands::runtime()?.block_on(async {
        for (model, endpoint) in remote {
            let backend = Backend::remote(model, endpoint, message_bytes_max)?;
            let answer = backend.signature(REMOTE_TIMEOUT).await;
            signatures.insert(
                model,
                answer
                    .map(|(signature, _)| signature)
                    .map_err(|e| e.message().to_owned()),
            );
        }
        for (endpoint, service) in to_ask {
            let Some(remote) = endpoints.get(&endpoint) else {
                continue;
            };
            let answer = remote.describe(&service, REMOTE_TIMEOUT).await;
            let answer = answer.map_err(NoService::from);
            signatures.services.insert(endpoint, service, answer);
        }
        anyhow::Ok(signatures)
    })
}

/// Writes all that is known into a lock file.
///
/// # Errors
/// When something is not known, or the file cannot be written.
pub fn lock(signatures: &Signatures, path: &Path) -> anyhow::Result<()> {
    let mut lock = Lock::default();
    for (model, signature) in signatures.iter() {
        match signature {
            Ok(signature) => lock.models.insert(model.to_owned(), signature.clone()),
            Err(why) => bail!("model {model} cannot be locked: {why}"),
        };
    }
    for (endpoint, service, answer) in signatures.services.asked() {
        match answer {
            Ok(known) => lock
                .services
                .entry(endpoint.to_string())
                .or_insert_with(BTreeMap::new)
                .insert(service.to_owned(), descriptors::to_json(known)),
            Err(why) => bail!("service {service} of {endpoint} cannot be locked: {why}"),
        };
    }
    lock.write(path)
}

/// Takes from a lock file what cannot be had otherwise, and warns of what is not as it says.
///
/// # Errors
/// When there is a lock file that cannot be read.
pub fn unlock(signatures: &mut Signatures, path: &Path) -> anyhow::Result<()> {
    let Some(lock) = Lock::read(path)? else {
        return Ok(());
    };
    let changed = |what: String| {
        eprintln!(
            "warning: {what} takes or gives other than {} says; write it anew with --lock",
            path.display()
        );
    };
    for (model, locked) in lock.models {
        let known = signatures.iter().find(|(name, _)| *name == model);
        match known.map(|(_, signature)| signature.cloned().map_err(str::to_owned)) {
            Some(Err(_)) => signatures.insert(&model, Ok(locked)),
            Some(Ok(now)) if now != locked => changed(format!("model `{model}`")),
            Some(Ok(_)) | None => {}
        }
    }
    let asked: Vec<_> = signatures
        .services
        .asked()
        .map(|(endpoint, service, answer)| (endpoint.clone(), service.to_owned(), answer.clone()))
        .collect();
    for (endpoint, service, answer) in asked {
        let of_endpoint = lock.services.get(&endpoint.to_string());
        let Some(locked) = of_endpoint.and_then(|services| services.get(&service)) else {
            continue;
        };
        match answer {
            Err(NoService::Unavailable { .. }) => {
                let known = descriptors::from_json(&service, locked.clone());
                let known = known.map_err(|why| {
                    anyhow::anyhow!(
                        "{}, service {service} of {endpoint}: {why}: write it anew with `motet check --lock`",
                        path.display()
                    )
                })?;
                signatures.services.insert(endpoint, service, Ok(known));
            }
            Ok(now) if descriptors::to_json(&now) != *locked => {
                changed(format!("service `{service}` of `{endpoint}`"));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

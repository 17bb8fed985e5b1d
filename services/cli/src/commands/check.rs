//! `motet check`: every mistake in one run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use motet_gateway::backend::Backend;
use motet_gateway::ops;

use super::runtime;
use crate::args::CheckArgs;
use crate::load::{Configuration, Mistakes, Signatures};
use crate::lock::Lock;
use crate::output;

/// How long a model service may take to answer; one that does not is a warning.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    if args.ops {
        output::print(&ops_page())?;
    }
    let Some(file) = &args.file else {
        return Ok(());
    };
    let mut configuration = Configuration::read(Some(file))?;
    // A pipeline alone calls the models of another configuration.
    let mut models_of = configuration
        .config
        .lone_pipeline
        .then(|| Configuration::read(args.models.as_deref()))
        .transpose()?;
    let mut signatures = signatures(models_of.as_mut().unwrap_or(&mut configuration))?;
    // The built-in configuration needs no lock: its models are in the program.
    let locked = match &models_of {
        Some(_) => args.models.as_deref(),
        None => Some(file.as_path()),
    };
    if let Some(locked) = locked {
        lock(args, &Lock::path(locked), &mut signatures)?;
    }
    if let Some(models_of) = &models_of {
        models_of.ok()?;
    }
    configuration.check(&signatures, true);
    let report = configuration.render();
    if configuration.diagnostics.has_errors() {
        return Err(Mistakes(report).into());
    }
    eprint!("{report}");
    output::print(&format!("{}: ok\n", file.display()))
}

/// Writes the lock file, or takes from it what cannot be had otherwise.
fn lock(args: &CheckArgs, path: &Path, signatures: &mut Signatures) -> anyhow::Result<()> {
    if args.lock {
        let mut models = BTreeMap::new();
        for (model, signature) in signatures.iter() {
            match signature {
                Ok(signature) => models.insert(model.to_owned(), signature.clone()),
                Err(why) => bail!("model {model} cannot be locked: {why}"),
            };
        }
        Lock(models).write(path)?;
        eprintln!("wrote {}", path.display());
        return Ok(());
    }
    let Some(Lock(models)) = Lock::read(path)? else {
        return Ok(());
    };
    for (model, locked) in models {
        let known = signatures.iter().find(|(name, _)| *name == model);
        match known.map(|(_, signature)| signature.cloned().map_err(str::to_owned)) {
            Some(Err(_)) => signatures.insert(&model, Ok(locked)),
            Some(Ok(now)) if now != locked => eprintln!(
                "warning: model `{model}` takes or gives other than {} says; write it anew with --lock",
                path.display()
            ),
            Some(Ok(_)) | None => {}
        }
    }
    Ok(())
}

/// What the models take and give: from their files, or from the services that run them.
fn signatures(configuration: &mut Configuration) -> anyhow::Result<Signatures> {
    let blueprints = configuration.blueprints(motet_runtime::config::ModelSpec::is_local);
    let mut signatures =
        Signatures::unknown(&configuration.config.models).with_blueprints(&blueprints);
    let remote: Vec<_> = configuration
        .config
        .models
        .iter()
        .filter(|m| !m.is_local())
        .filter_map(|m| Some((m.name.value.as_str(), &m.endpoint.as_ref()?.value)))
        .collect();
    if remote.is_empty() {
        return Ok(signatures);
    }
    runtime()?.block_on(async {
        for (model, endpoint) in remote {
            let backend = Backend::remote(
                model,
                endpoint,
                configuration.config.server.max_message_bytes,
            )?;
            let answer = backend.signature(REMOTE_TIMEOUT).await;
            signatures.insert(
                model,
                answer
                    .map(|(signature, _)| signature)
                    .map_err(|e| e.message().to_owned()),
            );
        }
        anyhow::Ok(signatures)
    })
}

/// The ops, with what they take and give.
fn ops_page() -> String {
    let mut page = String::new();
    for op in ops::OPS {
        page.push_str(&format!("{}: {}\n", op.name, op.about));
        for form in op.forms {
            page.push_str(&format!("    {}\n        {}\n", form.signature, form.about));
        }
    }
    page
}

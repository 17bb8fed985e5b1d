//! `motet check`: every mistake in one run.

use std::time::Duration;

use motet_gateway::backend::Backend;
use motet_gateway::ops;

use super::runtime;
use crate::args::CheckArgs;
use crate::load::{Configuration, Mistakes, Signatures};

/// How long a model service may take to answer; one that does not is a warning.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    if args.ops {
        print!("{}", ops_page());
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
    let signatures = signatures(models_of.as_mut().unwrap_or(&mut configuration))?;
    if let Some(models_of) = &models_of {
        models_of.ok()?;
    }
    configuration.check(&signatures, true);
    let report = configuration.render();
    if configuration.diagnostics.has_errors() {
        return Err(Mistakes(report).into());
    }
    eprint!("{report}");
    println!("{}: ok", file.display());
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

//! `motet verify`: what a model answers on this machine, against what it answered on another.

mod golden;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use motet_config::{list_of, nearest};
use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::oip::{put_inputs, take_outputs};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::{Loader, ModelServer, ResolvedModel, Tasks};

use super::runtime;
use crate::args::VerifyArgs;
use crate::configuration::Configuration;
use crate::fetch::{self, Out};
use crate::output;

use golden::{Golden, NamedTensors};

/// The file with the answers of a model that may lie among its files.
const OWN: &str = "motet-golden.json";
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 30;

pub(super) fn run(args: VerifyArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let VerifyArgs {
        model,
        task,
        record,
        against,
        tolerance,
        files,
    } = args;
    let (configuration, name) = match model.contains(':') {
        // Quoted as JSON, which YAML reads.
        true => {
            let source = serde_json::Value::from(model);
            let task = serde_json::Value::from(task);
            let text = format!("models: {{ model: {{ task: {task}, source: {source} }} }}\n");
            (Configuration::of_text(&text, tasks)?, "model".to_owned())
        }
        false => (Configuration::read(&files.files(), tasks)?, model),
    };
    let runtime = runtime()?;
    let (resolved, source) = runtime.block_on(resolve(configuration, &name))?;
    let own = source
        .folder
        .map(|folder| folder.join(OWN))
        .filter(|path| path.is_file());
    let against = against.or_else(|| own.filter(|_| record.is_none()));
    let recorded = against.as_deref().map(Golden::read).transpose()?;
    let inputs = match &recorded {
        Some(golden) => golden.inputs()?,
        None => golden::sample_inputs(resolved.signature())?,
    };
    if recorded.is_none() && record.is_none() {
        let own = "there is nothing to compare with";
        output::print(&format!(
            "model {name}: {own}: its files have no {OWN}. `--record FILE` writes what it answers \
             here, and `--against FILE` compares with it on another machine.\n"
        ))?;
    }
    let outputs = runtime.block_on(answer(resolved, &inputs))?;
    if let Some(path) = &record {
        Golden::of(&name, source.written.as_deref(), &inputs, &outputs).write(path)?;
        return output::print(&format!(
            "model {name}: wrote its answers to {}\n",
            path.display()
        ));
    }
    match (recorded, against) {
        (Some(golden), Some(path)) => compare(&name, &golden, &outputs, &path, tolerance),
        _ => output::print(&golden::described(&outputs)),
    }
}

/// Where a model's files are.
struct Source {
    written: Option<String>,
    folder: Option<PathBuf>,
}

/// Finds a model of a configuration, and fetches what it needs.
async fn resolve(
    mut configuration: Configuration,
    name: &str,
) -> anyhow::Result<(ResolvedModel, Source)> {
    let names = configuration
        .served_models()
        .filter(|model| model.is_local());
    let names: Vec<String> = names.map(|model| model.name.value.clone()).collect();
    if !names.iter().any(|known| known == name) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are: {}", list_of(&names)),
        };
        bail!("no model `{name}` runs here by the configuration; {hint}");
    }
    let hub = configuration.hub();
    let wanted = |model: &motet_service::spec::ModelSpec| model.name.value == name;
    let mut resolved = fetch::resolve(&mut configuration, &hub, Out::of_command(), wanted).await?;
    configuration.ok()?;
    let spec = configuration.served_models().find(|model| wanted(model));
    let written = spec
        .and_then(|spec| spec.source.as_ref())
        .map(|source| source.value.clone());
    let folder = written
        .as_ref()
        .and_then(|written| resolved.folders.get(written))
        .cloned();
    match resolved.models.pop() {
        Some(model) => Ok((model, Source { written, folder })),
        None => bail!("model {name} cannot run here"),
    }
}

/// Loads a model, and returns what it answers.
async fn answer(model: ResolvedModel, inputs: &NamedTensors) -> anyhow::Result<NamedTensors> {
    let loader = Loader::new(Metrics::new("motet-verify")?, Health::new())?;
    let model = loader.load(model).await?;
    let mut request = ModelInferRequest {
        model_name: model.base_name().to_owned(),
        model_version: model.version().to_owned(),
        ..ModelInferRequest::default()
    };
    put_inputs(
        &mut request,
        inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)),
    );
    let server = ModelServer::new(vec![model]);
    let mut client = GrpcInferenceServiceClient::new(server.local(ANSWER_BYTES_MAX))
        .max_decoding_message_size(ANSWER_BYTES_MAX);
    let answer = client.model_infer(request).await;
    server.drain().await;
    let mut answer = answer
        .map_err(|status| anyhow::anyhow!("{}", status.message()))?
        .into_inner();
    Ok(take_outputs(&mut answer)?.into_iter().collect())
}

/// Says in which ways answers differ.
fn compare(
    name: &str,
    golden: &Golden,
    outputs: &NamedTensors,
    path: &Path,
    tolerance: f32,
) -> anyhow::Result<()> {
    let compared = golden
        .compare(outputs)
        .with_context(|| path.display().to_string())?;
    let mut text = format!(
        "model {name} against {} ({}):\n",
        path.display(),
        golden.origin()
    );
    for line in &compared.lines {
        text.push_str(&format!("  {line}\n"));
    }
    output::print(&text)?;
    match compared.largest <= tolerance && compared.is_comparable {
        true => Ok(()),
        false => bail!("the answers differ by more than the tolerance of {tolerance}"),
    }
}

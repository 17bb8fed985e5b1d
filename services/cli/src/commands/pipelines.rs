//! `motet list`, `describe`, `explain`, `load` and `unload`: what a running server serves.
//!
//! * `models`: the calls of the Open Inference Protocol that concern models.
//! * `print`: responses for people and as JSON.

mod models;
mod print;

use std::time::Duration;

use motet_proto::v1::pipelines_client::PipelinesClient;
use motet_proto::v1::{
    DescribeRequest, ExplainRequest, ListRequest, ListResponse, LoadRequest, LoadResponse,
};
use motet_runtime::deadline::Deadline;
use motet_runtime::status::Reason;
use motet_service::Tasks;
use tonic::{Code, Request, Response, Status};

use super::runtime;
use crate::args::{DescribeArgs, ExplainArgs, ListArgs, LoadArgs, ServerArgs, UnloadArgs};
use crate::configuration::{ConfigurationErrors, Files};
use crate::connection::{Connection, connect_command, refusal};
use crate::file_texts::{self, FileText};
use crate::output;

/// How long one call may take. A load asks the endpoints that the pipeline calls.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of a response: a pipeline may have a thousand nodes.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// Fields of requests that hold a text.
const FIELDS: [&str; 2] = ["yaml", "config"];

type Client = PipelinesClient<Connection>;

pub(super) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let (pipelines, models) = runtime()?.block_on(async {
        let mut client = client(&args.server).await?;
        let call = client.list(request(ListRequest {}));
        let pipelines = match Deadline::within(CALL_TIMEOUT).run(call).await {
            Ok(answer) => answer.into_inner(),
            // A process of models alone.
            Err(error) if error.code() == Code::Unimplemented => ListResponse::default(),
            Err(error) => return Err(refusal(&error)),
        };
        let mut client = models::client(&args.server).await?;
        anyhow::Ok((pipelines, models::index(&mut client).await?))
    })?;
    output::print(&match args.json {
        true => print::list_as_json(&pipelines, &models)?,
        false => print::list(&pipelines, &models),
    })
}

pub(super) fn describe(args: &DescribeArgs) -> anyhow::Result<()> {
    let name = args.pipeline.clone();
    let response = runtime()?.block_on(async {
        let mut client = client(&args.server).await?;
        answer(client.describe(request(DescribeRequest { name }))).await
    })?;
    output::print(&match (args.json, args.proto) {
        (true, _) => print::json("DescribeResponse", &response)?,
        (false, true) => response.proto,
        (false, false) => print::describe(&response),
    })
}

pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let name = args.pipeline.clone();
    let response = runtime()?.block_on(async {
        let mut client = client(&args.server).await?;
        answer(client.explain(request(ExplainRequest { name }))).await
    })?;
    output::print(&match (args.json, args.dot) {
        (true, _) => print::json("ExplainResponse", &response)?,
        (false, true) => response.dot,
        (false, false) => print::explain(&response),
    })
}

pub(super) fn load(args: LoadArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let file = args.argument.clone().or(args.file.clone());
    let texts = match (&file, &args.model) {
        (None, Some(model)) => {
            return runtime()?.block_on(async {
                let mut client = models::client(&args.server).await?;
                models::load(&mut client, model, None, &args).await
            });
        }
        _ => file_texts::read(&Files { file, models: None }, tasks)?,
    };
    let wanted = |name: &&String| args.model.as_ref().is_none_or(|wanted| wanted == *name);
    let names: Vec<&String> = texts.models.iter().filter(wanted).collect();
    let pipelines = match &args.model {
        Some(model) if names.is_empty() => {
            anyhow::bail!("the file has no model `{model}` with a task and a source");
        }
        Some(_) => &[],
        None => &texts.pipelines[..],
    };
    if names.is_empty() && pipelines.is_empty() {
        anyhow::bail!("the file has neither pipelines nor models with a task and a source");
    }
    if texts.has_endpoints && args.model.is_none() {
        eprintln!("endpoints are not loaded: the server keeps its own");
    }
    runtime()?.block_on(async {
        if !names.is_empty() {
            let mut client = models::client(&args.server).await?;
            for name in names {
                models::load(&mut client, name, texts.models_text.as_ref(), &args).await?;
            }
        }
        if pipelines.is_empty() {
            return Ok(());
        }
        let mut client = client(&args.server).await?;
        for text in pipelines {
            let response = load_one(&mut client, text).await?;
            for warning in &response.warnings {
                eprintln!("warning: {warning}");
            }
            output::print(&match args.json {
                true => print::json("LoadResponse", &response)?,
                false => print::loaded(&response),
            })?;
        }
        Ok(())
    })
}

pub(super) fn unload(args: &UnloadArgs) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut client = models::client(&args.server).await?;
        models::unload(&mut client, &args.name).await
    })?;
    output::print(&format!("unloaded {}\n", args.name))
}

async fn client(server: &ServerArgs) -> anyhow::Result<Client> {
    let channel = connect_command(server).await?;
    Ok(Client::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX))
}

fn request<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    Deadline::within(CALL_TIMEOUT).write(request.metadata_mut());
    request
}

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> anyhow::Result<T> {
    let answer = Deadline::within(CALL_TIMEOUT).run(call).await;
    answer.map(Response::into_inner).map_err(|e| refusal(&e))
}

async fn load_one(client: &mut Client, text: &FileText) -> anyhow::Result<LoadResponse> {
    let yaml = text.yaml.clone();
    let call = client.load(request(LoadRequest { yaml }));
    let answer = Deadline::within(CALL_TIMEOUT).run(call).await;
    answer
        .map(Response::into_inner)
        .map_err(|error| match Reason::of(&error) {
            Some(Reason::BadPipeline) => report("pipeline", error.message(), &text.file).into(),
            _ => refusal(&error),
        })
}

/// Returns the server's report on a text, with the name of the file in place of `sent`, the
/// server's own name for the text.
fn report(sent: &str, message: &str, file: &str) -> ConfigurationErrors {
    let field = message
        .split_once(": ")
        .filter(|(field, _)| FIELDS.contains(field));
    let report = field.map_or(message, |(_, report)| report);
    let arrows = [format!("--> {sent}:"), format!("::: {sent}:")];
    let mut text = String::new();
    for line in report.lines() {
        match arrows.iter().find_map(|arrow| line.split_once(arrow)) {
            Some((before, place)) if before.trim().is_empty() => {
                let arrow = line[before.len()..].get(..4).unwrap_or_default();
                text.push_str(&format!("{before}{arrow}{file}:{place}\n"));
            }
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    ConfigurationErrors::of_report(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_the_file() {
        let message = "yaml: error: no model is named `x`\n   --> pipeline:3:7\n    |\n  3 | \
                       a --> pipeline:1\n   ::: pipeline:9:1\n1 error";
        let expected = "error: no model is named `x`\n   --> my.yaml:3:7\n    |\n  3 | \
                        a --> pipeline:1\n   ::: my.yaml:9:1\n1 error\n";
        assert_eq!(report("pipeline", message, "my.yaml").to_string(), expected);
    }
}

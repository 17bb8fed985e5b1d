//! `motet list`, `describe`, `explain`, `load` and `unload`: the calls of `motet.v1.Pipelines`.

mod print;

use std::time::Duration;

use motet_proto::v1::pipelines_client::PipelinesClient;
use motet_proto::v1::{
    DescribeRequest, ExplainRequest, ListRequest, LoadRequest, LoadResponse, UnloadRequest,
};
use motet_runtime::deadline::Deadline;
use motet_runtime::status::Reason;
use motet_service::Tasks;
use tonic::{Request, Response, Status};

use super::runtime;
use crate::args::{DescribeArgs, ExplainArgs, ListArgs, LoadArgs, ServerArgs, UnloadArgs};
use crate::configuration::{ConfigurationErrors, Files};
use crate::connection::{Connection, connect_command, refusal};
use crate::output;
use crate::pipeline_texts::{self, PipelineText};

/// How long one call may take. A load asks the endpoints that the pipeline calls.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of a response: a pipeline may have a thousand nodes.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

type Client = PipelinesClient<Connection>;

pub(super) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let response = runtime()?.block_on(async {
        let mut client = client(&args.server).await?;
        answer(client.list(request(ListRequest {}))).await
    })?;
    output::print(&match args.json {
        true => print::json("ListResponse", &response)?,
        false => print::list(&response),
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
    let file = args.argument.or(args.file);
    let pipelines = pipeline_texts::read(&Files { file, models: None }, tasks)?;
    if pipelines.texts.is_empty() {
        anyhow::bail!("the file has no pipelines");
    }
    if pipelines.has_more {
        eprintln!("only pipelines are loaded: the gateway keeps its own models and endpoints");
    }
    runtime()?.block_on(async {
        let mut client = client(&args.server).await?;
        for text in &pipelines.texts {
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
    let name = args.pipeline.clone();
    runtime()?.block_on(async {
        let mut client = client(&args.server).await?;
        answer(client.unload(request(UnloadRequest { name }))).await
    })?;
    output::print(&format!("unloaded {}\n", args.pipeline))
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

async fn load_one(client: &mut Client, text: &PipelineText) -> anyhow::Result<LoadResponse> {
    let yaml = text.yaml.clone();
    let call = client.load(request(LoadRequest { yaml }));
    let answer = Deadline::within(CALL_TIMEOUT).run(call).await;
    answer
        .map(Response::into_inner)
        .map_err(|error| match Reason::of(&error) {
            Some(Reason::BadPipeline) => report(error.message(), &text.file).into(),
            _ => refusal(&error),
        })
}

/// Returns the gateway's report on a pipeline, with the name of the file in place of the gateway's
/// own name for the text.
fn report(message: &str, file: &str) -> ConfigurationErrors {
    let report = message.strip_prefix("yaml: ").unwrap_or(message);
    let mut text = String::new();
    for line in report.lines() {
        let arrow = ["--> pipeline:", "::: pipeline:"];
        match arrow.iter().find_map(|arrow| line.split_once(arrow)) {
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
        assert_eq!(report(message, "my.yaml").to_string(), expected);
    }
}

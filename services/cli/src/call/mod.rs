//! `motet call`: a client that gets a pipeline's messages by reflection.

mod inputs;
mod print;

use anyhow::anyhow;

use motet_gateway::grpc::reflect::{self, ReflectError};
use motet_gateway::protobuf::DynamicCodec;
use motet_gateway::serve::typed::service_name;
use motet_runtime::deadline::Deadline;
use prost_reflect::DynamicMessage;
use tonic::Request;
use tonic::codegen::http::uri::PathAndQuery;

use crate::args::CallArgs;
use crate::client::{connect, refusal};
use crate::output;

/// The metadata of an answer that names the degraded nodes.
const DEGRADED_METADATA: &str = "motet-degraded";
/// The most bytes of a response.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Calls the pipeline and prints its answer.
///
/// # Errors
/// When the gateway cannot be reached, has no such pipeline, or answers with an error.
pub async fn run(args: &CallArgs) -> anyhow::Result<()> {
    let address = &args.server.address;
    let channel = connect(address).await?;
    let service = service_name(&args.pipeline);
    let described =
        reflect::describe(channel.clone(), &service)
            .await
            .map_err(|error| match error {
                ReflectError::ServiceLookupError { .. } => anyhow!(
                    "the server at {address} has no pipeline `{}`; see `motet list`",
                    args.pipeline
                ),
                error => anyhow!("the server at {address} does not describe its services: {error}"),
            })?;
    let method = described
        .methods()
        .find(|m| m.name() == "Run")
        .ok_or_else(|| anyhow!("the server describes no method {service}/Run"))?;
    let message = inputs::message(&method.input(), args)?;
    let mut request = Request::new(message);
    if args.receipt {
        request.metadata_mut().insert(
            "motet-receipt",
            tonic::metadata::MetadataValue::from_static("1"),
        );
    }
    let deadline = args.deadline.map(Deadline::within);
    if let Some(deadline) = deadline {
        deadline.write(request.metadata_mut());
    }
    let path = PathAndQuery::try_from(format!("/{service}/Run"))?;
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    client.ready().await?;
    let codec = DynamicCodec::new(method.output());
    let call = client.unary(request, path, codec);
    let answer = match deadline {
        Some(deadline) => deadline.run(call).await,
        None => call.await,
    };
    let answer = answer.map_err(|error| refusal(&error))?;
    let degraded = answer.metadata().get(DEGRADED_METADATA);
    let degraded = degraded
        .and_then(|nodes| nodes.to_str().ok())
        .map(str::to_owned);
    let answer: DynamicMessage = answer.into_inner();
    if args.json {
        output::print(&format!("{}\n", print::json(&answer)?))?;
    } else {
        output::print(&print::text(&answer))?;
    }
    if let Some(nodes) = degraded {
        eprintln!("{}", degraded_line(&nodes, args.receipt));
    }
    Ok(())
}

/// Returns the line about an answer that is degraded. `nodes` are the names in the metadata,
/// separated by commas.
fn degraded_line(nodes: &str, receipt: bool) -> String {
    let names = nodes.replace(',', ", ");
    let failed = match nodes.contains(',') {
        true => format!("the results of nodes {names} are substitutes or incomplete"),
        false => format!("the result of node {names} is a substitute or incomplete"),
    };
    match receipt {
        true => format!("degraded: {failed}"),
        false => format!("degraded: {failed}; --receipt shows why"),
    }
}

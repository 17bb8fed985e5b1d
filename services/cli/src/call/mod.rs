//! A client that learns a pipeline's messages from the server's own reflection.

mod inputs;
mod print;

use anyhow::{Context, anyhow};
use motet_gateway::check::service_name;
use motet_gateway::grpc::reflect::{self, ReflectError};
use motet_gateway::protobuf::DynamicCodec;
use motet_gateway::serve::typed::PACKAGE;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use prost_reflect::DynamicMessage;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::args::CallArgs;
use crate::output;

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Calls the pipeline and prints its answer.
///
/// # Errors
/// When the gateway cannot be reached, knows no such pipeline, or refuses the request.
pub async fn run(args: &CallArgs) -> anyhow::Result<()> {
    let channel = connect(&args.address).await?;
    let service = format!("{PACKAGE}.{}", service_name(&args.pipeline));
    let described =
        reflect::describe(channel.clone(), &service)
            .await
            .map_err(|error| match error {
                ReflectError::NoService { .. } => anyhow!(
                    "the server at {} has no pipeline `{}`",
                    args.address,
                    args.pipeline
                ),
                error => anyhow!("the server at {} cannot be asked: {error}", args.address),
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
    let answer: DynamicMessage = answer.map_err(refused)?.into_inner();
    if args.json {
        output::print(&format!("{}\n", print::json(&answer)?))
    } else {
        output::print(&print::text(&answer))
    }
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    let address = address.strip_prefix("grpc://").unwrap_or(address);
    Endpoint::from_shared(format!("http://{address}"))
        .with_context(|| format!("`{address}` is not an address: write host:port"))?
        .connect()
        .await
        .map_err(|_| anyhow!("nothing answers at {address}: is `motet` running there?"))
}

/// An error of the server, with the fields that it blames on lines of their own.
fn refused(error: Status) -> anyhow::Error {
    let violations = status::read(&error).violations;
    let mut text = format!("{}: {}", status::code_name(error.code()), error.message());
    if violations.len() > 1 {
        text = format!("{}:", status::code_name(error.code()));
        for (field, why) in violations {
            text.push_str(&format!("\n  {field}: {why}"));
        }
    }
    anyhow!(text)
}

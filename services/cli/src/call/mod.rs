//! `motet call`: a client that gets a pipeline's messages by reflection.
//!
//! * `inputs`: inputs of arguments; `print`: an answer, for people or as JSON.
//! * `stream`: a request for each line; `lines`: their bookkeeping.

mod inputs;
mod lines;
mod print;
mod stream;

use anyhow::anyhow;
use motet_runtime::deadline::Deadline;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::args::CallArgs;
use crate::client::{Client, ClientError, degraded};
use crate::connection::{connect_command, refusal};
use crate::output;

/// Calls the pipeline and prints its answer.
///
/// # Errors
/// When the gateway cannot be reached, has no such pipeline, or answers with an error.
pub(crate) async fn run(args: &CallArgs) -> anyhow::Result<()> {
    let address = &args.server.address;
    let client = Client::of_command(connect_command(&args.server).await?);
    let pipeline = client.pipeline(&args.pipeline).await;
    let pipeline = pipeline.map_err(|error| match error {
        ClientError::NoPipeline { pipeline } => anyhow!(
            "the server at {address} has no pipeline `{pipeline}`; the command `list` shows those \
             that it has"
        ),
        ClientError::Status(status) => refusal(&status),
        error => anyhow!("{address}: {error}"),
    })?;
    if args.stream {
        return stream::run(pipeline, args.receipt, args.ordered).await;
    }
    let inputs = inputs::object(&pipeline.input(), args)?;
    let mut request = Request::new(pipeline.message(inputs)?);
    if args.receipt {
        ask_for_receipt(&mut request);
    }
    let deadline = args.deadline.map(Deadline::within);
    if let Some(deadline) = deadline {
        deadline.write(request.metadata_mut());
    }
    let call = pipeline.run(request);
    let answer = match deadline {
        Some(deadline) => deadline.run(call).await,
        None => call.await,
    };
    let answer = answer.map_err(|error| refusal(&error))?;
    let degraded = degraded(&answer);
    let answer = answer.into_inner();
    if args.json {
        output::print(&format!("{}\n", print::json(&answer)?))?;
    } else {
        output::print(&print::text(&answer))?;
    }
    if !degraded.is_empty() {
        eprintln!("{}", degraded_line(&degraded, args.receipt));
    }
    Ok(())
}

fn ask_for_receipt<T>(request: &mut Request<T>) {
    let asked = MetadataValue::from_static("1");
    request.metadata_mut().insert("motet-receipt", asked);
}

/// Returns the line about an answer that is degraded, of the names of the nodes.
fn degraded_line(nodes: &[String], receipt: bool) -> String {
    let names = nodes.join(", ");
    let failed = match nodes {
        [_] => format!("the result of node {names} is a substitute or incomplete"),
        _ => format!("the results of nodes {names} are substitutes or incomplete"),
    };
    match receipt {
        true => format!("degraded: {failed}"),
        false => format!("degraded: {failed}; --receipt shows why"),
    }
}

//! Ports of a pipeline, as streams need them.

use std::time::Duration;

use anyhow::Context;
use motet_gateway::check::{CheckedPipeline, ValueType};
use motet_proto::v1::{DescribeRequest, DescribeResponse, Port as DescribedPort};
use motet_rows::Port;
use motet_runtime::deadline::Deadline;
use motet_stream::{OutputPort, Ports};

use crate::client::Client;
use crate::connection::refusal;

/// Time in which a server describes a pipeline.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// A value of a pipeline: its name, its type as a pipeline file writes it, and whether a call must
/// have it.
type Value = (String, String, bool);

/// Returns the ports of a pipeline of this configuration.
pub(crate) fn of_checked(pipeline: &CheckedPipeline) -> Ports {
    let written = |ty: &ValueType| pipeline.tensor_type(ty).to_string();
    let inputs = pipeline.inputs.iter().map(|input| {
        let required = input.default.is_none() && !input.optional;
        (input.name.clone(), written(&input.ty), required)
    });
    let outputs = pipeline
        .columns()
        .map(|(name, column)| (name, written(&column.ty), true));
    of(
        &pipeline.name,
        pipeline.version,
        inputs.collect(),
        outputs.collect(),
    )
}

/// Asks a server for the ports of a pipeline.
pub(crate) async fn of_server(client: &Client, pipeline: &str) -> anyhow::Result<Ports> {
    let mut describing = client.pipelines();
    let request = DescribeRequest {
        name: pipeline.to_owned(),
    };
    let answer = Deadline::within(DESCRIBE_TIMEOUT)
        .run(describing.describe(request))
        .await;
    let answer = answer.map_err(|status| refusal(&status));
    let described = answer
        .with_context(|| format!("pipeline `{pipeline}`"))?
        .into_inner();
    Ok(of_described(&described))
}

fn of_described(described: &DescribeResponse) -> Ports {
    let value = |port: &DescribedPort| {
        let required = port.default.is_empty() && !port.optional;
        (port.name.clone(), port.r#type.clone(), required)
    };
    let summary = described.pipeline.as_ref();
    let name = summary.map_or("", |pipeline| pipeline.name.as_str());
    let version = summary.map_or(1, |pipeline| pipeline.version);
    let inputs = described.inputs.iter().map(value).collect();
    let outputs = described.outputs.iter().map(value).collect();
    of(name, version, inputs, outputs)
}

fn of(name: &str, version: u32, inputs: Vec<Value>, outputs: Vec<Value>) -> Ports {
    let digest = digest(name, version, &inputs, &outputs);
    let input = |(name, written, required): Value| {
        Some(Port {
            kind: written.parse().ok()?,
            name,
            required,
        })
    };
    let mut ports = Ports {
        inputs: inputs.into_iter().filter_map(input).collect(),
        outputs: Vec::new(),
        digest,
    };
    for (name, written, _) in outputs {
        // A column of records is a value of each element of a list.
        let name = name.split('.').next().unwrap_or_default().to_owned();
        if ports.outputs.iter().any(|port| port.name == name) {
            continue;
        }
        let lengths = written.split_once('[').map(|(_, lengths)| lengths);
        let first = lengths.and_then(|lengths| lengths.split([',', ']']).next());
        ports.outputs.push(OutputPort {
            name,
            length: first.map(|length| length.trim().to_owned()),
        });
    }
    ports
}

/// Returns what tells a pipeline from others: its name, its version, what it takes and gives.
fn digest(name: &str, version: u32, inputs: &[Value], outputs: &[Value]) -> String {
    let values = inputs.iter().chain(outputs);
    let values = values.map(|(name, written, _)| format!("{name}:{written}"));
    let values: Vec<String> = values.collect();
    format!("{name}@{version}({})", values.join(","))
}

//! Responses of `motet.v1.Pipelines`, for people and as JSON.

use motet_proto::FILE_DESCRIPTOR_SET;
use motet_proto::v1::{
    DescribeResponse, ExplainResponse, ListResponse, LoadResponse, PipelineSummary, Port,
};
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use crate::table::table;

/// Returns a response as JSON, with every field, named as in the .proto file.
pub(super) fn json(message: &str, response: &impl Message) -> anyhow::Result<String> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
    let name = format!("motet.v1.{message}");
    let descriptor = pool.get_message_by_name(&name);
    let descriptor = descriptor.ok_or_else(|| anyhow::anyhow!("no message {name}"))?;
    let response = DynamicMessage::decode(descriptor, response.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false);
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut out);
    response.serialize_with_options(&mut serializer, &options)?;
    out.push(b'\n');
    Ok(String::from_utf8(out)?)
}

pub(super) fn list(response: &ListResponse) -> String {
    if response.pipelines.is_empty() {
        return "(no pipelines)\n".to_owned();
    }
    let mut rows = vec![header(&["PIPELINE", "VERSION", "SERVICE", "DESCRIPTION"])];
    rows.extend(response.pipelines.iter().map(|p| {
        let version = p.version.to_string();
        let description = one_line(&p.description);
        vec![p.name.clone(), version, p.service.clone(), description]
    }));
    table(&rows, 0)
}

pub(super) fn describe(response: &DescribeResponse) -> String {
    let summary = response.pipeline.clone().unwrap_or_default();
    let mut text = title(&summary);
    text.push_str(&format!("service: {}\n\ninputs:\n", summary.service));
    let input = |port: &Port| {
        let need = match port.default.as_str() {
            "" if port.optional => "optional".to_owned(),
            "" => "required".to_owned(),
            default => format!("default {default}"),
        };
        vec![port.name.clone(), port.r#type.clone(), need]
    };
    let output = |port: &Port| match port.optional {
        true => vec![
            port.name.clone(),
            port.r#type.clone(),
            "optional".to_owned(),
        ],
        false => vec![port.name.clone(), port.r#type.clone()],
    };
    let inputs: Vec<_> = response.inputs.iter().map(input).collect();
    text.push_str(&table(&inputs, 2));
    text.push_str("\noutputs:\n");
    let outputs: Vec<_> = response.outputs.iter().map(output).collect();
    text.push_str(&table(&outputs, 2));
    text
}

pub(super) fn explain(response: &ExplainResponse) -> String {
    let mut rows = vec![header(&["NODE", "RUNS", "AFTER", "OUTPUTS"])];
    rows.extend(response.nodes.iter().map(|node| {
        let output = |port: &Port| format!("{}: {}", port.name, port.r#type);
        let outputs: Vec<String> = node.outputs.iter().map(output).collect();
        let after = node.after.join(", ");
        vec![
            node.name.clone(),
            node.kind.clone(),
            after,
            outputs.join(", "),
        ]
    }));
    table(&rows, 0)
}

pub(super) fn loaded(response: &LoadResponse) -> String {
    let summary = response.pipeline.clone().unwrap_or_default();
    format!(
        "loaded {} (version {}, service {})\n",
        summary.name, summary.version, summary.service
    )
}

fn title(summary: &PipelineSummary) -> String {
    let title = format!("{}, version {}", summary.name, summary.version);
    match one_line(&summary.description).as_str() {
        "" => format!("{title}\n"),
        description => format!("{title}: {description}\n"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

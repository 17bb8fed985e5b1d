//! Responses of `motet.v1.Pipelines`, for people and as JSON.

use std::collections::BTreeSet;

use motet_proto::FILE_DESCRIPTOR_SET;
use motet_proto::inference::repository_index_response::ModelIndex;
use motet_proto::v1::{
    DescribeResponse, ExplainResponse, ListResponse, LoadResponse, PipelineSummary, Port,
};
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::table::table;

/// The state of what answers.
const READY: &str = "READY";

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

/// Returns the pipelines, and the models with their states, as JSON.
pub(super) fn list_as_json(
    response: &ListResponse,
    index: &[ModelIndex],
) -> anyhow::Result<String> {
    let mut value: Value = serde_json::from_str(&json("ListResponse", response)?)?;
    let models = models(response, index).map(|model| {
        serde_json::json!({
            "name": model.name,
            "version": model.version,
            "state": model.state,
            "reason": model.reason,
        })
    });
    value["models"] = models.collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
}

/// Iterates over the models of an index, which has pipelines, too.
fn models<'a>(
    response: &'a ListResponse,
    index: &'a [ModelIndex],
) -> impl Iterator<Item = &'a ModelIndex> {
    let is_pipeline = |model: &ModelIndex| response.pipelines.iter().any(|p| p.name == model.name);
    index.iter().filter(move |model| !is_pipeline(model))
}

pub(super) fn list(response: &ListResponse, index: &[ModelIndex]) -> String {
    let mut text = list_of_pipelines(response);
    let mut rows = vec![header(&["MODEL", "VERSION", "STATE", "REASON"])];
    rows.extend(models(response, index).map(|model| {
        let (name, version) = (model.name.clone(), model.version.clone());
        let reason = match &*model.state {
            READY => String::new(),
            _ => one_line(&model.reason),
        };
        vec![name, version, model.state.clone(), reason]
    }));
    if rows.len() > 1 {
        text.push('\n');
        text.push_str(&table(&rows, 0));
    }
    // Notes on everything that serves, such as a change that was refused.
    let notes = index.iter().filter(|model| model.state == READY);
    let notes: BTreeSet<&str> = notes.map(|model| model.reason.trim()).collect();
    for note in notes.iter().filter(|note| !note.is_empty()) {
        text.push_str(&format!("\n{note}\n"));
    }
    text
}

fn list_of_pipelines(response: &ListResponse) -> String {
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

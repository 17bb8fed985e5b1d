//! Overview of a process for the person who started it: models, pipelines and addresses.

use motet_gateway::check::{CheckedPipeline, Input, Length};
use motet_proto::types::ElementType;
use serde_json::Value;

/// Models and pipelines of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// The models of this process.
    pub local_models: Vec<String>,
    /// The models in other processes.
    pub remote_models: Vec<String>,
    /// The pipelines, in the order of the configuration's calls.
    pub pipelines: Vec<PipelineOverview>,
}

/// A pipeline in an [`Overview`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineOverview {
    /// The name.
    pub name: String,
    /// Description in the file, if there is one.
    pub description: Option<String>,
    /// Arguments of `motet call` with a value for each required input, as a shell takes them.
    /// `None` if there is an input for which no simple value exists.
    pub example: Option<Vec<String>>,
}

impl PipelineOverview {
    pub(super) fn of(pipeline: &CheckedPipeline) -> Self {
        let required = pipeline.inputs.iter();
        let required = required.filter(|input| input.default.is_none() && !input.optional);
        Self {
            name: pipeline.name.clone(),
            description: pipeline.description.clone(),
            example: required.map(example).collect(),
        }
    }
}

/// `name=value` with a value that the input accepts, unless it is more than a scalar or a list.
fn example(input: &Input) -> Option<String> {
    let element = match (input.ty.element, &input.min) {
        (ElementType::String, _) => Value::from("some text"),
        (ElementType::Bytes, _) => return None,
        (ElementType::Bool, _) => Value::from(true),
        (_, Some(min)) => min.to_json(),
        (_, None) => Value::from(1),
    };
    let value = match (input.ty.dims.as_slice(), element) {
        // Text is not quoted where the input is text.
        ([], Value::String(text)) => text,
        ([], number) => number.to_string(),
        ([Length::Symbol(_)], element) => Value::from(vec![element]).to_string(),
        _ => return None,
    };
    match value.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
        true => Some(format!("{}={value}", input.name)),
        false => Some(format!("{}='{value}'", input.name)),
    }
}

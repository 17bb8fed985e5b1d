//! Whose fault a failure is: INVALID_ARGUMENT that names inputs of the pipeline where the caller
//! sent what caused it, and the node's own failure otherwise.

use motet_runtime::status::{self, Reason, StatusBuilder};
use tonic::{Code, Status};

use super::context::Context;
use crate::check::{CheckedPipeline, Node, Origin, SettingValue};
use crate::ops::ArgumentId;

/// Who sent the content of an argument.
enum Sender<'p> {
    /// The author of the file.
    File,
    /// The caller, in these inputs of the pipeline.
    Caller(Vec<&'p str>),
    /// A node.
    Node,
}

impl<'p> Sender<'p> {
    fn of(pipeline: &'p CheckedPipeline, node: &'p Node, argument: ArgumentId) -> Self {
        match argument {
            ArgumentId::Input(index) => match node.inputs.get(index).map(|a| &a.origin) {
                Some(Origin::File) => Self::File,
                Some(Origin::Caller(inputs)) => {
                    let inputs = inputs.iter().filter_map(|i| pipeline.inputs.get(*i));
                    Self::Caller(inputs.map(|input| input.name.as_str()).collect())
                }
                Some(Origin::Computed) | None => Self::Node,
            },
            ArgumentId::Setting(index) => match node.parameters.get(index).map(|s| &s.value) {
                Some(SettingValue::Literal(_)) => Self::File,
                Some(SettingValue::Input { name, .. }) => Self::Caller(vec![name]),
                None => Self::Node,
            },
        }
    }
}

/// The error of a node for content of its arguments, the likeliest cause first. An argument that is
/// written in the file passes the blame on to the next one: the same file may be right for other
/// requests.
pub(crate) fn for_arguments(
    context: Context<'_>,
    node: &Node,
    arguments: &[ArgumentId],
    why: &str,
) -> StatusBuilder {
    let pipeline = &context.plan.pipeline;
    let mut senders = arguments.iter().map(|a| Sender::of(pipeline, node, *a));
    let builder = match senders.find(|sender| !matches!(sender, Sender::File)) {
        Some(Sender::Caller(inputs)) => {
            status::invalid_arguments(inputs.into_iter().map(|input| (input, why)))
        }
        _ => status::internal(why).reason(Reason::OpFailed),
    };
    builder.node(&node.name)
}

/// The error of a value that does not fit the port of a model or a method that it goes to.
pub(crate) fn for_unfit(context: Context<'_>, node: &Node, input: usize, why: &str) -> Status {
    let error = for_arguments(context, node, &[ArgumentId::Input(input)], why);
    let status = error.clone().build();
    if status.code() == Code::InvalidArgument {
        return error.reason(Reason::BadTensor).build();
    }
    status
}

/// The error of a called pipeline, which blames the pipeline's own inputs, as an error of the node
/// that calls it.
pub(crate) fn for_called(
    context: Context<'_>,
    node: &Node,
    argument_inputs: &[usize],
    called: &CheckedPipeline,
    error: Status,
) -> Status {
    let details = status::read(&error);
    if error.code() != Code::InvalidArgument || details.violations.is_empty() {
        return error;
    }
    let argument_of = |field: &str| {
        let input = called.inputs.iter().position(|input| input.name == field)?;
        let argument = argument_inputs.iter().position(|i| *i == input)?;
        Some(ArgumentId::Input(argument))
    };
    let pipeline = &context.plan.pipeline;
    let mut violations = Vec::new();
    for (field, why) in &details.violations {
        let Some(argument) = argument_of(field) else {
            // A violation of something else, such as a port of a model.
            return error;
        };
        match Sender::of(pipeline, node, argument) {
            Sender::Caller(inputs) => {
                violations.extend(inputs.into_iter().map(|input| (input, why.as_str())));
            }
            Sender::File => {}
            Sender::Node => {
                violations.clear();
                break;
            }
        }
    }
    let builder = if violations.is_empty() {
        status::internal(error.message()).reason(Reason::OpFailed)
    } else {
        status::invalid_arguments(violations)
    };
    let path = details.metadata.into_iter();
    path.fold(builder, |builder, (key, value)| builder.with(key, value))
        .into()
}

/// The error of a node whose arms all failed. It is the caller's fault if every arm failed by it,
/// and then names what each arm blames; otherwise it is the first of `errors` by another fault.
/// `None` without errors.
pub(crate) fn for_arms<'e>(
    errors: impl Iterator<Item = &'e Status> + Clone,
    message: String,
) -> Option<Status> {
    let is_callers = |error: &&Status| error.code() == Code::InvalidArgument;
    if let Some(other) = errors.clone().find(|error| !is_callers(error)) {
        return Some(status::reworded(other, message));
    }
    let mut violations: Vec<(String, String)> = Vec::new();
    for violation in errors.clone().flat_map(|e| status::read(e).violations) {
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    let first = errors.clone().next()?;
    if violations.is_empty() {
        return Some(status::reworded(first, message));
    }
    let all = Status::from(status::invalid_arguments(violations));
    Some(status::reworded(&all, message))
}

//! Reading of tensors from messages.

use motet_proto::tensor::{Tensor, TensorError};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use super::FieldPath;
use super::elements::from_elements;

/// Returns the tensor of a field: the value in one message or, as a list, the values in all
/// `messages` of a stream, one of each or all elements of its repeated field. An unset field has
/// its default, or is `None` if `optional`.
///
/// # Errors
/// When a value is not of the type of its field.
pub fn read(
    path: &FieldPath,
    messages: &[DynamicMessage],
    streaming: bool,
    optional: bool,
) -> Result<Option<Tensor>, TensorError> {
    if optional && !messages.first().is_some_and(|m| is_set(m, &path.steps)) {
        return Ok(None);
    }
    let mut values = Vec::new();
    for message in messages {
        gather(message, &path.steps, &mut values);
    }
    let shape = if streaming || path.is_list() {
        vec![values.len()]
    } else {
        Vec::new()
    };
    from_elements(path.element(), shape, values).map(Some)
}

/// Returns whether every field of the path that tracks presence is set.
fn is_set(message: &DynamicMessage, steps: &[FieldDescriptor]) -> bool {
    let Some((field, rest)) = steps.split_first() else {
        return true;
    };
    if field.supports_presence() && !message.has_field(field) {
        return false;
    }
    match &*message.get_field(field) {
        Value::Message(inside) => is_set(inside, rest),
        _ => true,
    }
}

/// Collects the values at the end of a path. The recursion is as deep as the path, which is
/// limited.
fn gather(message: &DynamicMessage, steps: &[FieldDescriptor], values: &mut Vec<Value>) {
    let Some((field, rest)) = steps.split_first() else {
        return;
    };
    match &*message.get_field(field) {
        Value::List(items) if rest.is_empty() => {
            values.extend(items.iter().map(|item| leaf(field, item)));
        }
        Value::List(items) => {
            for item in items.iter().filter_map(Value::as_message) {
                gather(item, rest, values);
            }
        }
        Value::Message(inside) => gather(inside, rest, values),
        value => values.push(leaf(field, value)),
    }
}

/// Returns one value. An enum is its name, or its number if it has no name.
fn leaf(field: &FieldDescriptor, value: &Value) -> Value {
    match (field.kind(), value) {
        (Kind::Enum(words), Value::EnumNumber(number)) => {
            let word = words.get_value(*number);
            Value::String(word.map_or_else(|| number.to_string(), |w| w.name().to_owned()))
        }
        _ => value.clone(),
    }
}

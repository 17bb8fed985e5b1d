//! Writing of tensors into a message.

use motet_proto::tensor::{Tensor, TensorError};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::FieldPath;
use super::elements::elements;

/// Failure to write tensors into a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A string is not a value of the enum.
    #[error("`{word}` is none of the values of `{name}`: {}", known.join(", "))]
    Word {
        /// The string.
        word: String,
        /// Name of the enum.
        name: String,
        /// Names of its values.
        known: Vec<String>,
    },
    /// A column has another length than the columns before it in the same list.
    #[error("has {found} elements, but the list `{list}` has {wanted}")]
    Length {
        /// Path of the list.
        list: String,
        /// Length of this column.
        found: usize,
        /// Length of the columns before it.
        wanted: usize,
    },
    /// A tensor is not of the type of its field.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Returns a message with these fields set.
///
/// # Errors
/// The index of the first value that its field does not accept, and the reason.
pub fn write<'a>(
    message: &MessageDescriptor,
    values: impl IntoIterator<Item = (&'a FieldPath, &'a Tensor)>,
) -> Result<DynamicMessage, (usize, WriteError)> {
    let mut request = DynamicMessage::new(message.clone());
    for (index, (path, tensor)) in values.into_iter().enumerate() {
        put(&mut request, path, tensor).map_err(|error| (index, error))?;
    }
    Ok(request)
}

fn put(request: &mut DynamicMessage, path: &FieldPath, tensor: &Tensor) -> Result<(), WriteError> {
    let mut values = elements(tensor)?;
    if let Kind::Enum(words) = path.leaf().kind() {
        for value in &mut values {
            let word = value.as_str().unwrap_or_default();
            let found = words
                .get_value_by_name(word)
                .ok_or_else(|| WriteError::Word {
                    word: motet_config::truncated(word),
                    name: words.full_name().to_owned(),
                    known: words.values().map(|v| v.name().to_owned()).collect(),
                })?;
            *value = Value::EnumNumber(found.number());
        }
    }
    let Some(at) = path.list else {
        let value = values.pop();
        let value = value.ok_or_else(|| TensorError::NotScalar(tensor.shape().to_vec()))?;
        set(request, &path.steps, value);
        return Ok(());
    };
    if !path.is_column() {
        set(request, &path.steps, Value::List(values));
        return Ok(());
    }
    let (list, rest) = (&path.steps[at], &path.steps[at + 1..]);
    let Some(around) = inside(request, &path.steps[..at]) else {
        return Ok(());
    };
    let (Value::List(rows), Kind::Message(row)) = (around.get_field_mut(list), list.kind()) else {
        return Ok(());
    };
    if rows.is_empty() {
        rows.resize(values.len(), Value::Message(DynamicMessage::new(row)));
    } else if rows.len() != values.len() {
        return Err(WriteError::Length {
            list: path.list_path().unwrap_or_default(),
            found: values.len(),
            wanted: rows.len(),
        });
    }
    for (row, value) in rows.iter_mut().zip(values) {
        if let Value::Message(row) = row {
            set(row, rest, value);
        }
    }
    Ok(())
}

/// Sets the field at the end of a path of which only the last field may be repeated.
fn set(message: &mut DynamicMessage, steps: &[FieldDescriptor], value: Value) {
    if let Some((last, before)) = steps.split_last()
        && let Some(message) = inside(message, before)
    {
        message.set_field(last, value);
    }
}

/// Returns the message at the end of a path of messages, and creates those that are missing. `None`
/// only if a field of the path is not a message.
fn inside<'m>(
    mut message: &'m mut DynamicMessage,
    steps: &[FieldDescriptor],
) -> Option<&'m mut DynamicMessage> {
    for step in steps {
        message = message.get_field_mut(step).as_message_mut()?;
    }
    Some(message)
}

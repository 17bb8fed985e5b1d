//! Conversion of messages to tensors, and back.

use motet_proto::tensor::{Tensor, TensorError};
use motet_proto::types::ElementType;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use crate::check::{CheckedPipeline, Input, Length, OutputKind};
use crate::exec::InputViolation;
use crate::protobuf::elements::{elements, from_elements};

/// Takes the inputs out of a request, in the order of the pipeline; `None` for one that is left
/// out. An empty list is the same as none in protobuf, so it means the default if there is one.
///
/// # Errors
/// A violation for each invalid field.
pub(super) fn take_inputs(
    pipeline: &CheckedPipeline,
    mut message: DynamicMessage,
) -> Result<Vec<Option<Tensor>>, Vec<InputViolation>> {
    let mut violations: Vec<InputViolation> = message
        .unknown_fields()
        .map(|field| unknown_field(pipeline, field.number()))
        .collect();
    let mut tensors = Vec::with_capacity(pipeline.inputs.len());
    for (input, number) in pipeline.inputs.iter().zip(1..) {
        let given = message.take_field_by_number(number);
        match to_tensor(input, given) {
            Ok(tensor) => tensors.push(tensor),
            Err(why) => violations.push(InputViolation::invalid(&input.name, why)),
        }
    }
    if violations.is_empty() {
        Ok(tensors)
    } else {
        Err(violations)
    }
}

fn unknown_field(pipeline: &CheckedPipeline, number: u32) -> InputViolation {
    let inputs: Vec<&str> = pipeline.inputs.iter().map(|i| i.name.as_str()).collect();
    InputViolation::invalid(
        format!("field {number}"),
        format!(
            "is not an input of pipeline {}: its inputs are {}",
            pipeline.name,
            inputs.join(", ")
        ),
    )
}

fn to_tensor(input: &Input, given: Option<Value>) -> Result<Option<Tensor>, String> {
    let element = input.ty.element;
    let wrong = |e: TensorError| e.to_string();
    match (input.ty.rank(), given) {
        (0, None) => Ok(None),
        (0, Some(value)) => from_elements(element, Vec::new(), vec![value])
            .map(Some)
            .map_err(wrong),
        (1 | 2, None) if input.default.is_some() || input.optional => Ok(None),
        (1, given) => {
            let values = into_list(given);
            from_elements(element, vec![values.len()], values)
                .map(Some)
                .map_err(wrong)
        }
        (2, given) => {
            let rows: Vec<Vec<Value>> = into_list(given).into_iter().map(row_values).collect();
            let width = match (rows.first(), input.ty.dims[1]) {
                (Some(row), _) => row.len(),
                (None, Length::Fixed(n)) => n,
                (None, Length::Symbol(_)) => 0,
            };
            if let Some((at, row)) = rows.iter().enumerate().find(|(_, r)| r.len() != width) {
                return Err(format!(
                    "row {at} has {} values, but row 0 has {width}",
                    row.len()
                ));
            }
            let shape = vec![rows.len(), width];
            from_elements(element, shape, rows.into_iter().flatten().collect())
                .map(Some)
                .map_err(wrong)
        }
        (_, None) => Ok(None),
        (_, Some(Value::Message(message))) => from_tensor_message(element, &message).map(Some),
        (_, Some(_)) => Err("is not a tensor".to_owned()),
    }
}

fn into_list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::List(values)) => values,
        _ => Vec::new(),
    }
}

fn row_values(row: Value) -> Vec<Value> {
    match row {
        Value::Message(mut row) => into_list(row.take_field_by_number(1)),
        _ => Vec::new(),
    }
}

fn from_tensor_message(element: ElementType, message: &DynamicMessage) -> Result<Tensor, String> {
    let shape = message
        .get_field_by_name("shape")
        .and_then(|v| {
            v.as_list()?
                .iter()
                .map(|d| usize::try_from(d.as_i64()?).ok())
                .collect::<Option<Vec<usize>>>()
        })
        .ok_or("has a negative length in its shape")?;
    let data = message
        .get_field_by_name("data")
        .and_then(|v| v.as_bytes().cloned())
        .unwrap_or_default();
    Tensor::from_raw(element, shape, data).map_err(|e| e.to_string())
}

/// Returns the response message of `outputs`, in the order of the pipeline. The field of an absent
/// output is not set.
///
/// # Errors
/// When a tensor is not of the type of its output.
pub(super) fn put_outputs(
    pipeline: &CheckedPipeline,
    response: &MessageDescriptor,
    outputs: &[Vec<Option<Tensor>>],
) -> Result<DynamicMessage, TensorError> {
    let mut message = DynamicMessage::new(response.clone());
    for ((output, tensors), number) in pipeline.outputs.iter().zip(outputs).zip(1..) {
        let Some(field) = response.get_field(number) else {
            continue;
        };
        let value = match (&output.kind, tensors.as_slice()) {
            (OutputKind::Value(_), [Some(tensor)]) => to_value(&field, tensor)?,
            (OutputKind::Records { .. }, columns) => records(&field, columns)?,
            (OutputKind::Value(_), _) => continue,
        };
        message.set_field(&field, value);
    }
    Ok(message)
}

fn records(field: &FieldDescriptor, columns: &[Option<Tensor>]) -> Result<Value, TensorError> {
    let Kind::Message(record) = field.kind() else {
        return Ok(Value::List(Vec::new()));
    };
    let length = columns.iter().flatten().next().map_or(0, Tensor::rows);
    let mut messages = vec![DynamicMessage::new(record.clone()); length];
    for (column, number) in columns.iter().zip(1..) {
        let (Some(field), Some(column)) = (record.get_field(number), column) else {
            continue;
        };
        for (message, value) in messages.iter_mut().zip(row_values_of(&field, column)?) {
            message.set_field(&field, value);
        }
    }
    Ok(Value::List(
        messages.into_iter().map(Value::Message).collect(),
    ))
}

/// Returns the value of each row of a column of records.
fn row_values_of(field: &FieldDescriptor, column: &Tensor) -> Result<Vec<Value>, TensorError> {
    if column.shape().len() == 1 {
        return elements(column);
    }
    let inner = column.shape()[1..].to_vec();
    (0..column.rows())
        .map(|row| to_value(field, &column.gather(&[row])?.reshape(inner.clone())?))
        .collect()
}

/// Returns a tensor as the value of a field: a scalar, a list, a list of rows, or a tensor message.
fn to_value(field: &FieldDescriptor, tensor: &Tensor) -> Result<Value, TensorError> {
    match *tensor.shape() {
        [] => elements(tensor)?
            .pop()
            .ok_or_else(|| TensorError::NotScalar(Vec::new())),
        [_] => elements(tensor).map(Value::List),
        [_, width] => {
            let Kind::Message(row) = field.kind() else {
                return Err(TensorError::NotList);
            };
            let values = elements(tensor)?;
            let rows = if width == 0 {
                vec![DynamicMessage::new(row.clone()); tensor.rows()]
            } else {
                values
                    .chunks(width)
                    .map(|values| {
                        let mut message = DynamicMessage::new(row.clone());
                        message.set_field_by_number(1, Value::List(values.to_vec()));
                        message
                    })
                    .collect()
            };
            Ok(Value::List(rows.into_iter().map(Value::Message).collect()))
        }
        _ => {
            let Kind::Message(descriptor) = field.kind() else {
                return Err(TensorError::NotList);
            };
            let mut message = DynamicMessage::new(descriptor);
            let shape = tensor.shape().iter().map(|d| Value::I64(*d as i64));
            message.set_field_by_name("shape", Value::List(shape.collect()));
            message.set_field_by_name("data", Value::Bytes(tensor.data().clone()));
            Ok(Value::Message(message))
        }
    }
}

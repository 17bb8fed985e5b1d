//! Rows as messages of a pipeline, and its answers as JSON.

use base64::prelude::{BASE64_STANDARD, Engine};
use motet_rows::{Answer, Code, Failure};
use prost_reflect::{
    DynamicMessage, MessageDescriptor, ReflectMessage, SerializeOptions, Value as Field,
};
use serde_json::{Map, Number, Value, json};

use crate::client::FIRST_OWN_FIELD;

/// The package of messages that hold a row of a matrix.
const ROWS_PACKAGE: &str = "motet.v1";
/// The end of their names.
const ROW: &str = "Row";
/// Their only field.
const VALUES: &str = "values";
/// The field of a response with its receipt.
const RECEIPT: &str = "receipt";

/// Returns the inputs as the message's JSON: rows of a matrix are messages.
pub(crate) fn inputs(descriptor: &MessageDescriptor, mut inputs: Map<String, Value>) -> Value {
    for (name, value) in &mut inputs {
        let field = descriptor.get_field_by_name(name);
        let is_matrix = field.is_some_and(|field| {
            let kind = field.kind();
            kind.as_message().is_some_and(is_row) && field.is_list()
        });
        if let (true, Value::Array(rows)) = (is_matrix, value) {
            for row in rows.iter_mut().filter(|row| row.is_array()) {
                *row = json!({ VALUES: row.take() });
            }
        }
    }
    Value::Object(inputs)
}

fn is_row(message: &MessageDescriptor) -> bool {
    message.package_name() == ROWS_PACKAGE && message.name().ends_with(ROW)
}

/// Returns the outputs of a response, and the tokens of its receipt.
///
/// # Errors
/// A response that is not one, which would be a defect.
pub(crate) fn answer(response: &DynamicMessage) -> Result<Answer, Failure> {
    let mut outputs = Map::new();
    for field in response.descriptor().fields() {
        if field.number() >= FIRST_OWN_FIELD {
            continue;
        }
        let value = match response.has_field(&field) || field.is_list() {
            true => json(&response.get_field(&field))?,
            false => Value::Null,
        };
        outputs.insert(field.name().to_owned(), value);
    }
    Ok(Answer {
        outputs,
        degraded: Vec::new(),
        tokens: tokens(response).unwrap_or_default(),
    })
}

/// Returns the receipt of a response in JSON, if it has one.
pub(crate) fn receipt(response: &DynamicMessage) -> Result<Option<Value>, Failure> {
    let field = response.descriptor().get_field_by_name(RECEIPT);
    let field = field.filter(|field| response.has_field(field));
    field
        .map(|field| json(&response.get_field(&field)))
        .transpose()
}

fn tokens(response: &DynamicMessage) -> Option<u64> {
    let receipt = response.get_field_by_name(RECEIPT)?;
    let usage = receipt.as_message()?.get_field_by_name("usage")?;
    let tokens = usage.as_message()?.get_field_by_name("tokens")?;
    tokens.as_u64()
}

/// Returns a value in JSON. Numbers of 32 bits have the digits that tell them apart, no more.
fn json(field: &Field) -> Result<Value, Failure> {
    Ok(match field {
        Field::Bool(value) => Value::Bool(*value),
        Field::I32(value) => (*value).into(),
        Field::I64(value) => (*value).into(),
        Field::U32(value) => (*value).into(),
        Field::U64(value) => (*value).into(),
        Field::F32(value) => short(*value),
        Field::F64(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Field::String(value) => Value::String(value.clone()),
        Field::Bytes(value) => Value::String(BASE64_STANDARD.encode(value)),
        Field::EnumNumber(value) => (*value).into(),
        Field::List(list) => Value::Array(list.iter().map(json).collect::<Result<_, _>>()?),
        Field::Map(_) => Value::Null,
        Field::Message(message) => of_message(message)?,
    })
}

fn of_message(message: &DynamicMessage) -> Result<Value, Failure> {
    let descriptor = message.descriptor();
    if is_row(&descriptor) {
        let values = message.get_field_by_name(VALUES);
        return values.map_or(Ok(Value::Null), |values| json(&values));
    }
    if descriptor.package_name() == ROWS_PACKAGE {
        let options = SerializeOptions::new().use_proto_field_name(true);
        let text = message.serialize_with_options(serde_json::value::Serializer, &options);
        return text.map_err(|error| Failure::new(Code::Internal, error.to_string()));
    }
    let mut object = Map::new();
    for field in descriptor.fields() {
        let is_there = message.has_field(&field) || field.is_list();
        let value = match is_there || !field.supports_presence() {
            true => json(&message.get_field(&field))?,
            false => Value::Null,
        };
        object.insert(field.name().to_owned(), value);
    }
    Ok(Value::Object(object))
}

/// Returns the number of 64 bits that reads as `value` is written: 0.1, not 0.10000000149011612.
fn short(value: f32) -> Value {
    let number: Option<f64> = value.to_string().parse().ok();
    let number = number.and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use motet_proto::FILE_DESCRIPTOR_SET;
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn numbers_of_32_bits_are_short() {
        for (value, expected) in [
            (0.1f32, "0.1"),
            (1.0, "1.0"),
            (-3.5e-12, "-3.5e-12"),
            (f32::MAX, "3.4028235e+38"),
            (f32::NAN, "null"),
        ] {
            assert_eq!(short(value).to_string(), expected);
            if value.is_finite() {
                let read: f64 = short(value).as_f64().unwrap();
                assert_eq!(read as f32, value);
            }
        }
    }

    #[test]
    fn a_row_of_a_matrix_is_a_list() {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let descriptor = pool.get_message_by_name("motet.v1.FloatRow").unwrap();
        let message = DynamicMessage::deserialize(descriptor, json!({ "values": [0.5, 2] }));
        let read = of_message(&message.unwrap()).unwrap();
        assert_eq!(read, json!([0.5, 2.0]));
    }
}

//! Values of columns as JSON.

use base64::prelude::{BASE64_STANDARD, Engine};
use postgres_protocol::types as binary;
use serde_json::{Number, Value};
use tokio_postgres::fallible_iterator::FallibleIterator;

use super::columns::{Column, Form};

/// Most dimensions of an array.
const DIMENSIONS_MAX: usize = 6;

/// Returns the value of a column, from its bytes.
///
/// # Errors
/// Bytes that are no value of its type, in words.
pub(super) fn value(column: &Column, bytes: Option<&[u8]>) -> Result<Value, String> {
    let read = match (bytes, column.is_list) {
        (None, _) => Ok(Value::Null),
        (Some(bytes), false) => scalar(column.form, bytes),
        (Some(bytes), true) => list(column.form, bytes),
    };
    read.map_err(|error| format!("column `{}` cannot be read: {error}", column.name))
}

type Unread = Box<dyn std::error::Error + Send + Sync>;

fn scalar(form: Form, bytes: &[u8]) -> Result<Value, Unread> {
    Ok(match form {
        Form::Bool => binary::bool_from_sql(bytes)?.into(),
        Form::Int2 => binary::int2_from_sql(bytes)?.into(),
        Form::Int4 => binary::int4_from_sql(bytes)?.into(),
        Form::Int8 => binary::int8_from_sql(bytes)?.into(),
        Form::Float4 => number(&binary::float4_from_sql(bytes)?.to_string()),
        Form::Float8 => number(&binary::float8_from_sql(bytes)?.to_string()),
        Form::Bytes => Value::String(BASE64_STANDARD.encode(bytes)),
        Form::Json => serde_json::from_slice(bytes)?,
        Form::Text => binary::text_from_sql(bytes)?.into(),
    })
}

/// Returns the number with these digits: those of 32 bits are not made longer. What is no number of
/// JSON is null.
fn number(digits: &str) -> Value {
    let number: Option<f64> = digits.parse().ok();
    let number = number.and_then(Number::from_f64);
    number.map_or(Value::Null, Value::Number)
}

/// Returns an array as a list, or lists of lists.
fn list(form: Form, bytes: &[u8]) -> Result<Value, Unread> {
    let array = binary::array_from_sql(bytes)?;
    let dimensions = array.dimensions().map(|dimension| Ok(dimension.len));
    let lengths: Vec<i32> = dimensions.collect()?;
    if lengths.is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    if lengths.len() > DIMENSIONS_MAX {
        return Err("an array has too many dimensions".into());
    }
    let mut level: Vec<Value> = Vec::new();
    let mut elements = array.values();
    while let Some(element) = elements.next()? {
        level.push(match element {
            Some(bytes) => scalar(form, bytes)?,
            None => Value::Null,
        });
    }
    // From the innermost dimension out.
    for length in lengths.iter().skip(1).rev() {
        let length = usize::try_from(*length)?.max(1);
        let mut outer = Vec::with_capacity(level.len() / length);
        let mut elements = level.into_iter();
        loop {
            let inner: Vec<Value> = elements.by_ref().take(length).collect();
            if inner.is_empty() {
                break;
            }
            outer.push(Value::Array(inner));
        }
        level = outer;
    }
    Ok(Value::Array(level))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns an array as servers send it.
    fn array(lengths: &[i32], elements: &[Option<i32>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let has_null = elements.iter().any(Option::is_none);
        for number in [lengths.len() as i32, has_null.into(), 23] {
            bytes.extend(number.to_be_bytes());
        }
        for length in lengths {
            bytes.extend(length.to_be_bytes());
            bytes.extend(1i32.to_be_bytes());
        }
        for element in elements {
            match element {
                None => bytes.extend((-1i32).to_be_bytes()),
                Some(number) => {
                    bytes.extend(4i32.to_be_bytes());
                    bytes.extend(number.to_be_bytes());
                }
            }
        }
        bytes
    }

    #[test]
    fn values_are_those_of_json() {
        for (form, bytes, expected) in [
            (Form::Bool, &[1][..], json!(true)),
            (Form::Int2, &(-2i16).to_be_bytes(), json!(-2)),
            (Form::Int8, &i64::MIN.to_be_bytes(), json!(i64::MIN)),
            (Form::Float4, &0.1f32.to_be_bytes(), json!(0.1)),
            (Form::Float8, &1e300f64.to_be_bytes(), json!(1e300)),
            (Form::Float8, &f64::NAN.to_be_bytes(), json!(null)),
            (Form::Bytes, &[0, 1], json!("AAE=")),
            (Form::Json, br#"{"a":[1]}"#, json!({ "a": [1] })),
            (Form::Text, "ä".as_bytes(), json!("ä")),
        ] {
            assert_eq!(scalar(form, bytes).unwrap(), expected);
        }
        assert!(scalar(Form::Int4, &[1]).is_err());
    }

    #[test]
    fn arrays_keep_their_dimensions() {
        let some = |numbers: &[i32]| numbers.iter().copied().map(Some).collect::<Vec<_>>();
        for (lengths, elements, expected) in [
            (&[][..], some(&[]), json!([])),
            (&[2], vec![Some(1), None], json!([1, null])),
            (
                &[2, 3],
                some(&[1, 2, 3, 4, 5, 6]),
                json!([[1, 2, 3], [4, 5, 6]]),
            ),
            (&[1, 2, 2], some(&[1, 2, 3, 4]), json!([[[1, 2], [3, 4]]])),
        ] {
            assert_eq!(
                list(Form::Int4, &array(lengths, &elements)).unwrap(),
                expected
            );
        }
        let cut = array(&[3], &some(&[1, 2, 3]));
        assert!(list(Form::Int4, &cut[..cut.len() - 2]).is_err());
    }
}

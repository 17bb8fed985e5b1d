//! Values of a type: of JSON, and of cells, which have texts only.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;

use crate::port::{Element, PortType};

/// Most characters of a value that a message shows.
const SHOWN_CHARS_MAX: usize = 40;

impl PortType {
    /// Returns `value` as one of this type. One value where a list is wanted is a list of one.
    ///
    /// # Errors
    /// The reason, such as: is a text, where i32 is wanted.
    pub(crate) fn of_json(&self, value: &Value) -> Result<Value, String> {
        self.nested(value, self.rank, false)
    }

    /// Returns the text of a cell as a value of this type. A list is written in JSON; any other
    /// text where a list is wanted is a list of one.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn of_cell(&self, cell: &str) -> Result<Value, String> {
        if self.rank > 0
            && let Ok(list @ Value::Array(_)) = serde_json::from_str(cell)
        {
            return self.nested(&list, self.rank, true);
        }
        self.nested(&Value::String(cell.to_owned()), self.rank, true)
    }

    fn nested(&self, value: &Value, rank: usize, is_cell: bool) -> Result<Value, String> {
        match (rank, value) {
            (0, value) => self.scalar(value, is_cell),
            (_, Value::Array(list)) => {
                let each = list.iter().enumerate().map(|(at, element)| {
                    self.nested(element, rank - 1, is_cell)
                        .map_err(|reason| format!("[{at}] {reason}"))
                });
                Ok(Value::Array(each.collect::<Result<_, _>>()?))
            }
            (1, value) if self.rank == 1 => Ok(Value::Array(vec![self.scalar(value, is_cell)?])),
            (_, value) => Err(self.refused(value)),
        }
    }

    fn scalar(&self, value: &Value, is_cell: bool) -> Result<Value, String> {
        let refused = || self.refused(value);
        let parsed = match value {
            Value::String(text) if is_cell => match self.element {
                Element::Text | Element::Bytes => None,
                _ => Some(serde_json::from_str(text.trim()).map_err(|_| refused())?),
            },
            _ => None,
        };
        let read = parsed.as_ref().unwrap_or(value);
        let fits = match (self.element, read) {
            (Element::Text, Value::String(_)) | (Element::Bool, Value::Bool(_)) => true,
            (Element::Bytes, Value::String(text)) => {
                if BASE64_STANDARD.decode(text).is_err() {
                    return Err("is not base64".to_owned());
                }
                true
            }
            (Element::Number, Value::Number(_)) => true,
            (Element::Whole { min, max }, Value::Number(number)) => {
                let is_whole = number.is_i64() || number.is_u64();
                let low = number.as_i64().is_none_or(|n| n >= min);
                let high = number.as_u64().is_none_or(|n| n <= max);
                is_whole && low && high
            }
            _ => false,
        };
        match fits {
            true => Ok(read.clone()),
            false => Err(refused()),
        }
    }

    fn refused(&self, value: &Value) -> String {
        format!("is {}, where {self} is wanted", shown(value))
    }
}

/// Returns what `value` is, in words.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => {
            let mut start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            if start.len() < text.len() {
                start.push_str("...");
            }
            format!("the text {start:?}")
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_of_json_fits_its_type_or_the_reason_is_told() {
        for (kind, value, expected) in [
            ("string", json!("a"), Ok(json!("a"))),
            ("string[N]", json!(["a", "b"]), Ok(json!(["a", "b"]))),
            ("string[N]", json!("a"), Ok(json!(["a"]))),
            ("i32", json!(3), Ok(json!(3))),
            ("float", json!(3), Ok(json!(3))),
            ("float[N,2]", json!([[1, 2.5]]), Ok(json!([[1, 2.5]]))),
            ("bool", json!(true), Ok(json!(true))),
            ("u64", json!(u64::MAX), Ok(json!(u64::MAX))),
            ("bytes", json!("AAE="), Ok(json!("AAE="))),
            ("bytes", json!("?"), Err("is not base64")),
            (
                "string",
                json!(3),
                Err("is the number 3, where string is wanted"),
            ),
            (
                "i8",
                json!(128),
                Err("is the number 128, where i8 is wanted"),
            ),
            ("u8", json!(-1), Err("is the number -1, where u8 is wanted")),
            (
                "i32",
                json!(1.5),
                Err("is the number 1.5, where i32 is wanted"),
            ),
            (
                "i32",
                json!("3"),
                Err("is the text \"3\", where i32 is wanted"),
            ),
            (
                "string[N]",
                json!(["a", null]),
                Err("[1] is null, where string[N] is wanted"),
            ),
            (
                "float[N,2]",
                json!([1, 2]),
                Err("[0] is the number 1, where float[N,2] is wanted"),
            ),
        ] {
            let kind: PortType = kind.parse().unwrap();
            let read = kind.of_json(&value);
            assert_eq!(read, expected.map_err(str::to_owned), "{kind} {value}");
        }
    }

    #[test]
    fn a_cell_is_a_text_a_number_or_a_list_in_json() {
        for (kind, cell, expected) in [
            ("string", "3", Ok(json!("3"))),
            ("i32", " 3 ", Ok(json!(3))),
            ("float", "1e3", Ok(json!(1e3))),
            ("bool", "true", Ok(json!(true))),
            ("string[N]", "a, b", Ok(json!(["a, b"]))),
            ("string[N]", r#"["a","b"]"#, Ok(json!(["a", "b"]))),
            ("string[N]", "[sic] a", Ok(json!(["[sic] a"]))),
            ("float[N]", "[1,2]", Ok(json!([1, 2]))),
            (
                "i32",
                "three",
                Err("is the text \"three\", where i32 is wanted"),
            ),
            ("i32", "", Err("is the text \"\", where i32 is wanted")),
        ] {
            let kind: PortType = kind.parse().unwrap();
            let expected = expected.map_err(str::to_owned);
            assert_eq!(kind.of_cell(cell), expected, "{kind} {cell}");
        }
    }
}

//! Rows in JSON as the text of COPY.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;

use super::columns::quoted;

/// Form of the values of a column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The text of a single value.
    Plain,
    /// JSON, kept as the text that it is.
    Json,
    /// JSON, kept as values.
    Jsonb,
    /// An array, of any dimensions.
    Array,
    /// A vector of pgvector. A list of one vector is that one, and of none is null.
    Vector,
    /// Bytes, which are base64 in JSON.
    Bytes,
}

/// Columns of a table that answers go to, with the forms of their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableColumns(pub(super) Vec<(String, Form)>);

impl TableColumns {
    /// Returns the names as a list of SQL.
    pub(super) fn names(&self) -> String {
        let names = self.0.iter().map(|(name, _)| quoted(name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Returns whether a column takes a value.
    pub(crate) fn takes(&self, name: &str, value: &Value) -> bool {
        let form = self.0.iter().find(|(column, _)| column == name);
        form.is_none_or(|(_, form)| text(value, *form).is_ok())
    }

    /// Returns a row as a line of COPY, of the values that `value` gives for the names of columns;
    /// those that are absent are null.
    ///
    /// # Errors
    /// The first value that no column of its kind takes, with the reason.
    pub(crate) fn line<'v>(
        &self,
        value: impl Fn(&str) -> Option<Cow<'v, Value>>,
    ) -> Result<String, String> {
        let mut out = String::new();
        for (at, (name, form)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push('\t');
            }
            let text = value(name).map_or(Ok(None), |value| text(&value, *form));
            match text.map_err(|reason| format!("column `{name}`: {reason}"))? {
                None => out.push_str("\\N"),
                Some(text) => escape(&text, &mut out),
            }
        }
        out.push('\n');
        Ok(out)
    }
}

/// Returns the text of a value; `None` for null.
fn text(value: &Value, form: Form) -> Result<Option<String>, String> {
    let text = match (value, form) {
        (Value::Null, _) => return Ok(None),
        (value, Form::Jsonb) if has_nul(value) => return Err(NUL.to_owned()),
        (value, Form::Json | Form::Jsonb) => value.to_string(),
        (Value::String(text), Form::Bytes) => {
            let bytes = BASE64_STANDARD.decode(text);
            let bytes = bytes.map_err(|error| format!("is no base64: {error}"))?;
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            format!("\\x{}", digits.collect::<String>())
        }
        (Value::Array(list), Form::Array) => array(list),
        (Value::Array(list), Form::Vector) => return vector(list),
        (Value::String(text), _) => text.clone(),
        (value, _) => value.to_string(),
    };
    match text.contains('\0') {
        true => Err(NUL.to_owned()),
        false => Ok(Some(text)),
    }
}

const NUL: &str = "has the character U+0000, which texts of Postgres cannot have";

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(k, v)| k.contains('\0') || has_nul(v)),
        _ => false,
    }
}

/// Returns a list as a literal of an array.
fn array(list: &[Value]) -> String {
    let quoted = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{text}\"")
    };
    let elements = list.iter().map(|element| match element {
        Value::Null => "NULL".to_owned(),
        Value::Array(inner) => array(inner),
        Value::String(text) => quoted(text),
        Value::Object(_) => quoted(&element.to_string()),
        element => element.to_string(),
    });
    format!("{{{}}}", elements.collect::<Vec<_>>().join(","))
}

/// Returns a list as a literal of a vector.
fn vector(list: &[Value]) -> Result<Option<String>, String> {
    let list = match list {
        [Value::Array(inner)] => inner,
        [Value::Array(_), ..] => {
            let count = list.len();
            return Err(format!("has {count} vectors, and the column takes one"));
        }
        list => list,
    };
    if list.is_empty() {
        return Ok(None);
    }
    // JSON has null for numbers that are none, as a wider one is none here.
    let is_number = |value: &Value| value.as_f64().is_some_and(|n| (n as f32).is_finite());
    if !list.iter().all(is_number) {
        return Err("is no vector: it has numbers that are not finite".to_owned());
    }
    let numbers = list.iter().map(Value::to_string);
    Ok(Some(format!("[{}]", numbers.collect::<Vec<_>>().join(","))))
}

fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_a_line_of_copy_or_the_reason_is_told() {
        let nul = "has the character U+0000";
        for (value, form, expected) in [
            (json!("a\tb\\c\n\r"), Form::Plain, Ok("a\\tb\\\\c\\n\\r")),
            (json!("\\."), Form::Plain, Ok("\\\\.")),
            (json!("\\N"), Form::Plain, Ok("\\\\N")),
            (json!(""), Form::Plain, Ok("")),
            (json!(1.5), Form::Plain, Ok("1.5")),
            (json!(u64::MAX), Form::Plain, Ok("18446744073709551615")),
            (json!(true), Form::Plain, Ok("true")),
            (json!(null), Form::Plain, Ok("\\N")),
            (json!([1, "a"]), Form::Plain, Ok("[1,\"a\"]")),
            (json!("a\0"), Form::Plain, Err(nul)),
            (json!(["a\0"]), Form::Plain, Ok("[\"a\\\\u0000\"]")),
            (
                json!({ "a": ["\\"] }),
                Form::Jsonb,
                Ok("{\"a\":[\"\\\\\\\\\"]}"),
            ),
            (json!("a"), Form::Jsonb, Ok("\"a\"")),
            (json!({ "a": ["\0"] }), Form::Jsonb, Err(nul)),
            (json!({ "a\0": 1 }), Form::Jsonb, Err(nul)),
            (json!("\0"), Form::Json, Ok("\"\\\\u0000\"")),
            (json!([1, null, 2.5]), Form::Array, Ok("{1,NULL,2.5}")),
            (json!([[1], [2]]), Form::Array, Ok("{{1},{2}}")),
            (
                json!(["a", "b\"\\", "", "NULL", "{}"]),
                Form::Array,
                Ok("{\"a\",\"b\\\\\"\\\\\\\\\",\"\",\"NULL\",\"{}\"}"),
            ),
            (json!([]), Form::Array, Ok("{}")),
            (json!(["\0"]), Form::Array, Err(nul)),
            (json!([1, 2.5]), Form::Vector, Ok("[1,2.5]")),
            (json!([[1, 2.5]]), Form::Vector, Ok("[1,2.5]")),
            (json!([]), Form::Vector, Ok("\\N")),
            (json!([[]]), Form::Vector, Ok("\\N")),
            (json!([[1], [2]]), Form::Vector, Err("has 2 vectors")),
            (json!([1, null]), Form::Vector, Err("not finite")),
            (json!([1e300]), Form::Vector, Err("not finite")),
            (json!("AAH/"), Form::Bytes, Ok("\\\\x0001ff")),
            (json!("no"), Form::Bytes, Err("is no base64")),
        ] {
            let columns = [("a".to_owned(), form), ("b".to_owned(), Form::Plain)];
            let columns = TableColumns(columns.into());
            let found = columns.line(|name| (name == "a").then_some(Cow::Borrowed(&value)));
            assert_eq!(columns.takes("a", &value), expected.is_ok());
            match (found, expected) {
                (Ok(line), Ok(text)) => assert_eq!(line, format!("{text}\t\\N\n"), "{value}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
                (found, expected) => panic!("{value}: {found:?}, not {expected:?}"),
            }
        }
    }
}

//! The inputs of a request, of `name=value` arguments or of JSON.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use motet_config::{files, list_of, nearest};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use crate::args::CallArgs;

/// Most bytes of a file or of standard input with data: texts of a message of the largest size,
/// and what JSON adds.
const INPUT_BYTES_MAX: u64 = 256 << 20;

/// Returns the inputs of the arguments as one JSON value.
pub(super) fn object(descriptor: &MessageDescriptor, args: &CallArgs) -> anyhow::Result<Value> {
    match &args.data {
        Some(data) => serde_json::from_str(&read(data)?).context("the data is not JSON"),
        None => named(descriptor, &args.inputs).map(Value::Object),
    }
}

fn named(descriptor: &MessageDescriptor, inputs: &[String]) -> anyhow::Result<Map<String, Value>> {
    let names: Vec<String> = descriptor.fields().map(|f| f.name().to_owned()).collect();
    let mut object = Map::new();
    for input in inputs {
        let (name, value) = input
            .split_once('=')
            .ok_or_else(|| anyhow!("`{input}` is not an input: write name=value"))?;
        let Some(field) = descriptor.get_field_by_name(name) else {
            let hint = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are: {}", list_of(&names)),
            };
            bail!("the pipeline has no input `{name}`; {hint}");
        };
        if object
            .insert(name.to_owned(), field_value(&field, value)?)
            .is_some()
        {
            bail!("input `{name}` is given twice");
        }
    }
    Ok(object)
}

fn field_value(field: &FieldDescriptor, text: &str) -> anyhow::Result<Value> {
    if let (Kind::Bytes, Some(path)) = (field.kind(), text.strip_prefix('@')) {
        let bytes = files::read(Path::new(path), INPUT_BYTES_MAX);
        let bytes = bytes.map_err(|error| anyhow!("{path} cannot be read: {error}"))?;
        // Bytes are in base64 in JSON.
        let file = Value::String(BASE64_STANDARD.encode(bytes));
        return Ok(match field.is_list() {
            true => Value::Array(vec![file]),
            false => file,
        });
    }
    let is_file = text.starts_with('@');
    let text = read_file(text)?;
    let is_text = matches!(field.kind(), Kind::String | Kind::Bytes);
    if is_text && !field.is_list() {
        return Ok(Value::String(text));
    }
    match serde_json::from_str(&text) {
        Ok(Value::String(one)) if field.is_list() => Ok(Value::Array(vec![one.into()])),
        Ok(value) => Ok(value),
        // A file of texts, one a line.
        Err(_) if is_text && is_file => Ok(text.lines().map(Value::from).collect()),
        Err(error) => Err(anyhow!("input `{}` is not JSON: {error}", field.name())),
    }
}

/// Returns the text of `@file`, of standard input for `-`, or `text` itself.
fn read(text: &str) -> anyhow::Result<String> {
    if text == "-" {
        let mut all = String::new();
        std::io::stdin()
            .take(INPUT_BYTES_MAX + 1)
            .read_to_string(&mut all)
            .context("standard input cannot be read")?;
        if all.len() as u64 > INPUT_BYTES_MAX {
            bail!("standard input has more bytes than the limit of {INPUT_BYTES_MAX}");
        }
        return Ok(all);
    }
    read_file(text)
}

/// Returns the text of `@file`, or `text` itself.
fn read_file(text: &str) -> anyhow::Result<String> {
    match text.strip_prefix('@') {
        Some(path) => {
            let text = files::read_text(Path::new(path), INPUT_BYTES_MAX);
            text.map_err(|error| anyhow!("{path} cannot be read: {error}"))
        }
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use motet_proto::FILE_DESCRIPTOR_SET;
    use prost_reflect::DescriptorPool;

    use super::*;

    fn check(message: &str, inputs: &[&str], expected: Result<&str, &str>) {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let descriptor = pool.get_message_by_name(message).unwrap();
        let inputs: Vec<String> = inputs.iter().map(|s| (*s).to_owned()).collect();
        let object = named(&descriptor, &inputs).map(|o| Value::Object(o).to_string());
        match expected {
            Ok(json) => assert_eq!(object.unwrap(), json),
            Err(error) => assert_eq!(object.unwrap_err().to_string(), error),
        }
    }

    #[test]
    fn a_value_is_text_or_json_depending_on_the_field() {
        check(
            "motet.v1.DescribeRequest",
            &["name=a=b"],
            Ok(r#"{"name":"a=b"}"#),
        );
        check(
            "motet.v1.StringRow",
            &[r#"values=["a","b"]"#],
            Ok(r#"{"values":["a","b"]}"#),
        );
        check(
            "motet.v1.StringRow",
            &[r#"values="a""#],
            Ok(r#"{"values":["a"]}"#),
        );
        check(
            "motet.v1.FloatRow",
            &["values=[1.5]"],
            Ok(r#"{"values":[1.5]}"#),
        );
    }

    #[test]
    fn a_file_of_an_input_of_bytes_is_its_bytes() {
        let path = std::env::temp_dir().join(format!("motet-bytes-{}", std::process::id()));
        std::fs::write(&path, b"\xff\0motet").unwrap();
        let input = format!("bytes_contents=@{}", path.display());
        let expected = Ok(r#"{"bytes_contents":["/wBtb3RldA=="]}"#);
        check("inference.InferTensorContents", &[&input], expected);
        std::fs::remove_file(&path).unwrap();
        let missing = format!("{} cannot be read: no such file", path.display());
        check("inference.InferTensorContents", &[&input], Err(&missing));
    }

    #[test]
    fn an_error_names_the_wrong_input() {
        let message = "motet.v1.DescribeRequest";
        check(
            message,
            &["name"],
            Err("`name` is not an input: write name=value"),
        );
        check(
            message,
            &["nam=x"],
            Err("the pipeline has no input `nam`; did you mean name?"),
        );
        check(
            message,
            &["name=a", "name=b"],
            Err("input `name` is given twice"),
        );
    }
}

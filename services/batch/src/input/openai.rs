//! Rows of OpenAI's batch files: `{"custom_id", "method", "url", "body"}`.

use motet_rows::{Code, Failure, Row};
use serde_json::{Map, Value};

/// The endpoint whose requests a pipeline answers.
const URL: &str = "/v1/embeddings";
/// The column of the texts.
pub(crate) const INPUT: &str = "body.input";

/// Returns a request as a row, with its texts in `body.input`.
///
/// # Errors
/// A request that is not one for embeddings, with the reason.
pub(crate) fn row_of(values: Map<String, Value>) -> Result<Row, Failure> {
    let refused = |message: String| Err(Failure::new(Code::InvalidArgument, message));
    for (key, expected) in [("method", "POST"), ("url", URL)] {
        match values.get(key) {
            Some(Value::String(found)) if found == expected => {}
            Some(found) => return refused(format!("`{key}` is {found}, not \"{expected}\"")),
            None => return refused(format!("the request has no `{key}`")),
        }
    }
    match values.get("custom_id") {
        Some(Value::String(_)) => {}
        _ => return refused("the request has no `custom_id`".to_owned()),
    }
    let body = values.get("body");
    match body.and_then(|body| body.get("input")) {
        Some(Value::String(_)) => {}
        Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => {}
        Some(_) => {
            return refused("`body.input` is neither a text nor a list of texts".to_owned());
        }
        None => return refused("the request has no `body.input`".to_owned()),
    }
    match body.and_then(|body| body.get("encoding_format")) {
        None | Some(Value::Null) => {}
        Some(Value::String(format)) if format == "float" => {}
        Some(other) => return refused(format!("`body.encoding_format` is {other}, not \"float\"")),
    }
    Ok(Row {
        values,
        is_cells: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_a_row_or_the_reason_is_told() {
        let good = json!({
            "custom_id": "1", "method": "POST", "url": "/v1/embeddings",
            "body": { "model": "m", "input": ["a"], "encoding_format": "float" }
        });
        let check = |change: &dyn Fn(&mut Value), expected: Option<&str>| {
            let mut request = good.clone();
            change(&mut request);
            let row = row_of(request.as_object().unwrap().clone());
            let said = row.err().map(|failure| failure.message);
            match (said, expected) {
                (None, None) => {}
                (Some(said), Some(part)) => assert!(said.contains(part), "{said}"),
                other => panic!("{other:?}"),
            }
        };
        check(&|_| {}, None);
        check(&|r| r["body"]["input"] = json!("a"), None);
        check(
            &|r| r["body"]["input"] = json!([1, 2]),
            Some("list of texts"),
        );
        check(
            &|r| r["url"] = json!("/v1/chat/completions"),
            Some("`url` is"),
        );
        check(&|r| r["custom_id"] = json!(null), Some("custom_id"));
        check(
            &|r| r["body"]["encoding_format"] = json!("base64"),
            Some("float"),
        );
        check(&|r| r["body"] = json!({}), Some("no `body.input`"));
    }
}

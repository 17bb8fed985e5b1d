//! Values of outputs at paths such as `results.score`.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Returns the value at a path, null where there is none. A list is that of what its elements have
/// at the rest of the path.
pub(crate) fn selected<'v>(outputs: &'v Map<String, Value>, path: &str) -> Cow<'v, Value> {
    if let Some(value) = outputs.get(path) {
        return Cow::Borrowed(value);
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match outputs.get(first) {
        Some(value) if !rest.is_empty() => Cow::Owned(at(value, rest)),
        Some(value) => Cow::Borrowed(value),
        None => Cow::Owned(Value::Null),
    }
}

fn at(value: &Value, path: &str) -> Value {
    match value {
        Value::Array(list) => list.iter().map(|element| at(element, path)).collect(),
        Value::Object(object) => selected(object, path).into_owned(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_goes_through_lists() {
        let outputs = json!({ "a": [{ "b": { "c": 1 } }, {}], "a.b": 2, "n": 3 });
        let outputs = outputs.as_object().unwrap();
        for (path, expected) in [
            ("a.b.c", json!([1, null])),
            ("a.b", json!(2)),
            ("n", json!(3)),
            ("n.x", json!(null)),
            ("x", json!(null)),
        ] {
            assert_eq!(*selected(outputs, path), expected, "{path}");
        }
    }
}

//! Chunks: one request of many rows, where a pipeline takes lists.

use motet_rows::{Answer, Port, PortType};
use serde_json::{Map, Value};

use crate::calls::Ports;

/// The lists of a pipeline whose elements are rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Inputs of one row.
    pub(crate) inputs: Vec<Port>,
    /// Outputs with an element for each row; the others are the same for all.
    lists: Vec<String>,
}

impl Rows {
    /// Returns the rows of a pipeline.
    ///
    /// # Errors
    /// The reason for which it has none, as the end of a sentence about the pipeline.
    pub(crate) fn of(ports: &Ports) -> Result<Self, String> {
        let mut length = None;
        let mut inputs = Vec::new();
        for port in ports.inputs.iter().filter(|port| port.required) {
            let written = port.kind.to_string();
            let Some((of_port, element)) = first_length(&written) else {
                return Err(format!("takes one `{}` ({written}), not a list", port.name));
            };
            match &length {
                None => length = Some(of_port),
                Some(length) if *length == of_port => {}
                Some(length) => {
                    let name = &port.name;
                    return Err(format!(
                        "takes lists of several lengths: `{name}` has {of_port}, others {length}"
                    ));
                }
            }
            inputs.push(Port {
                kind: element,
                ..port.clone()
            });
        }
        let Some(length) = length else {
            return Err("takes no list".to_owned());
        };
        let of_rows = |length_of: &Option<String>| length_of.as_ref() == Some(&length);
        let lists = ports.outputs.iter().filter(|port| of_rows(&port.length));
        let lists: Vec<String> = lists.map(|port| port.name.clone()).collect();
        match lists.is_empty() {
            true => Err(format!("gives nothing for each of its {length} rows")),
            false => Ok(Self { inputs, lists }),
        }
    }

    /// Returns the inputs of one request for all rows.
    pub(crate) fn join(&self, rows: Vec<Map<String, Value>>) -> Map<String, Value> {
        let mut lists: Map<String, Value> = Map::new();
        for row in rows {
            for (name, value) in row {
                let list = lists
                    .entry(name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(value);
                }
            }
        }
        lists
    }

    /// Returns the answer of each of `count` rows. `None` if a list has another length.
    pub(crate) fn split(&self, answer: Answer, count: usize) -> Option<Vec<Answer>> {
        let mut answers = vec![
            Answer {
                degraded: answer.degraded,
                ..Answer::default()
            };
            count
        ];
        for (name, value) in answer.outputs {
            match value {
                Value::Array(list) if self.lists.contains(&name) => {
                    if list.len() != count {
                        return None;
                    }
                    for (answer, value) in answers.iter_mut().zip(list) {
                        answer.outputs.insert(name.clone(), value);
                    }
                }
                value => {
                    for answer in &mut answers {
                        answer.outputs.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        Some(answers)
    }
}

/// Returns the first length of a list's type, and the type of its elements.
fn first_length(written: &str) -> Option<(String, PortType)> {
    let (element, lengths) = written.strip_suffix(']')?.split_once('[')?;
    let element = match lengths.split_once(',') {
        Some((_, rest)) => format!("{element}[{rest}]"),
        None => element.to_owned(),
    };
    let length = lengths.split(',').next()?.trim().to_owned();
    // A fixed number of elements is no number of rows.
    let is_name = length.starts_with(|c: char| c.is_ascii_alphabetic());
    Some((length, element.parse().ok()?)).filter(|_| is_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::calls::OutputPort;

    fn ports(inputs: &[(&str, &str)], outputs: &[(&str, Option<&str>)]) -> Ports {
        let port = |(name, kind): &(&str, &str)| Port {
            name: (*name).to_owned(),
            kind: kind.parse().expect("a type"),
            required: true,
        };
        let output = |(name, length): &(&str, Option<&str>)| OutputPort {
            name: (*name).to_owned(),
            length: length.map(str::to_owned),
        };
        Ports {
            inputs: inputs.iter().map(port).collect(),
            outputs: outputs.iter().map(output).collect(),
            digest: String::new(),
        }
    }

    #[test]
    fn a_pipeline_of_lists_takes_chunks() {
        let label = [("label", Some("N"))];
        for (inputs, outputs, expected) in [
            (vec![("text", "string[N]")], &label[..], None),
            (
                vec![("v", "float[N,384]"), ("t", "string[N]")],
                &label,
                None,
            ),
            (vec![("text", "string")], &label, Some("not a list")),
            (vec![("text", "string[4]")], &label, Some("not a list")),
            (
                vec![("a", "i32[N]"), ("b", "i32[M]")],
                &label,
                Some("several lengths"),
            ),
            (vec![], &label, Some("takes no list")),
            (
                vec![("text", "string[N]")],
                &[("best", None)],
                Some("nothing for each"),
            ),
        ] {
            let found = Rows::of(&ports(&inputs, outputs));
            match expected {
                None => assert!(found.is_ok(), "{inputs:?} {found:?}"),
                Some(part) => assert!(found.expect_err("a reason").contains(part), "{inputs:?}"),
            }
        }
    }

    #[test]
    fn what_is_joined_is_split_again() {
        let ports = ports(
            &[("text", "string[N]"), ("v", "float[N,2]")],
            &[("score", Some("N")), ("labels", Some("L"))],
        );
        let rows = Rows::of(&ports).expect("rows");
        assert_eq!(rows.inputs[1].kind.to_string(), "float[2]");
        let row = |text: &str| json!({ "text": text, "v": [1, 2] });
        let row = |text: &str| row(text).as_object().expect("an object").clone();
        let joined = Value::Object(rows.join(vec![row("a"), row("b")]));
        assert_eq!(joined, json!({ "text": ["a", "b"], "v": [[1, 2], [1, 2]] }));
        let answer = |outputs: Value| Answer {
            outputs: outputs.as_object().expect("an object").clone(),
            ..Answer::default()
        };
        let all = answer(json!({ "score": [1, 2], "labels": ["x", "y", "z"] }));
        let each = |n: u32| answer(json!({ "score": n, "labels": ["x", "y", "z"] }));
        assert_eq!(rows.split(all.clone(), 2), Some(vec![each(1), each(2)]));
        assert_eq!(rows.split(all, 3), None);
    }
}

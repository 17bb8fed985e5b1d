//! Messages as inputs of a pipeline.

use std::hash::{DefaultHasher, Hash, Hasher};

use motet_rows::{Binding, Code, Failure, Mistakes, Port, Row};
use serde_json::{Map, Value};

use crate::config::{KeySpec, ReadSpec, StreamSpec};
use crate::message::{Delivery, Message};

/// Makes inputs of messages.
#[derive(Debug)]
pub struct Reader {
    read: ReadSpec,
    key: KeySpec,
    binding: Binding,
    /// The only input, where a message is one.
    whole: Option<Whole>,
}

/// The input that a whole message is.
#[derive(Debug)]
struct Whole {
    name: String,
    is_bytes: bool,
}

/// A message with its key and its row.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) delivery: Delivery,
    pub(crate) key: Option<String>,
    pub(crate) row: Result<Row, Failure>,
}

impl Prepared {
    /// Returns the hash of the key, by which lanes go.
    pub(crate) fn key_hash(&self) -> Option<u64> {
        let key = self.key.as_ref()?;
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Some(hasher.finish())
    }
}

impl Reader {
    /// Returns a reader for a pipeline with these inputs.
    ///
    /// # Errors
    /// All mistakes.
    pub fn new(spec: &StreamSpec, ports: &[Port]) -> Result<Self, Mistakes> {
        let map = match &spec.read.value {
            ReadSpec::Map(map) => map.as_slice(),
            ReadSpec::Json | ReadSpec::Raw | ReadSpec::Fields => &[],
        };
        let whole = match &spec.read.value {
            ReadSpec::Raw => Some(Whole::of(ports)?),
            _ => None,
        };
        Ok(Self {
            read: spec.read.value.clone(),
            key: spec.key.clone(),
            binding: Binding::new(ports, map, None)?,
            whole,
        })
    }

    /// Reads a message, and its key.
    pub(crate) fn prepare(&self, delivery: Delivery) -> Prepared {
        let message = &delivery.message;
        let row = self.row(message);
        let key = match &self.key {
            KeySpec::Header(name) => message.header(name).map(str::to_owned),
            KeySpec::Subject => message.subject.clone(),
            KeySpec::Record => {
                let key = message.key.as_ref();
                key.map(|key| String::from_utf8_lossy(key).into_owned())
            }
            KeySpec::Path(path) => match (&row, &self.read) {
                (Ok(row), ReadSpec::Json | ReadSpec::Map(_) | ReadSpec::Fields) => {
                    key_at(&row.values, path)
                }
                _ => json_object(message)
                    .ok()
                    .and_then(|values| key_at(&values, path)),
            },
        };
        Prepared { delivery, key, row }
    }

    /// Returns the inputs of a row.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every input that has no value or one of another type.
    pub(crate) fn inputs(&self, row: &Row) -> Result<Map<String, Value>, Failure> {
        self.binding.inputs(row)
    }

    fn row(&self, message: &Message) -> Result<Row, Failure> {
        match &self.read {
            ReadSpec::Json | ReadSpec::Map(_) => Ok(Row {
                values: json_object(message)?,
                is_cells: false,
            }),
            ReadSpec::Fields => {
                let fields = message.headers.iter();
                let values = fields.map(|(name, value)| (name.clone(), value.clone().into()));
                Ok(Row {
                    values: values.collect(),
                    is_cells: true,
                })
            }
            ReadSpec::Raw => {
                let whole = self.whole.iter();
                let values: Result<_, Failure> = whole.map(|whole| whole.value(message)).collect();
                Ok(Row {
                    values: values?,
                    is_cells: false,
                })
            }
        }
    }
}

impl Whole {
    fn of(ports: &[Port]) -> Result<Self, Mistakes> {
        let required: Vec<&Port> = ports.iter().filter(|port| port.required).collect();
        let [port] = required.as_slice() else {
            return Err(mistake(
                ports.first().map_or("", |port| &port.name),
                "`read: raw` is for pipelines with one input that must be there",
            ));
        };
        let is_bytes = match port.kind.element {
            motet_rows::Element::Bytes => true,
            motet_rows::Element::Text => false,
            _ => {
                let reason = "`read: raw` is for an input of texts or bytes";
                return Err(mistake(&port.name, reason));
            }
        };
        Ok(Self {
            name: port.name.clone(),
            is_bytes,
        })
    }

    fn value(&self, message: &Message) -> Result<(String, Value), Failure> {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let value = match self.is_bytes {
            true => BASE64_STANDARD.encode(&message.payload),
            false => {
                let text = std::str::from_utf8(&message.payload);
                let text = text.map_err(|_| {
                    Failure::new(Code::InvalidArgument, "the message is not UTF-8 text")
                });
                text?.to_owned()
            }
        };
        Ok((self.name.clone(), value.into()))
    }
}

fn mistake(input: &str, reason: &str) -> Mistakes {
    Mistakes(vec![motet_rows::Mistake {
        input: input.to_owned(),
        column: None,
        reason: reason.to_owned(),
    }])
}

fn json_object(message: &Message) -> Result<Map<String, Value>, Failure> {
    let invalid = |reason: String| Failure::new(Code::InvalidArgument, reason);
    match serde_json::from_slice(&message.payload) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(invalid("the message is JSON, but no object".to_owned())),
        Err(error) => Err(invalid(format!("the message is not JSON: {error}"))),
    }
}

/// Returns the text at a path of keys.
fn key_at(values: &Map<String, Value>, path: &str) -> Option<String> {
    let mut keys = path.split('.');
    let mut value = values.get(keys.next()?)?;
    for key in keys {
        value = value.get(key)?;
    }
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests;

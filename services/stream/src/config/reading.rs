//! The keys `read` and `key` of a stream: the inputs in a message, and its key.

use motet_config::values::{non_empty, string};
use motet_config::{Diagnostic, Diagnostics, Entry, Spanned, Value as Tree, truncated};
use serde_json::{Value, json};

use super::BrokerKind;

/// The header that has the key of a message, unless the file says otherwise.
pub(crate) const KEY_HEADER: &str = "key";

/// The inputs in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadSpec {
    /// Each field of a JSON object is the input of its name.
    Json,
    /// The message as it is, a text or bytes, is the only input.
    Raw,
    /// Each field of an entry is the input of its name (Redis).
    Fields,
    /// Inputs, and the paths of their values in a JSON object.
    Map(Vec<(String, String)>),
}

/// The key of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySpec {
    /// A header; with Redis a field.
    Header(String),
    /// The path of a value in a JSON object.
    Path(String),
    /// The subject (NATS).
    Subject,
    /// The record's own key (Kafka).
    Record,
}

impl ReadSpec {
    /// Returns what is read unless the file says otherwise.
    pub(super) const fn default_of(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Redis => Self::Fields,
            BrokerKind::Nats | BrokerKind::Kafka => Self::Json,
        }
    }

    /// Reads the entry `read`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        entry: &Entry,
        kind: BrokerKind,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Self>> {
        let span = entry.node.span;
        if let Tree::Map(map) = &entry.node.value {
            let mut pairs = Vec::new();
            for entry in &map.entries {
                let path = string(entry, diagnostics)?;
                if path.value.strip_prefix("$.").is_none_or(str::is_empty) {
                    let message = format!("`{}` is no path", truncated(&path.value));
                    let help = "write `$.` and the keys of the value, such as `$.body.text`";
                    diagnostics.push(Diagnostic::error(path.span, message).help(help));
                    return None;
                }
                pairs.push((entry.key.value.clone(), path.value));
            }
            return Some(Spanned::new(Self::Map(pairs), span));
        }
        let word = string(entry, diagnostics)?;
        let read = match word.value.as_str() {
            "json" => Self::Json,
            "raw" => Self::Raw,
            "fields" if kind == BrokerKind::Redis => Self::Fields,
            other => {
                let message = format!("`read` cannot be `{}`", truncated(other));
                let help = match kind {
                    BrokerKind::Redis => {
                        "write `fields`, `json`, `raw`, or a map such as `{ text: $.body }`"
                    }
                    BrokerKind::Nats | BrokerKind::Kafka => {
                        "write `json`, `raw`, or a map such as `{ text: $.body }`"
                    }
                };
                diagnostics.push(Diagnostic::error(word.span, message).help(help));
                return None;
            }
        };
        Some(Spanned::new(read, span))
    }

    /// Returns the JSON schema of the key.
    pub(super) fn schema() -> Value {
        json!({
            "anyOf": [
                { "enum": ["json", "raw", "fields"] },
                {
                    "type": "object",
                    "additionalProperties": { "type": "string", "pattern": "^\\$\\." },
                },
            ],
        })
    }
}

impl KeySpec {
    /// Returns the key unless the file says otherwise.
    pub(super) fn default_of(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Kafka => Self::Record,
            BrokerKind::Nats | BrokerKind::Redis => Self::Header(KEY_HEADER.to_owned()),
        }
    }

    /// Reads the entry `key`. Mistakes are added to `diagnostics`.
    pub(super) fn read(
        entry: &Entry,
        kind: BrokerKind,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let text = non_empty(entry, diagnostics)?;
        let (header, path) = (
            text.value.strip_prefix("header:"),
            text.value.strip_prefix("$."),
        );
        match (text.value.as_str(), header, path) {
            ("subject", ..) if kind == BrokerKind::Nats => Some(Self::Subject),
            ("record", ..) if kind == BrokerKind::Kafka => Some(Self::Record),
            (_, Some(header), _) if !header.is_empty() => Some(Self::Header(header.to_owned())),
            (_, _, Some(path)) if !path.is_empty() => Some(Self::Path(path.to_owned())),
            (other, ..) => {
                let message = format!("`key` cannot be `{}`", truncated(other));
                let help = match kind {
                    BrokerKind::Nats => {
                        "write `header:NAME`, `subject`, or `$.` and the keys of a value"
                    }
                    BrokerKind::Redis => "write `header:FIELD`, or `$.` and the keys of a value",
                    BrokerKind::Kafka => {
                        "write `record`, `header:NAME`, or `$.` and the keys of a value"
                    }
                };
                diagnostics.push(Diagnostic::error(text.span, message).help(help));
                None
            }
        }
    }

    /// Returns the JSON schema of the key.
    pub(super) fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(subject$|record$|header:.|\\$\\..)" })
    }
}

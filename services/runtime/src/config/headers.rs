//! Headers of calls to other servers: the keys `headers` and `forward` of an endpoint or a model.

use std::fmt;
use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};
use motet_config::values::{list, non_empty, string};
use motet_config::{Diagnostic, Diagnostics, Entry, Value as Node, files, truncated};
use serde_json::{Value, json};

/// Most bytes of a file with a header's value.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Headers that calls have by themselves, and starts of such: nobody sets or forwards them.
const RESERVED: [&str; 15] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "baggage",
    "traceparent",
    "tracestate",
    "accept-encoding",
];
const RESERVED_STARTS: [&str; 3] = ["grpc-", "motet-", "proxy-"];

/// Headers whose values are secrets by their names.
const CREDENTIALS: [&str; 6] = [
    "authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-goog-api-key",
];

/// A header that every call of a server has. Its value is a secret, which nothing prints.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderSpec {
    name: String,
    parts: Vec<Part>,
}

/// A part of a header's value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Text(String),
    /// The contents of a file, without the end of its last line.
    File(PathBuf),
    /// An environment variable; the text where it is missing or empty.
    Env(String, Option<String>),
}

/// Error of a header without a value, as the end of a sentence about it. It has none of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A file cannot be read.
    #[error("`{name}`: {} cannot be read: {why}", path.display())]
    File {
        /// The header.
        name: String,
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// A variable is missing or empty.
    #[error(
        "`{name}`: the environment variable {variable} is missing or empty; set it, or write \
         `${{env:{variable}:-default}}`"
    )]
    Env {
        /// The header.
        name: String,
        /// The variable.
        variable: String,
    },
    /// The value is empty, has several lines, or characters other than ASCII.
    #[error("`{name}`: its value must be one line of ASCII, and not empty")]
    Value {
        /// The header.
        name: String,
    },
}

impl fmt::Debug for HeaderSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.name)
    }
}

impl HeaderSpec {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the value is that of files, which may change.
    pub fn has_files(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::File(_)))
    }

    /// Returns the value as it is now, marked as a secret. Reads files.
    ///
    /// # Errors
    /// When there is none.
    pub fn value(&self, env: impl Fn(&str) -> Option<String>) -> Result<HeaderValue, HeaderError> {
        let name = || self.name.clone();
        let text = self.text(env)?;
        let value = HeaderValue::try_from(text).ok();
        let fits = |value: &HeaderValue| !value.is_empty() && value.to_str().is_ok();
        let mut value = value
            .filter(fits)
            .ok_or(HeaderError::Value { name: name() })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Returns the text as it is now, whatever its characters. Reads files.
    ///
    /// # Errors
    /// When a file cannot be read, or a variable is missing.
    pub(super) fn text(&self, env: impl Fn(&str) -> Option<String>) -> Result<String, HeaderError> {
        let name = || self.name.clone();
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::File(path) => {
                    let read = files::read_text(path, FILE_BYTES_MAX);
                    let read = read.map_err(|error| HeaderError::File {
                        name: name(),
                        path: path.clone(),
                        why: error.to_string(),
                    })?;
                    text.push_str(read.trim_end_matches(['\n', '\r']));
                }
                Part::Env(variable, default) => {
                    let value = env(variable).filter(|value| !value.is_empty());
                    let value = value.or_else(|| default.clone());
                    text.push_str(&value.ok_or_else(|| HeaderError::Env {
                        name: name(),
                        variable: variable.clone(),
                    })?);
                }
            }
        }
        Ok(text)
    }

    /// Returns a text with references that belongs to a key.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub(super) fn of_key(key: &str, text: &str) -> Result<Self, String> {
        Ok(Self {
            name: key.to_owned(),
            parts: parts(text)?,
        })
    }

    /// Returns whether the text is that of the configuration itself.
    pub(super) fn is_written(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Makes relative paths start from `folder`.
    pub(super) fn start_from(&mut self, folder: &Path) {
        for part in &mut self.parts {
            if let Part::File(path) = part {
                *path = folder.join(&*path);
            }
        }
    }
}

/// Reads the entry `headers`: a map of names and values.
pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Vec<HeaderSpec> {
    let Node::Map(map) = &entry.node.value else {
        let kind = entry.node.kind();
        let message = format!("`headers` must be a map of names and values, not {kind}");
        let help = "write `headers: { authorization: \"Bearer ${file:./token}\" }`";
        diagnostics.push(Diagnostic::error(entry.node.span, message).help(help));
        return Vec::new();
    };
    let read = |entry: &Entry| header(entry, diagnostics);
    map.entries.iter().filter_map(read).collect()
}

fn header(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<HeaderSpec> {
    let name = name(&entry.key.value, "set");
    let name = name.map_err(|why| Diagnostic::error(entry.key.span, why));
    let value = string(entry, diagnostics)?;
    let parts = parts(&value.value);
    let parts = parts.map_err(|why| Diagnostic::error(value.span, why).help(HELP));
    let spec = match (name, parts) {
        (Ok(name), Ok(parts)) => HeaderSpec { name, parts },
        (name, parts) => {
            let errors = [name.err(), parts.err()].into_iter().flatten();
            errors.for_each(|error| diagnostics.push(error));
            return None;
        }
    };
    if spec.is_written() && is_credential(&spec.name) {
        let message = format!("`{}` is a secret, which the file must not hold", spec.name);
        diagnostics.push(Diagnostic::error(value.span, message).help(HELP));
    }
    Some(spec)
}

pub(super) const HELP: &str = "write `${file:PATH}` or `${env:NAME}`, with a default \
                    `${env:NAME:-default}`; a `$` by itself is `$$`";

/// Returns whether a header carries a secret by its name.
pub(crate) fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name)
}

/// Returns the name of a header that may be set or forwarded, in small letters.
fn name(text: &str, what: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let shown = truncated(text);
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("`{shown}` is no name of a header"));
    }
    let starts = RESERVED_STARTS.iter().any(|start| name.starts_with(start));
    if starts || RESERVED.contains(&&*name) {
        return Err(format!(
            "`{shown}` cannot be {what}: calls have it by themselves"
        ));
    }
    Ok(name)
}

/// Cuts a value into its parts.
fn parts(text: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    let mut plain = String::new();
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (inside, after) = inside.ok_or("the value has a `$` that begins nothing")?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(reference(inside)?);
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// Reads what stands in `${...}`.
fn reference(text: &str) -> Result<Part, String> {
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(Part::File(path.into())),
        Some(("env", rest)) => {
            let (variable, default) = match rest.split_once(":-") {
                Some((variable, default)) => (variable, Some(default.to_owned())),
                None => (rest, None),
            };
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            match !variable.is_empty() && variable.bytes().all(fits) {
                true => Ok(Part::Env(variable.to_owned(), default)),
                false => Err("`${env:...}` needs the name of a variable".to_owned()),
            }
        }
        _ => Err("`${...}` is neither `${file:PATH}` nor `${env:NAME}`".to_owned()),
    }
}

/// Reads the entry `forward`: names of headers.
pub(super) fn read_forward(entry: &Entry, diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in list(entry, diagnostics).unwrap_or_default() {
        let item = Entry {
            key: entry.key.clone(),
            node: item.clone(),
        };
        let Some(text) = non_empty(&item, diagnostics) else {
            continue;
        };
        match name(&text.value, "forwarded") {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(why) => diagnostics.push(Diagnostic::error(text.span, why)),
        }
    }
    names
}

/// Returns the JSON schema of `headers`.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": { "type": "string" },
        "description": "headers of each call; ${file:PATH} and ${env:NAME} stand for their \
                        contents",
    })
}

/// Returns the JSON schema of `forward`.
pub(super) fn forward_schema() -> Value {
    json!({
        "type": "array",
        "items": { "type": "string" },
        "description": "headers of the caller that go along",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<String, String> {
        let spec = HeaderSpec {
            name: "x-test".to_owned(),
            parts: parts(text)?,
        };
        let env = |name: &str| match name {
            "TOKEN" => Some("abc".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let value = spec.value(env).map_err(|error| error.to_string())?;
        assert!(value.is_sensitive());
        assert_eq!(format!("{spec:?}"), "x-test: ***");
        Ok(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_value_is_made_of_text_files_and_variables() {
        let path = std::env::temp_dir().join(format!("motet-header-{}", std::process::id()));
        std::fs::write(&path, "secret\n").unwrap();
        let file = format!("Bearer ${{file:{}}}", path.display());
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("a$$b", Ok("a$b")),
            ("Bearer ${env:TOKEN}", Ok("Bearer abc")),
            ("${env:TOKEN}-${env:TOKEN}", Ok("abc-abc")),
            ("${env:NONE:-default}", Ok("default")),
            ("${env:EMPTY:-default}", Ok("default")),
            (&*file, Ok("Bearer secret")),
            ("${env:NONE}", Err("variable NONE is missing or empty")),
            ("${env:EMPTY}", Err("variable EMPTY is missing or empty")),
            (
                "${file:/no/such}",
                Err("/no/such cannot be read: no such file"),
            ),
            ("${env:NONE:-}", Err("and not empty")),
            ("a\nb", Err("one line of ASCII")),
            ("h\u{e9}", Err("one line of ASCII")),
            ("$TOKEN", Err("begins nothing")),
            ("${TOKEN}", Err("neither")),
            ("${env:}", Err("needs the name")),
            ("${env:A B}", Err("needs the name")),
            ("${file:}", Err("neither")),
            ("${env:TOKEN", Err("begins nothing")),
        ] {
            let found = value(text);
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text} {found}"),
                _ => panic!("{text}: {found:?}"),
            }
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn headers_of_the_call_itself_are_neither_set_nor_forwarded() {
        for (text, expected) in [
            ("X-Tenant", Ok("x-tenant")),
            ("authorization", Ok("authorization")),
            ("x-data-bin", Ok("x-data-bin")),
            ("grpc-timeout", Err(())),
            ("Content-Type", Err(())),
            ("motet-flow", Err(())),
            ("traceparent", Err(())),
            ("te", Err(())),
            ("", Err(())),
            ("a b", Err(())),
            (":authority", Err(())),
        ] {
            let found = name(text, "set").map_err(drop);
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        }
    }
}

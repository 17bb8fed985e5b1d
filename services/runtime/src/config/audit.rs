//! The key `audit` of a server: a file that tells who did what.

use std::path::{Path, PathBuf};

use motet_config::keys::{self, Field, Key};
use motet_config::values::non_empty;
use motet_config::{Diagnostics, Entry, MapReader};
use serde_json::{Value, json};

/// The audit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSpec {
    /// The file.
    pub path: PathBuf,
    /// `true` if nothing is answered that is not written.
    pub required: bool,
    /// Size at which the file is renamed and a new one begun.
    pub max_bytes: usize,
    /// Files that are kept, the one that is written among them.
    pub max_files: usize,
}

impl Default for AuditSpec {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            required: false,
            max_bytes: 100 << 20,
            max_files: 10,
        }
    }
}

const KEYS: [Key<AuditSpec>; 3] = [
    Key {
        name: "required",
        about: "Answer nothing that is not written.",
        field: Field::Bool(|s| s.required, |s, required| s.required = required),
    },
    Key {
        name: "max_bytes",
        about: "Size at which the file is renamed (`.1`, `.2`, ...) and a new one begun.",
        field: Field::Size(
            4 << 10..=1 << 40,
            |s| Some(s.max_bytes),
            |s, bytes| s.max_bytes = bytes,
        ),
    },
    Key {
        name: "max_files",
        about: "Files that are kept, the one that is written among them.",
        field: Field::Count(
            1..=1000,
            |s| Some(s.max_files),
            |s, files| s.max_files = files,
        ),
    },
];

impl AuditSpec {
    /// Reads the entry `audit`.
    pub fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Self> {
        let at = entry.key.span;
        let mut map = MapReader::new(&entry.node, "`audit`", at, diagnostics)?;
        let path = map.required("path", "name the file, such as `path: ./audit.jsonl`");
        let path = path.and_then(|entry| non_empty(entry, diagnostics));
        let mut spec = Self::default();
        keys::read(&KEYS, &mut spec, &mut map, diagnostics);
        map.finish(diagnostics);
        spec.path = path?.value.into();
        Some(spec)
    }

    /// Makes a relative path start from `folder`.
    pub fn start_from(&mut self, folder: &Path) {
        self.path = folder.join(&self.path);
    }

    /// Returns the JSON schema of the key, for editors.
    pub(super) fn schema() -> Value {
        let mut schema = keys::schema(&KEYS);
        schema["properties"]["path"] = json!({ "type": "string" });
        schema["required"] = json!(["path"]);
        schema
    }
}

//! The lock file: what the models and endpoints of a configuration take and give, as they last said,
//! so that pipelines can be checked where nobody answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use motet_proto::signature::Signature;
use serde_json::{Value, json};

/// The form of the file.
const VERSION: u64 = 1;
/// The most bytes of a lock file.
const BYTES_MAX: u64 = 16 << 20;

/// What is locked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lock {
    /// Signatures by model.
    pub models: BTreeMap<String, Signature>,
    /// Services by endpoint and name, each as the descriptors of its files.
    pub services: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Lock {
    /// Where the lock file of a configuration is: beside it, `motet.lock` for `motet.yaml`.
    pub fn path(configuration: &Path) -> PathBuf {
        configuration.with_extension("lock")
    }

    /// Reads a lock file; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not one that this version understands.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let size = match std::fs::metadata(path) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        if size > BYTES_MAX {
            bail!(
                "{} has {size} bytes: the limit is {BYTES_MAX}",
                path.display()
            );
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let written_anew = || {
            format!(
                "{} is no lock file of this version: write it anew with `motet check --lock`",
                path.display()
            )
        };
        let mut value: Value = serde_json::from_str(&text).with_context(written_anew)?;
        if value["version"] != VERSION {
            bail!(written_anew());
        }
        let models = serde_json::from_value(value["models"].take()).with_context(written_anew)?;
        let services = match value["services"].take() {
            Value::Null => BTreeMap::new(),
            services => serde_json::from_value(services).with_context(written_anew)?,
        };
        Ok(Some(Self { models, services }))
    }

    /// Writes a lock file, the same for the same signatures.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut value = json!({ "version": VERSION, "models": self.models });
        if !self.services.is_empty() {
            value["services"] = serde_json::to_value(&self.services)?;
        }
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use motet_proto::signature::{Parameter, Port};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = std::env::temp_dir().join(format!("motet-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = Lock::path(&folder.join("motet.yaml"));
        assert_eq!(path, folder.join("motet.lock"));
        assert_eq!(Lock::read(&path).unwrap(), None);
        let signature = Signature {
            inputs: vec![Port::new("text", "string[N]".parse().unwrap())],
            outputs: vec![Port::new("embedding", "float[N,384]".parse().unwrap())],
            parameters: vec![Parameter::int("max_tokens", 256, 2, 256)],
        };
        let services = BTreeMap::from([("ocr.v1.Ocr".to_owned(), json!({ "file": [] }))]);
        let lock = Lock {
            models: BTreeMap::from([("minilm".to_owned(), signature)]),
            services: BTreeMap::from([("ocr".to_owned(), services)]),
        };
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), Some(lock));
        for wrong in [
            "",
            "{}",
            "{\"version\":2,\"models\":{}}",
            "{\"version\":1,\"models\":[]}",
            "{\"version\":1,\"models\":{},\"services\":[]}",
        ] {
            std::fs::write(&path, wrong).unwrap();
            let error = Lock::read(&path).unwrap_err().to_string();
            assert!(error.contains("motet check --lock"), "{wrong}: {error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

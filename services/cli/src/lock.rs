//! The lock file: signatures of the models and endpoints of a configuration as they were last
//! seen, so that pipelines can be checked while servers are down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use motet_config::files::{self, FileError};
use motet_gateway::check::SignatureError;
use motet_gateway::grpc::ServiceLookupError;
use motet_gateway::protobuf::descriptors;
use motet_proto::signature::Signature;
use serde_json::{Value, json};

use crate::signatures::Signatures;

/// The version of the file format.
const VERSION: u64 = 1;
/// The most bytes of a lock file.
const BYTES_MAX: u64 = 16 << 20;

/// The contents of a lock file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Lock {
    /// Signatures by model.
    pub(crate) models: BTreeMap<String, Signature>,
    /// Services by endpoint and name, each as the descriptors of its files.
    pub(crate) services: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Lock {
    /// Returns the path of a configuration's lock file: beside it, `motet.lock` for `motet.yaml`.
    pub(crate) fn path(configuration: &Path) -> PathBuf {
        configuration.with_extension("lock")
    }

    /// Locks every signature.
    ///
    /// # Errors
    /// When a signature is missing.
    pub(crate) fn of(signatures: &Signatures) -> anyhow::Result<Self> {
        let mut lock = Self::default();
        for (model, signature) in signatures.iter() {
            match signature {
                Ok(signature) => lock.models.insert(model.to_owned(), signature.clone()),
                Err(why) => bail!("model {model} cannot be locked: {why}"),
            };
        }
        for (endpoint, service, answer) in signatures.services.asked() {
            match answer {
                Ok(known) => lock
                    .services
                    .entry(endpoint.to_string())
                    .or_default()
                    .insert(service.to_owned(), descriptors::to_json(known)),
                Err(why) => bail!("service {service} of {endpoint} cannot be locked: {why}"),
            };
        }
        Ok(lock)
    }

    /// Returns the lock with the entries of another, which take precedence.
    #[must_use]
    pub(crate) fn updated(mut self, other: Self) -> Self {
        self.models.extend(other.models);
        for (endpoint, services) in other.services {
            self.services.entry(endpoint).or_default().extend(services);
        }
        self
    }

    /// Fills in the signatures that no server stated from the lock file at `path`, if there is
    /// one, and warns on standard error of those that differ from it.
    ///
    /// # Errors
    /// When the lock file cannot be read or used.
    pub(crate) fn fill(signatures: &mut Signatures, path: &Path) -> anyhow::Result<()> {
        let Some(lock) = Self::read(path)? else {
            return Ok(());
        };
        let changed = |what: String| {
            eprintln!(
                "warning: {what} differs from {}; update it with `motet check --lock`",
                path.display()
            );
        };
        for (model, locked) in lock.models {
            let known = signatures.iter().find(|(name, _)| *name == model);
            match known.map(|(_, signature)| signature) {
                Some(Err(SignatureError::Unavailable { .. })) => {
                    signatures.insert(&model, Ok(locked));
                }
                Some(Ok(now)) if *now != locked => {
                    changed(format!("the signature of model `{model}`"));
                }
                Some(_) | None => {}
            }
        }
        let asked: Vec<_> = signatures
            .services
            .asked()
            .map(|(endpoint, service, answer)| {
                (endpoint.clone(), service.to_owned(), answer.clone())
            })
            .collect();
        for (endpoint, service, answer) in asked {
            let of_endpoint = lock.services.get(&endpoint.to_string());
            let Some(locked) = of_endpoint.and_then(|services| services.get(&service)) else {
                continue;
            };
            match answer {
                Err(ServiceLookupError::Unavailable { .. }) => {
                    let known = descriptors::from_json(&service, locked.clone());
                    let known = known.map_err(|why| {
                        anyhow!(
                            "{}, service {service} of {endpoint}: {why}: \
                             write it again with `motet check --lock`",
                            path.display()
                        )
                    })?;
                    signatures.services.insert(endpoint, service, Ok(known));
                }
                Ok(now) if descriptors::to_json(&now) != *locked => {
                    changed(format!("service `{service}` of `{endpoint}`"));
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Reads a lock file; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read, or its format is of another version.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match files::read_text(path, BYTES_MAX) {
            Ok(text) => text,
            Err(FileError::Missing) => return Ok(None),
            Err(error) => bail!("{} cannot be read: {error}", path.display()),
        };
        let outdated = || {
            format!(
                "{} is not a lock file of this version: write it again with `motet check --lock`",
                path.display()
            )
        };
        let mut value: Value = serde_json::from_str(&text).with_context(outdated)?;
        if value["version"] != VERSION {
            bail!(outdated());
        }
        let models = serde_json::from_value(value["models"].take()).with_context(outdated)?;
        let services = match value["services"].take() {
            Value::Null => BTreeMap::new(),
            services => serde_json::from_value(services).with_context(outdated)?,
        };
        Ok(Some(Self { models, services }))
    }

    /// Writes a lock file. Equal signatures make equal files.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
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

    #[cfg(unix)]
    #[test]
    fn a_lock_file_without_an_end_is_refused() {
        let folder = std::env::temp_dir().join(format!("motet-endless-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = Lock::path(&folder.join("motet.yaml"));
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let error = Lock::read(&path).unwrap_err().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(
            error.contains("no regular file but a pipe, a socket or a device"),
            "{error}"
        );
    }

    #[test]
    fn a_written_lock_file_is_read_back() {
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

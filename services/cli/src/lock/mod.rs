//! The lock file: signatures of the models and endpoints of a configuration as they were last
//! seen, so that pipelines can be checked while servers are down; and the files of its models, so
//! that every machine has the same.

mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use motet_config::files::{self, FileError};
use motet_gateway::check::SignatureError;
use motet_gateway::grpc::ServiceLookupError;
use motet_gateway::protobuf::descriptors;
use motet_hub::DigestCache;
use motet_proto::signature::Signature;
use serde_json::{Value, json};

use crate::configuration::ResolvedModels;
use crate::signatures::Signatures;

pub(crate) use sources::LockedSource;

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
    /// Files by source, as the configuration writes it.
    pub(crate) sources: BTreeMap<String, LockedSource>,
}

impl Lock {
    /// Returns the path of a configuration's lock file: beside it, `motet.lock` for `motet.yaml`.
    pub(crate) fn path(configuration: &Path) -> PathBuf {
        configuration.with_extension("lock")
    }

    /// Returns the commits of repositories, by their names as they are written.
    pub(crate) fn commits(&self) -> BTreeMap<String, String> {
        let commit = |(source, locked): (&String, &LockedSource)| {
            let name = source.strip_prefix("hf:")?;
            Some((name.to_owned(), locked.commit.clone()?))
        };
        self.sources.iter().filter_map(commit).collect()
    }

    /// Locks every signature, and the files of every model of this process.
    ///
    /// # Errors
    /// When a signature is missing, or a file cannot be read.
    pub(crate) fn of(signatures: &Signatures, resolved: &ResolvedModels) -> anyhow::Result<Self> {
        let mut lock = Self::default();
        let mut digests = DigestCache::of_user();
        for (source, folder) in &resolved.folders {
            let commit = resolved.commit(source).map(str::to_owned);
            let locked = LockedSource::of(folder, commit, &mut digests);
            let locked = locked.with_context(|| format!("{source} cannot be locked"))?;
            lock.sources.insert(source.clone(), locked);
        }
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
        self.sources.extend(other.sources);
        self
    }

    /// Returns in which ways the models of this process are other ones than those that are locked,
    /// in a line for each. Files are compared by their content only if `with_content`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn differences(
        &self,
        resolved: &ResolvedModels,
        with_content: bool,
    ) -> anyhow::Result<Vec<String>> {
        let mut digests = with_content.then(DigestCache::of_user);
        let mut found = self.source_differences(resolved, &mut digests)?;
        for model in &resolved.models {
            match self.models.get(model.name()) {
                Some(locked) if locked == model.signature() => {}
                Some(_) => found.push(format!("the signature of model `{}`", model.name())),
                None => found.push(format!("model `{}` is not locked", model.name())),
            }
        }
        Ok(found)
    }

    fn source_differences(
        &self,
        resolved: &ResolvedModels,
        digests: &mut Option<DigestCache>,
    ) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for (source, folder) in &resolved.folders {
            let Some(locked) = self.sources.get(source) else {
                found.push(format!("{source} is not locked"));
                continue;
            };
            let commit = resolved.commit(source);
            let differences = locked.differences(folder, commit, digests.as_mut());
            let differences = differences.with_context(|| source.clone())?;
            found.extend(
                differences
                    .iter()
                    .map(|difference| format!("{source}: {difference}")),
            );
        }
        Ok(found)
    }

    /// Warns on standard error of sources that are other ones than those of the lock file at
    /// `path`, by commits, names and sizes.
    ///
    /// # Errors
    /// When the lock file, or a file of a model, cannot be read.
    pub(crate) fn warn(path: &Path, resolved: &ResolvedModels) -> anyhow::Result<()> {
        let Some(lock) = Self::read(path)? else {
            return Ok(());
        };
        // A lock file of an earlier version has no sources.
        if lock.sources.is_empty() {
            return Ok(());
        }
        for difference in lock.source_differences(resolved, &mut None)? {
            eprintln!(
                "warning: {difference}, by {}; update it with `motet check --lock`",
                path.display()
            );
        }
        Ok(())
    }

    /// Refuses models that are other ones than the lock file at `path` has.
    ///
    /// # Errors
    /// When there is no such file, it cannot be read, or something differs.
    pub(crate) fn refuse(path: Option<&Path>, resolved: &ResolvedModels) -> anyhow::Result<()> {
        let Some(path) = path else {
            bail!("--locked needs a configuration in a file, which a lock file lies beside");
        };
        let Some(lock) = Self::read(path)? else {
            bail!(
                "--locked: there is no {}; `motet check --lock` writes it",
                path.display()
            );
        };
        match &lock.differences(resolved, true)?[..] {
            [] => Ok(()),
            differences => bail!(
                "--locked: the models are not those of {}:\n  {}\n`motet check --lock` writes it \
                 again",
                path.display(),
                differences.join("\n  ")
            ),
        }
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
        let sources = match value["sources"].take() {
            Value::Null => BTreeMap::new(),
            sources => serde_json::from_value(sources).with_context(outdated)?,
        };
        Ok(Some(Self {
            models,
            services,
            sources,
        }))
    }

    /// Returns what a lock file has.
    ///
    /// # Errors
    /// None that is known: everything in it becomes JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        let mut value = json!({ "version": VERSION, "models": self.models });
        if !self.services.is_empty() {
            value["services"] = serde_json::to_value(&self.services)?;
        }
        if !self.sources.is_empty() {
            value["sources"] = serde_json::to_value(&self.sources)?;
        }
        Ok(value)
    }

    /// Writes a lock file. Equal signatures make equal files.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.json()?)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use motet_hub::FileDigest;
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
            sources: BTreeMap::from([(
                "hf:a/b".to_owned(),
                LockedSource {
                    commit: Some("c".to_owned()),
                    files: BTreeMap::from([(
                        "config.json".to_owned(),
                        FileDigest {
                            size: 2,
                            sha256: "d".to_owned(),
                        },
                    )]),
                },
            )]),
        };
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), Some(lock));
        for wrong in [
            "",
            "{}",
            "{\"version\":2,\"models\":{}}",
            "{\"version\":1,\"models\":[]}",
            "{\"version\":1,\"models\":{},\"services\":[]}",
            "{\"version\":1,\"models\":{},\"sources\":[]}",
        ] {
            std::fs::write(&path, wrong).unwrap();
            let error = Lock::read(&path).unwrap_err().to_string();
            assert!(error.contains("motet check --lock"), "{wrong}: {error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

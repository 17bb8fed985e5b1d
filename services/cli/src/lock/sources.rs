//! Files of models in a lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use motet_hub::{DigestCache, FileDigest, model_files};
use serde::{Deserialize, Serialize};

/// The files of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct LockedSource {
    /// Commit of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
    /// Size and digest by path.
    pub(crate) files: BTreeMap<String, FileDigest>,
}

impl LockedSource {
    /// Returns the files of a model in a folder, with the commit that they are of, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn of(
        folder: &Path,
        commit: Option<String>,
        digests: &mut DigestCache,
    ) -> io::Result<Self> {
        let digest = |path: String| {
            let digest = digests.digest(&folder.join(&path));
            let digest = digest.map_err(|cause| named(&path, &cause))?;
            Ok((path, digest))
        };
        let files = model_files(folder).into_iter().map(digest);
        Ok(Self {
            commit,
            files: files.collect::<io::Result<_>>()?,
        })
    }

    /// Returns in which ways the files of a folder are other ones, each in a few words. Their
    /// content is compared only with `digests`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn differences(
        &self,
        folder: &Path,
        commit: Option<&str>,
        digests: Option<&mut DigestCache>,
    ) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let locked = self.commit.as_deref();
        if locked != commit {
            let name = |commit: Option<&str>| commit.unwrap_or("none").to_owned();
            found.push(format!(
                "the commit is {}, not {}",
                name(commit),
                name(locked)
            ));
        }
        let files = model_files(folder);
        let paths: BTreeSet<&String> = files.iter().chain(self.files.keys()).collect();
        let mut digests = digests;
        for path in paths {
            let Some(locked) = self.files.get(path) else {
                found.push(format!("{path} is there, but not locked"));
                continue;
            };
            if !files.contains(path) {
                found.push(format!("{path} is locked, but not there"));
                continue;
            }
            let place = folder.join(path);
            let size = std::fs::metadata(&place)
                .map_err(|cause| named(path, &cause))?
                .len();
            if size != locked.size {
                found.push(format!("{path} has {size} bytes, not {}", locked.size));
            } else if let Some(digests) = &mut digests {
                let digest = digests
                    .digest(&place)
                    .map_err(|cause| named(path, &cause))?;
                if digest.sha256 != locked.sha256 {
                    let (now, then) = (&digest.sha256, &locked.sha256);
                    found.push(format!("{path} has the SHA-256 {now}, not {then}"));
                }
            }
        }
        Ok(found)
    }
}

fn named(path: &str, cause: &io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("{path}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_difference_is_named() {
        let folder = std::env::temp_dir().join(format!("motet-locked-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let write = |path: &str, text: &str| fs::write(folder.join(path), text).unwrap();
        write("config.json", "{}");
        write("model.safetensors", "weights");
        write("README.md", "not a file of the model");
        let mut digests = DigestCache::default();
        let commit = Some("c1".to_owned());
        let locked = LockedSource::of(&folder, commit, &mut digests).unwrap();
        let paths: Vec<&str> = locked.files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["config.json", "model.safetensors"]);
        let mut check = |commit: &str, with_content: bool, expected: &[&str]| {
            let digests = with_content.then_some(&mut digests);
            let found = locked.differences(&folder, Some(commit), digests).unwrap();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found:?} {expected:?}");
            }
        };
        check("c1", true, &[]);
        check("c2", true, &["the commit is c2, not c1"]);
        write("README.md", "changed");
        write("model.safetensors", "weighty");
        check("c1", false, &[]);
        check("c1", true, &["model.safetensors has the SHA-256 "]);
        write("model.safetensors", "longer weights");
        check("c1", false, &["model.safetensors has 14 bytes, not 7"]);
        write("vocab.txt", "");
        fs::remove_file(folder.join("config.json")).unwrap();
        check(
            "c1",
            false,
            &[
                "config.json is locked, but not there",
                "model.safetensors has 14 bytes",
                "vocab.txt is there, but not locked",
            ],
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! [`Repository`]: the name of a repository, and a revision of it.

use std::fmt;
use std::str::FromStr;

/// The scheme of sources that are repositories.
pub const SCHEME: &str = "hf";

/// Revision of a repository where none is named.
pub const REVISION_DEFAULT: &str = "main";

/// Most characters of a name.
const NAME_CHARS_MAX: usize = 96;
/// Most characters of a revision.
const REVISION_CHARS_MAX: usize = 255;
/// Digits of the name of a commit.
const COMMIT_DIGITS: usize = 40;

/// A repository of models at a revision, written `ORG/NAME[@REVISION]`.
///
/// ```
/// use motet_hub::Repository;
///
/// let repository: Repository = "BAAI/bge-m3@v1".parse()?;
/// assert_eq!((repository.name(), repository.revision()), ("BAAI/bge-m3", "v1"));
/// assert_eq!("BAAI/bge-m3".parse::<Repository>()?.revision(), "main");
/// assert!("BAAI/bge m3".parse::<Repository>().is_err());
/// # Ok::<(), motet_hub::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    name: String,
    revision: Option<String>,
}

/// A text that names no repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has another form.
    #[error(
        "`{0}` is no name of a repository; write ORG/NAME, of letters, digits, `-`, `_` and `.`"
    )]
    Name(String),
    /// The revision has another form.
    #[error("`{0}` is no revision; write a branch, a tag or the 40 digits of a commit")]
    Revision(String),
}

impl Repository {
    /// Returns `ORG/NAME`; for some old repositories, a name alone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the branch, tag or commit.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(REVISION_DEFAULT)
    }

    /// Returns the commit, if that is the revision.
    pub fn commit(&self) -> Option<&str> {
        Some(self.revision()).filter(|revision| is_commit(revision))
    }

    /// Returns the repository at another revision.
    ///
    /// # Errors
    /// A text that is no revision.
    pub fn at(&self, revision: &str) -> Result<Self, NameError> {
        check_revision(revision)?;
        Ok(Self {
            name: self.name.clone(),
            revision: Some(revision.to_owned()),
        })
    }

    /// Returns the name of the repository's folder in a cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.name.replace('/', "--"))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Repository {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (name, revision) = match text.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (text, None),
        };
        let parts: Vec<&str> = name.split('/').collect();
        let is_name = (1..=2).contains(&parts.len())
            && name.len() <= NAME_CHARS_MAX
            && parts.iter().all(|part| is_part(part));
        if !is_name {
            return Err(NameError::Name(name.to_owned()));
        }
        revision.map_or(Ok(()), check_revision)?;
        Ok(Self {
            name: name.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }
}

/// Returns whether a text is one part of a name. Two hyphens join the parts in a cache.
fn is_part(part: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty()
        && part.chars().all(known)
        && !part.contains("--")
        && !part.contains("..")
        && !part.starts_with(['-', '.'])
        && !part.ends_with(['-', '.'])
}

/// Refuses what could not be a revision, or would leave the cache as a path.
fn check_revision(revision: &str) -> Result<(), NameError> {
    let known = |c: char| c.is_ascii_graphic() && !"\\?#%*:~^[\"'<>|@".contains(c);
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.');
    let is_revision = revision.len() <= REVISION_CHARS_MAX
        && revision.chars().all(known)
        && revision.split('/').all(is_part)
        && !revision.contains("..");
    match is_revision {
        true => Ok(()),
        false => Err(NameError::Revision(revision.to_owned())),
    }
}

/// Returns whether a text is the full name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_DIGITS && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_revisions_are_told_from_other_texts() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (text, name, revision, folder) in [
            ("BAAI/bge-m3", "BAAI/bge-m3", "main", "models--BAAI--bge-m3"),
            ("gpt2", "gpt2", "main", "models--gpt2"),
            ("a/b@refs/pr/3", "a/b", "refs/pr/3", "models--a--b"),
            ("a/b_c.d@v1.0", "a/b_c.d", "v1.0", "models--a--b_c.d"),
            (&format!("a/b@{commit}"), "a/b", commit, "models--a--b"),
        ] {
            let repository: Repository = text.parse().unwrap();
            assert_eq!(repository.name(), name);
            assert_eq!(repository.revision(), revision);
            assert_eq!(repository.folder(), folder);
            assert_eq!(repository.to_string(), text);
            assert_eq!(repository.commit().is_some(), revision == commit);
        }
        for wrong in [
            "",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "a--b/c",
            "../b",
            "a/..",
            ".a/b",
            "a b/c",
            "a/b\n",
            "-a/b",
            "https://x/y",
            "a\\b",
        ] {
            let error = wrong.parse::<Repository>().unwrap_err();
            assert!(matches!(error, NameError::Name(_)), "{wrong:?}: {error}");
        }
        for wrong in [
            "", "..", "a/../b", "/a", "a/", "a b", "a@b", "a\\b", ".", "a//b", "x\u{e9}",
        ] {
            let error = format!("a/b@{wrong}").parse::<Repository>().unwrap_err();
            assert!(
                matches!(error, NameError::Revision(_)),
                "{wrong:?}: {error}"
            );
        }
    }
}

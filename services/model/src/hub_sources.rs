//! Repositories of a hub, as configurations name them.

use std::collections::BTreeMap;

use motet_hub::{Hub, NameError, Repository, Snapshot};

/// The hub of a configuration's models.
#[derive(Clone, Debug)]
pub struct HubSources {
    /// The cache, and where it is filled from.
    pub hub: Hub,
    /// Commits that take the place of the revisions of sources, by `ORG/NAME[@REVISION]` as it is
    /// written.
    pub pins: BTreeMap<String, String>,
}

impl HubSources {
    /// Returns the hub that the environment names, with no revision pinned.
    pub fn from_env() -> Self {
        Self {
            hub: Hub::from_env(),
            pins: BTreeMap::new(),
        }
    }

    /// Returns the repository that a source means, at the commit that it is pinned to.
    ///
    /// # Errors
    /// A name that is none, of the repository or of the commit.
    pub fn repository(&self, written: &str) -> Result<Repository, NameError> {
        let repository: Repository = written.parse()?;
        match self.pins.get(written) {
            Some(commit) => repository.at(commit),
            None => Ok(repository),
        }
    }
}

/// A repository that a configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedRepository {
    /// The name as it is written: `ORG/NAME[@REVISION]`.
    pub written: String,
    /// The repository, at the commit that it is pinned to.
    pub repository: Repository,
    /// Its files, if they are in the cache.
    pub snapshot: Option<Snapshot>,
}

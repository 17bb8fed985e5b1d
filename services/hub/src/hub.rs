//! [`Hub`]: repositories in the cache, and fetched into it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cache::{CachedRepository, paths_in, read_in};
use crate::error::HubError;
use crate::listing::Listing;
use crate::name::Repository;
use crate::plan::{Plan, plan};
use crate::progress::Event;
use crate::settings::Settings;

/// The repositories of a hub, as far as this machine has them or can have them. Cheap to make:
/// nothing is connected to before something is fetched.
#[derive(Clone, Debug)]
pub struct Hub {
    pub(crate) settings: Settings,
}

/// The files of a repository's model at a commit, all of which are on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit.
    pub commit: String,
    /// The folder with the files.
    pub folder: PathBuf,
    /// `false` if the cache does not say which files the repository has: those that are not there
    /// are taken as if it had none.
    pub is_listed: bool,
    /// The paths of the model's files in the folder.
    pub files: BTreeSet<String>,
}

impl Hub {
    /// Returns the hub that these settings name.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Returns the hub that the environment names.
    pub fn from_env() -> Self {
        Self::new(Settings::from_env())
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the files of a repository if all that a model needs are in the cache. Makes no
    /// connection.
    pub fn cached(&self, repository: &Repository) -> Option<Snapshot> {
        let cached = self.repository(repository);
        let commit = cached.commit(repository)?;
        let listing = cached.listing(&commit);
        let paths = match &listing {
            Some(listing) => listing.paths(),
            None => cached.paths(&commit),
        };
        let plan = plan(&paths, |path| cached.read(&commit, path));
        let is_there = match &listing {
            Some(listing) => missing(&cached, &commit, &plan, listing).is_empty(),
            None => has_a_model(&plan, |path| cached.read(&commit, path)),
        };
        (plan.is_whole && is_there).then(|| Snapshot {
            folder: cached.snapshot(&commit),
            is_listed: listing.is_some(),
            files: plan.files,
            commit,
        })
    }

    /// Returns the files of a repository: from the cache, else fetched. A branch or tag is what it
    /// was when it was last fetched. Blocks, and must not be called on a thread of an async
    /// runtime.
    ///
    /// # Errors
    /// Files that are not there and cannot be fetched.
    pub fn have(
        &self,
        repository: &Repository,
        progress: &mut dyn FnMut(Event<'_>),
    ) -> Result<Snapshot, HubError> {
        match self.cached(repository) {
            // Other programs keep files without a listing, and leave out some that change results.
            Some(snapshot) if snapshot.is_listed || self.settings.offline => Ok(snapshot),
            Some(snapshot) => match self.fetch(repository, progress) {
                Err(error) if error.is_temporary() => Ok(snapshot),
                Err(HubError::NotBuilt { .. }) => Ok(snapshot),
                fetched => fetched,
            },
            None => self.fetch(repository, progress),
        }
    }

    /// Fetches what is missing of a repository, as it is now. Blocks, and must not be called on a
    /// thread of an async runtime.
    ///
    /// # Errors
    /// Files that cannot be fetched. Offline, files that are not there.
    pub fn fetch(
        &self,
        repository: &Repository,
        progress: &mut dyn FnMut(Event<'_>),
    ) -> Result<Snapshot, HubError> {
        if self.settings.offline {
            return self.cached(repository).ok_or_else(|| HubError::Offline {
                repository: repository.to_string(),
                cache: self.settings.cache.clone(),
            });
        }
        #[cfg(feature = "download")]
        return crate::client::fetch(self, repository, progress);
        #[cfg(not(feature = "download"))]
        {
            let _ = progress;
            Err(HubError::NotBuilt {
                repository: repository.to_string(),
                cache: self.settings.cache.clone(),
            })
        }
    }

    /// Returns the paths of those files of a snapshot without a listing that are known to be
    /// missing neither by the repository nor by this machine, of those that change results.
    pub fn unknown_files(&self, repository: &Repository, snapshot: &Snapshot) -> Vec<&'static str> {
        const CHANGE_RESULTS: [&str; 4] = [
            "modules.json",
            "config_sentence_transformers.json",
            "sentence_bert_config.json",
            "tokenizer_config.json",
        ];
        if snapshot.is_listed {
            return Vec::new();
        }
        let cached = self.repository(repository);
        let is_unknown = |path: &&str| {
            !snapshot.files.contains(*path) && !cached.is_known_absent(&snapshot.commit, path)
        };
        CHANGE_RESULTS.into_iter().filter(is_unknown).collect()
    }

    pub(crate) fn repository(&self, repository: &Repository) -> CachedRepository {
        CachedRepository::new(&self.settings.cache, repository)
    }
}

/// Returns the paths of the files of a plan that are not in the cache with the size that they
/// should have.
pub(crate) fn missing(
    cached: &CachedRepository,
    commit: &str,
    plan: &Plan,
    listing: &Listing,
) -> Vec<String> {
    let is_there = |path: &&String| {
        let file = std::fs::metadata(cached.snapshot(commit).join(path)).ok();
        let size = listing.get(path).map(|listed| listed.bytes());
        file.is_some_and(|file| file.is_file() && Some(file.len()) == size)
    };
    plan.files
        .iter()
        .filter(|path| !is_there(path))
        .cloned()
        .collect()
}

/// Returns whether there is what any model needs, where nothing says which files there should be.
fn has_a_model(plan: &Plan, read: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
    let mut indices = plan
        .files
        .iter()
        .filter(|path| path.ends_with(".safetensors.index.json"));
    let has_its_shards = |index: &String| {
        let folder = index.rfind('/').map_or("", |end| &index[..=end]);
        if plan.files.contains(&format!("{folder}model.safetensors")) {
            return true;
        }
        let value = read(index).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let value: serde_json::Value = value.unwrap_or_default();
        let shards = value["weight_map"].as_object();
        shards.is_some_and(|shards| {
            let mut shards = shards.values().filter_map(|shard| shard.as_str());
            shards.all(|shard| plan.files.contains(&format!("{folder}{shard}")))
        })
    };
    let has_settings = ["config.json", "modules.json"];
    has_settings
        .into_iter()
        .any(|path| plan.files.contains(path))
        && plan.files.iter().any(|path| path.ends_with(".safetensors"))
        && indices.all(has_its_shards)
}

/// Returns the paths of the files in a folder that a model is made of, as those of a repository
/// are chosen.
pub fn model_files(folder: &Path) -> BTreeSet<String> {
    plan(&paths_in(folder), |path| read_in(folder, path)).files
}

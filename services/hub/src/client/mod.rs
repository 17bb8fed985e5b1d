//! Requests to a hub.
//!
//! * `address`: addresses of a hub, and those that it redirects to.
//! * `connect`: connections, also through a proxy.
//! * `send`: one request with its redirects; `status`: answers that are none.
//! * `tries`: when a request is made again.
//! * `list`: the commit of a revision, and its files; `download`: one file.

mod address;
mod connect;
mod download;
mod list;
mod send;
mod status;
mod tries;

use tokio::runtime::Builder;

use crate::cache::CachedRepository;
use crate::error::HubError;
use crate::hub::{Hub, Snapshot, missing};
use crate::listing::Listing;
use crate::name::Repository;
use crate::plan::plan;
use crate::progress::Event;
use crate::settings::Settings;

use send::Client;

/// A fetch of one repository: the client, the cache, and who is told of progress.
pub(crate) struct Fetch<'f> {
    client: Client,
    settings: &'f Settings,
    repository: &'f Repository,
    cached: CachedRepository,
    progress: &'f mut dyn FnMut(Event<'_>),
}

/// Fetches what is missing of a repository.
pub(crate) fn fetch(
    hub: &Hub,
    repository: &Repository,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<Snapshot, HubError> {
    let cached = hub.repository(repository);
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| HubError::of_io(repository, &hub.settings.cache, 0, e))?;
    let fetch = Fetch {
        client: Client::new(&hub.settings, repository)?,
        settings: &hub.settings,
        repository,
        cached,
        progress,
    };
    let fetched = runtime.block_on(fetch.all());
    // A lookup of a name that never ends would be waited for.
    runtime.shutdown_background();
    fetched
}

impl Fetch<'_> {
    async fn all(mut self) -> Result<Snapshot, HubError> {
        let commit = self.commit().await?;
        let listing = match self.cached.listing(&commit) {
            Some(listing) => listing,
            None => {
                let listing = self.listing(&commit).await?;
                let kept = self.cached.keep_listing(&commit, &listing);
                kept.map_err(|e| self.cache_error(e, 0))?;
                listing
            }
        };
        let files = self.files(&commit, &listing).await?;
        // Last, so that a branch names a commit whose files are there.
        let kept = self.cached.keep_commit(self.repository, &commit);
        kept.map_err(|e| self.cache_error(e, 0))?;
        (self.progress)(Event::Ends {
            repository: &self.repository.to_string(),
            commit: &commit,
        });
        Ok(Snapshot {
            folder: self.cached.snapshot(&commit),
            commit,
            is_listed: true,
            files,
        })
    }

    /// Fetches files until all that those say belong to the model are there. Returns their paths.
    async fn files(
        &mut self,
        commit: &str,
        listing: &Listing,
    ) -> Result<std::collections::BTreeSet<String>, HubError> {
        let paths = listing.paths();
        loop {
            let plan = plan(&paths, |path| self.cached.read(commit, path));
            let others = plan.only_other_weights(&paths);
            if !others.is_empty() {
                return Err(HubError::NoWeights {
                    repository: self.repository.to_string(),
                    files: others,
                });
            }
            let missing = missing(&self.cached, commit, &plan, listing);
            if missing.is_empty() {
                // A file that says more can be read by now.
                return Ok(plan.files);
            }
            let mut files: Vec<_> = missing
                .iter()
                .filter_map(|path| Some((path.as_str(), listing.get(path)?)))
                .collect();
            // Small ones first: a fault in them is found before the large ones are fetched.
            files.sort_by_key(|(_, file)| file.bytes());
            let bytes = files.iter().map(|(_, file)| file.bytes()).sum();
            self.check_room(&files)?;
            (self.progress)(Event::Begins {
                repository: &self.repository.to_string(),
                commit,
                files: files.len(),
                bytes,
            });
            for (path, file) in files {
                self.file(commit, path, file).await?;
            }
        }
    }

    fn cache_error(&self, error: std::io::Error, needed: u64) -> HubError {
        HubError::of_io(self.repository, &self.settings.cache, needed, error)
    }
}

//! Files of models, fetched from a hub.
//!
//! * `progress`: [`Progress`], what those who wait are shown.

mod progress;

use std::collections::BTreeSet;

use anyhow::anyhow;
use motet_hub::{Event, Hub, HubError, Repository, Snapshot};
use motet_service::spec::ModelSpec;
use motet_service::{HubSources, UsedRepository};
use tokio::sync::oneshot;

use crate::configuration::{Configuration, ResolvedModels};

pub(crate) use progress::{Out, Progress};

/// Repositories that were fetched for a configuration.
pub(crate) struct Fetched {
    hub: Hub,
    out: Out,
    /// Those that were fetched, or that cannot be had in a better way.
    done: BTreeSet<Repository>,
}

impl Fetched {
    pub(crate) fn new(sources: &HubSources, out: Out) -> Self {
        Self {
            hub: sources.hub.clone(),
            out,
            done: BTreeSet::new(),
        }
    }

    /// Fetches those of the repositories that are not on this machine, or of which it is not known
    /// whether they are there as a whole. Returns whether there were any: what names them may name
    /// more once they are there.
    ///
    /// # Errors
    /// The first that cannot be fetched.
    pub(crate) async fn have(&mut self, repositories: &[UsedRepository]) -> anyhow::Result<bool> {
        let is_whole = |used: &UsedRepository| {
            let snapshot = used.snapshot.as_ref();
            snapshot.is_some_and(|snapshot| snapshot.is_listed)
        };
        let mut fetched = false;
        for used in repositories.iter().filter(|used| !is_whole(used)) {
            if !self.done.insert(used.repository.clone()) {
                continue;
            }
            fetched = true;
            let repository = used.repository.clone();
            let snapshot = in_background(&self.hub, &repository, self.out, Hub::have).await?;
            let unknown = self.hub.unknown_files(&repository, &snapshot);
            if !unknown.is_empty() {
                self.out.warn(&format!(
                    "hf:{repository}: another program has put it into the cache, and nothing says \
                     whether the repository has {}: motet goes on as if it had not; \
                     `motet pull hf:{repository}` asks the hub",
                    unknown.join(", ")
                ));
            }
        }
        Ok(fetched)
    }
}

/// Resolves the models that `wanted` selects, and fetches what they need.
///
/// # Errors
/// A repository that cannot be fetched. Mistakes of the configuration are added to its diagnostics.
pub(crate) async fn resolve(
    configuration: &mut Configuration,
    hub: &HubSources,
    out: Out,
    wanted: impl Fn(&ModelSpec) -> bool,
) -> anyhow::Result<ResolvedModels> {
    let mut fetched = Fetched::new(hub, out);
    loop {
        let found = configuration.diagnostics.clone();
        let resolved = configuration.resolve_models(hub, &wanted);
        if !fetched.have(&resolved.repositories).await? {
            return Ok(resolved);
        }
        // The same mistakes will be found again.
        configuration.diagnostics = found;
    }
}

/// A way to have a repository.
type Have = fn(&Hub, &Repository, &mut dyn FnMut(Event<'_>)) -> Result<Snapshot, HubError>;

/// Has a repository, on a thread of its own that ends with the process: a signal need not wait for
/// it.
///
/// # Errors
/// A repository that cannot be had.
async fn in_background(
    hub: &Hub,
    repository: &Repository,
    out: Out,
    have: Have,
) -> anyhow::Result<Snapshot> {
    let (hub, repository) = (hub.clone(), repository.clone());
    let fetch = move || {
        let mut progress = Progress::new(out);
        let result = have(&hub, &repository, &mut |event| progress.show(event));
        progress.end();
        result
    };
    Ok(on_thread("fetch", fetch).await??)
}

/// Runs something that blocks on a thread of its own, which does not hold up the end of the process
/// as one of the runtime's would.
///
/// # Errors
/// A system that gives no thread, and a panic.
pub(crate) async fn on_thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // Nobody waits any longer once a signal has come.
        let _ = sender.send(run());
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)?;
    receiver
        .await
        .map_err(|_| anyhow!("the thread `{name}` crashed"))
}

/// Fetches a repository as it is now, with its progress on standard error. Blocks.
///
/// # Errors
/// A repository that cannot be fetched.
pub(crate) fn fetch_now(hub: &Hub, repository: &Repository) -> Result<Snapshot, HubError> {
    let mut progress = Progress::new(Out::of_command());
    let result = hub.fetch(repository, &mut |event| progress.show(event));
    progress.end();
    result
}

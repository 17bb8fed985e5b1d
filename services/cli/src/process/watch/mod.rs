//! `--watch`: the files of a process, which may change while it serves.
//!
//! * `reload`: from changed files to what is served, all of it or nothing.

mod reload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use motet_config::Fingerprint;
use motet_runtime::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::fetch::on_thread;

pub(super) use reload::Reloader;

/// Pause between two looks at the files. A change is taken once two looks have seen the same, so
/// that files which are being written are not read.
const PAUSE: Duration = Duration::from_millis(500);

/// The versions of all files, by path.
type Versions = BTreeMap<PathBuf, Fingerprint>;

/// Follows the files until `shutdown`.
pub(super) async fn follow(mut reloader: Reloader, metrics: Metrics, shutdown: CancellationToken) {
    let mut paths = reloader.paths();
    // They may have changed since they were read: the first look is a change.
    let (mut taken, mut seen) = (Versions::new(), Versions::new());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let looked_at = paths.clone();
        let Ok(now) = on_thread("watch", move || look(&looked_at)).await else {
            continue;
        };
        if now == taken || now != seen {
            seen = now;
            continue;
        }
        let is_first = taken.is_empty();
        taken = now;
        let runtime = tokio::runtime::Handle::current();
        // Files are read and vocabularies are built, which takes too long for a worker.
        let reload = move || {
            let result = runtime.block_on(reloader.reload());
            (reloader, result)
        };
        let Ok((again, result)) = on_thread("reload", reload).await else {
            tracing::error!("files are no longer watched: reading them has crashed");
            return;
        };
        reloader = again;
        match result {
            Ok(true) => {
                tracing::info!("took a change of the files");
                metrics.reloaded(true);
            }
            // Nothing that matters has changed, such as a comment.
            Ok(false) if is_first => {}
            Ok(false) => tracing::debug!("the files mean what they meant before"),
            Err(error) => {
                tracing::error!("a change of the files is refused, nothing has changed: {error}");
                metrics.reloaded(false);
            }
        }
        paths = reloader.paths();
        // Files that are watched from now on are as they were read, or change again.
        let added = paths.iter().filter(|path| !taken.contains_key(*path));
        let added: BTreeSet<PathBuf> = added.cloned().collect();
        taken.extend(look(&added));
        taken.retain(|path, _| paths.contains(path));
    }
}

fn look(paths: &BTreeSet<PathBuf>) -> Versions {
    let version = |path: &PathBuf| (path.clone(), Fingerprint::of(path));
    paths.iter().map(version).collect()
}

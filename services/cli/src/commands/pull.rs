//! `motet pull`: files of models, fetched from a hub.

use std::path::Path;

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use motet_hub::{DigestCache, Hub, Repository, Snapshot};
use motet_service::Tasks;

use super::runtime;
use crate::args::PullArgs;
use crate::configuration::Configuration;
use crate::fetch::{self, Out, fetch_now};
use crate::lock::{Lock, LockedSource};
use crate::output;

pub(super) fn run(args: PullArgs, tasks: &Tasks) -> anyhow::Result<()> {
    let usage = |text: &str| Err(clap::Error::raw(ErrorKind::ArgumentConflict, text).into());
    let PullArgs {
        repositories,
        to,
        files,
    } = args;
    match (&repositories[..], &to) {
        ([], _) if files.file.is_none() => usage(
            "name what to fetch, such as hf:intfloat/e5-small-v2, or a configuration with --file\n",
        ),
        ([], _) => of_configuration(Configuration::read(&files.files(), tasks)?),
        ([_, _, ..], Some(_)) => usage("--to takes the files of one source: name one\n"),
        _ => {
            let hub = Hub::from_env();
            for repository in &repositories {
                let snapshot = fetch_now(&hub, repository)?;
                let folder = match &to {
                    Some(folder) => {
                        copy(repository, &snapshot, folder)?;
                        folder
                    }
                    None => &snapshot.folder,
                };
                print(&repository.to_string(), &snapshot, folder)?;
            }
            Ok(())
        }
    }
}

/// Fetches what the models of a configuration need, at the commits of its lock file.
fn of_configuration(mut configuration: Configuration) -> anyhow::Result<()> {
    let hub = configuration.hub();
    let is_local = |model: &motet_service::spec::ModelSpec| model.is_local();
    let resolve = fetch::resolve(&mut configuration, &hub, Out::of_command(), is_local);
    let resolved = runtime()?.block_on(resolve)?;
    for used in &resolved.repositories {
        match &used.snapshot {
            Some(snapshot) => print(&used.written, snapshot, &snapshot.folder)?,
            None => bail!("hf:{} is not there", used.written),
        }
    }
    configuration.ok()?;
    Ok(())
}

/// Makes a plain folder of the files, with a lock file that says what they are.
fn copy(repository: &Repository, snapshot: &Snapshot, folder: &Path) -> anyhow::Result<()> {
    motet_hub::copy(snapshot, folder)
        .map_err(|(path, cause)| anyhow::Error::new(cause).context(path.display().to_string()))?;
    let mut digests = DigestCache::of_user();
    let source = LockedSource::of(folder, Some(snapshot.commit.clone()), &mut digests)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut lock = Lock::default();
    lock.sources.insert(format!("hf:{repository}"), source);
    lock.write(&folder.join("motet.lock"))
}

/// Prints the source, the commit and the folder, for people and for scripts.
fn print(source: &str, snapshot: &Snapshot, folder: &Path) -> anyhow::Result<()> {
    let commit = &snapshot.commit;
    output::print(&format!("hf:{source} {commit} {}\n", folder.display()))
}

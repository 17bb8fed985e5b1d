//! From changed files to what is served: everything is read, checked and loaded first, then swapped
//! in one step; or nothing changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use motet_gateway::serve::{ModelChange, Update, WeakGateway};
use motet_service::Repository;

use crate::configuration::{Configuration, Files};
use crate::placement::{Flags, Placement};
use crate::process::Role;
use crate::process::startup::Startup;
use crate::signatures::Signatures;

/// Takes changes of the files of a process.
pub(in crate::process) struct Reloader {
    pub(in crate::process) files: Files,
    pub(in crate::process) role: Role,
    pub(in crate::process) flags: Flags,
    pub(in crate::process) locked: bool,
    pub(in crate::process) models: Repository,
    pub(in crate::process) gateway: Option<WeakGateway>,
    /// The configuration that is served.
    pub(in crate::process) configuration: Configuration,
    pub(in crate::process) placement: Placement,
    /// Signatures of the models and services of other processes.
    pub(in crate::process) signatures: Signatures,
    /// Folders of the models.
    pub(in crate::process) folders: BTreeSet<PathBuf>,
    /// Files of the last change, where it was refused.
    pub(in crate::process) refused: BTreeSet<PathBuf>,
}

impl Reloader {
    /// Returns the files and folders that what is served depends on.
    pub(super) fn paths(&self) -> BTreeSet<PathBuf> {
        let files = [&self.files.file, &self.files.models];
        let lock = self.configuration.lock_path();
        let mut paths: BTreeSet<PathBuf> = files.into_iter().flatten().cloned().collect();
        paths.extend(self.configuration.paths());
        paths.extend(lock);
        paths.extend(self.folders.iter().cloned());
        paths.extend(self.refused.iter().cloned());
        paths
    }

    /// Reads the files and serves what they say. Returns whether that is something else than
    /// before. What is wrong stays beside the models and pipelines in lists until it is mended.
    ///
    /// # Errors
    /// Everything that is wrong with them; nothing has changed then.
    pub(super) async fn reload(&mut self) -> anyhow::Result<bool> {
        let result = self.try_reload().await;
        let note = result.as_ref().err().map(|error| {
            let text = format!("{error:#}");
            format!(
                "the files have changed since, and were refused: {}",
                text.trim()
            )
        });
        self.models.set_note(note.clone());
        if let Some(gateway) = self.gateway.as_ref().and_then(WeakGateway::upgrade) {
            gateway.set_note(note);
        }
        result
    }

    async fn try_reload(&mut self) -> anyhow::Result<bool> {
        let configuration = Configuration::read(&self.files, &self.configuration.tasks)?;
        let configuration = configuration.with_tokenizers_of(&self.configuration);
        self.refused = configuration.paths().collect();
        let mut startup = Startup::new(configuration, self.role.clone());
        let placement = startup.place(&self.flags).await?;
        self.refuse_restart(&startup.configuration, &placement)?;
        let resolved = startup.fetch(&placement, &self.flags, self.locked).await?;
        self.refused.extend(startup.folders());
        startup.use_remote(&self.signatures);
        let pipelines = startup.check()?;
        let names = |configuration: &Configuration| -> BTreeSet<String> {
            let pipelines = configuration.pipelines.iter();
            pipelines.map(|p| p.name.value.clone()).collect()
        };
        let before = names(&self.configuration);
        let mut batch = self.models.prepare(resolved).await?;
        let mut is_changed = !batch.loaded().is_empty() || !batch.removed().is_empty();
        match self.gateway.as_ref().and_then(WeakGateway::upgrade) {
            None => batch.put(),
            Some(gateway) => {
                let loaded = batch.loaded().to_vec();
                let put = loaded
                    .iter()
                    .map(|model| ModelChange::Put(model.name(), model.signature().clone()));
                let update = Update {
                    models: put.collect(),
                    replaced: before,
                    pipelines,
                };
                let update = gateway.update(update, || batch.put());
                is_changed |= update.map_err(|error| anyhow!("{error}"))?;
            }
        }
        // Requests in flight may call the models that go.
        tokio::spawn(batch.remove());
        self.folders = startup.folders();
        self.configuration = startup.configuration;
        self.refused.clear();
        Ok(is_changed)
    }

    /// Refuses what a process takes at its start alone.
    fn refuse_restart(&self, after: &Configuration, placement: &Placement) -> anyhow::Result<()> {
        let before = &self.configuration;
        let is_same = after.server_text() == before.server_text()
            || after.config.server == before.config.server;
        if !is_same {
            bail!("`server` has changed, which takes a restart");
        }
        let texts = |configuration: &Configuration| -> Vec<String> {
            let streams = configuration.config.streams.iter();
            streams
                .map(|stream| configuration.text_of(stream.at).to_owned())
                .collect()
        };
        if texts(before) != texts(after) {
            bail!("`streams` have changed, which takes a restart");
        }
        if !self.placement.is_remote_like(placement) {
            bail!("an address of a model or an endpoint has changed, which takes a restart");
        }
        Ok(())
    }
}

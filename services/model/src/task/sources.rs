//! Files and tokenizers of models' sources: the one place where it is decided what a source means.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use motet_config::{Fingerprint, Sources, Spanned};
use motet_hub::NameError;
use motet_models::{
    AdapterSource, Modality, ModelFiles, Source, SourceError, Tokenizer, TokenizerCache,
};

use super::{ModelFolder, Problem};
use crate::hub_sources::{HubSources, UsedRepository};

/// Key of the adapter of a text model.
const ADAPTER: &str = "adapter";

/// The files of a text model, and its tokenizer.
pub(crate) type OpenedText = (ModelFiles, Arc<Tokenizer>);

/// Opens sources, each once.
#[derive(Debug)]
pub(crate) struct OpenedSources<'a> {
    sources: &'a Sources,
    hub: HubSources,
    tokenizers: TokenizerCache,
    texts: RefCell<HashMap<(Source, Option<AdapterSource>), OpenedText>>,
    repositories: RefCell<BTreeMap<String, UsedRepository>>,
    folders: RefCell<BTreeMap<String, (PathBuf, Fingerprint)>>,
    /// The sources that were asked for since they were last taken.
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> OpenedSources<'a> {
    /// `sources` are the configuration's files, where relative paths start.
    pub(crate) fn new(sources: &'a Sources, hub: HubSources, tokenizers: TokenizerCache) -> Self {
        Self {
            sources,
            hub,
            tokenizers,
            texts: RefCell::default(),
            repositories: RefCell::default(),
            folders: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// Returns the repositories that were asked for so far.
    pub(crate) fn repositories(&self) -> Vec<UsedRepository> {
        self.repositories.borrow().values().cloned().collect()
    }

    /// Returns the folders of the sources that were asked for so far, by these as they are written.
    pub(crate) fn folders(&self) -> BTreeMap<String, PathBuf> {
        let folders = self.folders.borrow();
        let folders = folders.iter();
        folders
            .map(|(written, (path, _))| (written.clone(), path.clone()))
            .collect()
    }

    /// Returns the folders of the sources that were asked for since the last call of this, each as
    /// it was before anything in it was read.
    pub(crate) fn take_asked(&self) -> Vec<(PathBuf, Fingerprint)> {
        let folders = self.folders.borrow();
        let asked = self.asked.take().into_iter();
        asked
            .filter_map(|written| folders.get(&written).cloned())
            .collect()
    }

    /// Opens the source that `key` of `model` names as that of a text model, with the changes of an
    /// adapter.
    ///
    /// # Errors
    /// One problem, at `key` or at `adapter`.
    pub(super) fn text(
        &self,
        model: &str,
        key: &'static str,
        written: &Spanned<String>,
        adapter: Option<&Spanned<String>>,
    ) -> Result<OpenedText, Problem> {
        let failed = |message: String| Problem::new(model, key, written.span, message);
        // Both are asked for before one of them is missing: then both are fetched.
        let source = self.resolve(model, key, written);
        let adapter = adapter.map(|written| Ok((self.adapter(model, written)?, written.span)));
        let (source, adapter) = (source?, adapter.transpose()?);
        let opened = (source, adapter.as_ref().map(|(adapter, _)| adapter.clone()));
        if let Some(opened) = self.texts.borrow().get(&opened) {
            return Ok(opened.clone());
        }
        let mut files = ModelFiles::open(&opened.0).map_err(|e| failed(e.to_string()))?;
        let tokenizer = self.tokenizers.get(&files);
        if let Some((adapter, span)) = &adapter {
            let adapted = files.with_adapter(adapter);
            files = adapted.map_err(|e| Problem::new(model, ADAPTER, *span, e.to_string()))?;
        }
        let text = (files, tokenizer.map_err(|e| failed(e.to_string()))?);
        self.texts.borrow_mut().insert(opened, text.clone());
        Ok(text)
    }

    /// Returns what the key `adapter` of `model` names: a name alone is one of the model's own.
    ///
    /// # Errors
    /// One problem, at `adapter`.
    fn adapter(&self, model: &str, written: &Spanned<String>) -> Result<AdapterSource, Problem> {
        if !written.value.contains(':') {
            return Ok(AdapterSource::Named(written.value.clone()));
        }
        match self.resolve(model, ADAPTER, written)? {
            Source::Builtin(_) => {
                let message = "no adapter is built in; write file:PATH of a folder, hf:ORG/NAME, \
                               or the name of one that comes with the model";
                Err(Problem::new(model, ADAPTER, written.span, message))
            }
            source => Ok(AdapterSource::Folder(source)),
        }
    }

    /// Opens the source that `key` of `model` names as that of a model of images.
    ///
    /// # Errors
    /// One problem, at `key`.
    pub(super) fn images(
        &self,
        model: &str,
        key: &'static str,
        written: &Spanned<String>,
    ) -> Result<ModelFiles, Problem> {
        let source = self.resolve(model, key, written)?;
        let files = ModelFiles::open_for(&source, Modality::Images);
        files.map_err(|error| Problem::new(model, key, written.span, error.to_string()))
    }

    /// Returns the folder that `key` of `model` names.
    ///
    /// # Errors
    /// One problem, at `key`.
    pub(super) fn folder(
        &self,
        model: &str,
        key: &'static str,
        written: &Spanned<String>,
    ) -> Result<ModelFolder, Problem> {
        let failed = |message: String| Problem::new(model, key, written.span, message);
        let source = self.resolve(model, key, written)?;
        match source.directory() {
            Some(path) => ModelFolder::open(path).map_err(|e| failed(e.to_string())),
            None => Err(failed(format!(
                "{source} is a model for texts; write file:PATH of a folder, or hf:ORG/NAME"
            ))),
        }
    }

    fn resolve(
        &self,
        model: &str,
        key: &'static str,
        written: &Spanned<String>,
    ) -> Result<Source, Problem> {
        let failed = |message: String| Problem::new(model, key, written.span, message);
        let folder = self.sources.file(written.span.file).folder();
        let source: Result<Source, SourceError> = written.value.parse();
        let source = match source.map_err(|e| failed(e.to_string()))? {
            Source::Hub { name, .. } => {
                let used = self.repository(&name).map_err(|e| failed(e.to_string()))?;
                let Some(snapshot) = used.snapshot else {
                    let message = format!("hf:{name} is not on this machine");
                    let help = format!("`motet pull hf:{name}` fetches it; `motet up` does, too");
                    return Err(failed(message).help(help).absent());
                };
                let directory = Some(snapshot.folder);
                Source::Hub { name, directory }
            }
            source => source.resolve(folder),
        };
        if let Some(directory) = source.directory() {
            let mut folders = self.folders.borrow_mut();
            let now = || (directory.to_owned(), Fingerprint::of(directory));
            folders.entry(written.value.clone()).or_insert_with(now);
            self.asked.borrow_mut().insert(written.value.clone());
        }
        Ok(source)
    }

    /// Looks for a repository in the cache, once.
    fn repository(&self, written: &str) -> Result<UsedRepository, NameError> {
        if let Some(used) = self.repositories.borrow().get(written) {
            return Ok(used.clone());
        }
        let repository = self.hub.repository(written)?;
        let used = UsedRepository {
            written: written.to_owned(),
            snapshot: self.hub.hub.cached(&repository),
            repository,
        };
        let mut repositories = self.repositories.borrow_mut();
        repositories.insert(written.to_owned(), used.clone());
        Ok(used)
    }
}

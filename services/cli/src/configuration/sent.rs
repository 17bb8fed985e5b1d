//! Models of a text that is sent to a process, beside those of its own configuration.

use std::path::{Path, PathBuf};

use motet_config::Diagnostics;
use motet_service::spec;

use super::{Configuration, Files, is_stdin};

impl Configuration {
    /// Returns the files that the configuration was read from; `None` if they cannot be read again.
    pub(crate) fn files_on_disk(&self) -> Option<Files> {
        let files = self.files.clone()?;
        let is_on_disk = |file: &Option<PathBuf>| !file.as_deref().is_some_and(is_stdin);
        (is_on_disk(&files.file) && is_on_disk(&files.models)).then_some(files)
    }

    /// Returns the configuration with the tokenizers of another one, which are read once.
    #[must_use]
    pub(crate) fn with_tokenizers_of(self, other: &Self) -> Self {
        Self {
            tokenizers: other.tokenizers.clone(),
            ..self
        }
    }

    /// Returns what is written under `server`.
    pub(crate) fn server_text(&self) -> Option<&str> {
        let entry = self.config.server_entry.as_ref()?;
        Some(self.sources.snippet(entry.node.span))
    }

    /// Returns the text of a part of a file.
    pub(crate) fn text_of(&self, span: motet_config::Span) -> &str {
        self.sources.snippet(span)
    }

    /// Returns the paths of the files that it was read from.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.sources.files().map(|file| Path::new(file.name()));
        files.filter(|path| path.is_file()).map(Path::to_owned)
    }

    /// Returns the configuration with the models of a text, which take the place of those of the
    /// same names. Messages call the text `name`. Relative paths in it start where those of the
    /// configuration's own models do, or would if the file had any. Only the text's mistakes are in
    /// `diagnostics` then. Returns the number of the text's models, too, which come first.
    pub(crate) fn with_sent_models(mut self, name: &str, text: &str) -> (Self, usize) {
        self.diagnostics = Diagnostics::new();
        // The built-in models are in no file.
        let own = self.files.as_ref().and_then(|files| files.file.as_deref());
        let file = self.models_file.as_deref().or(own);
        let folder = file.filter(|file| !is_stdin(file)).and_then(Path::parent);
        let folder = folder.map(Path::to_owned).unwrap_or_default();
        let (sources, diagnostics) = (&mut self.sources, &mut self.diagnostics);
        let mut models = spec::read_text_in(&folder, name, text, &self.tasks, sources, diagnostics);
        let sent = models.len();
        let own = std::mem::take(&mut self.config.models);
        for model in own {
            if models
                .iter()
                .all(|sent| sent.name.value != model.name.value)
            {
                models.push(model);
            }
        }
        self.config.models = models;
        (self, sent)
    }
}

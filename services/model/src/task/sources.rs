//! Files and tokenizers of models' sources.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use motet_config::{Sources, Spanned};
use motet_models::{ModelFiles, Source, SourceError, Tokenizer};

use super::{ModelFolder, Problem};

/// The files of a text model, and its tokenizer.
pub(crate) type OpenedText = (ModelFiles, Arc<Tokenizer>);

/// Opens sources, each once.
#[derive(Debug)]
pub(crate) struct OpenedSources<'a> {
    sources: &'a Sources,
    texts: RefCell<HashMap<Source, OpenedText>>,
}

impl<'a> OpenedSources<'a> {
    /// `sources` are the configuration's files, where relative paths start.
    pub(crate) fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            texts: RefCell::default(),
        }
    }

    /// Opens the source that `key` of `model` names as that of a text model.
    ///
    /// # Errors
    /// One problem, at `key`.
    pub(super) fn text(
        &self,
        model: &str,
        key: &'static str,
        written: &Spanned<String>,
    ) -> Result<OpenedText, Problem> {
        let failed = |message: String| Problem::new(model, key, written.span, message);
        let source = self.resolve(model, key, written)?;
        if let Some(opened) = self.texts.borrow().get(&source) {
            return Ok(opened.clone());
        }
        let files = ModelFiles::open(&source).map_err(|e| failed(e.to_string()))?;
        let tokenizer = Tokenizer::load(&files).map_err(|e| failed(e.to_string()))?;
        let opened = (files, Arc::new(tokenizer));
        self.texts.borrow_mut().insert(source, opened.clone());
        Ok(opened)
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
        match self.resolve(model, key, written)? {
            Source::File(path) => ModelFolder::open(path).map_err(|e| failed(e.to_string())),
            source @ Source::Builtin(_) => Err(failed(format!(
                "{source} is a model for texts; write file:PATH of a folder"
            ))),
        }
    }

    fn resolve(
        &self,
        model: &str,
        key: &'static str,
        written: &Spanned<String>,
    ) -> Result<Source, Problem> {
        let folder = self.sources.file(written.span.file).folder();
        let source: Result<Source, SourceError> = written.value.parse();
        let source = source.map_err(|e| Problem::new(model, key, written.span, e.to_string()))?;
        Ok(source.resolve(folder))
    }
}

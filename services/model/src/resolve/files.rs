//! Files and tokenizers of models' sources.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use motet_config::{Sources, Spanned};
use motet_models::{ModelFiles, Source, SourceError, Tokenizer};

use super::Problem;
use crate::spec::ModelSpec;

/// The files of a source, and its tokenizer.
pub(super) type Opened = (ModelFiles, Arc<Tokenizer>);

/// Opens sources, each once.
#[derive(Debug)]
pub(super) struct OpenedFiles<'a> {
    sources: &'a Sources,
    opened: RefCell<HashMap<Source, Opened>>,
}

impl<'a> OpenedFiles<'a> {
    /// `sources` are the configuration's files, where relative paths start.
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self {
            sources,
            opened: RefCell::default(),
        }
    }

    /// Opens the source that `key` of a model names.
    ///
    /// # Errors
    /// One problem, at `key`.
    pub(super) fn open(
        &self,
        spec: &ModelSpec,
        key: &'static str,
        source: &Spanned<String>,
    ) -> Result<Opened, Problem> {
        let failed = |message: String| Problem::new(spec, key, source.span, message);
        let folder = self.sources.file(source.span.file).folder();
        let source: Result<Source, SourceError> = source.value.parse();
        let source = source.map_err(|e| failed(e.to_string()))?.resolve(folder);
        if let Some(opened) = self.opened.borrow().get(&source) {
            return Ok(opened.clone());
        }
        let files = ModelFiles::open(&source).map_err(|e| failed(e.to_string()))?;
        let tokenizer = Tokenizer::load(&files).map_err(|e| failed(e.to_string()))?;
        let opened = (files, Arc::new(tokenizer));
        self.opened.borrow_mut().insert(source, opened.clone());
        Ok(opened)
    }
}

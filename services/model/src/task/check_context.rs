//! [`CheckContext`]: what a task gets to check a configuration.

use std::any::Any;
use std::sync::Arc;

use motet_config::{Span, Spanned};
use motet_models::{DeviceSpec, ModelFiles, Precision};

use super::sources::{OpenedSources, OpenedText};
use super::{ModelFolder, Problem, TaskKind};

/// The keys of a model that were read into a task's own struct; its type is forgotten.
pub(crate) type ReadKeys = Arc<dyn Any + Send + Sync>;

/// A model of a configuration, as far as other models may know it.
#[derive(Clone, Copy, Debug)]
pub struct OtherModel<'a> {
    /// Its name.
    pub name: &'a Spanned<String>,
    /// Its source.
    pub source: Option<&'a Spanned<String>>,
    /// The tasks that it has.
    pub tasks: &'a [Spanned<TaskKind>],
    pub(crate) keys: Option<&'a ReadKeys>,
}

impl<'a> OtherModel<'a> {
    /// Returns the keys of its task's own, if they are of this type.
    pub fn config<T: 'static>(&self) -> Option<&'a T> {
        self.keys?.downcast_ref()
    }
}

/// A model of a configuration that is checked.
#[derive(Debug)]
pub struct CheckContext<'a> {
    pub(crate) model: OtherModel<'a>,
    pub(crate) models: &'a [OtherModel<'a>],
    pub(crate) sources: &'a OpenedSources<'a>,
    pub(crate) device: DeviceSpec,
    pub(crate) precision: Precision,
}

impl<'a> CheckContext<'a> {
    /// Returns the name of the model.
    pub fn name(&self) -> &'a str {
        &self.model.name.value
    }

    /// Returns where the name of the model is written.
    pub fn name_span(&self) -> Span {
        self.model.name.span
    }

    /// Returns the tasks of the model: more than one only for a task with a
    /// [group](super::Task::GROUP).
    pub fn tasks(&self) -> &'a [Spanned<TaskKind>] {
        self.model.tasks
    }

    /// Returns the source of the model.
    pub fn source(&self) -> Option<&'a Spanned<String>> {
        self.model.source
    }

    /// Returns the device that the configuration names.
    pub fn device(&self) -> DeviceSpec {
        self.device
    }

    /// Returns the number format that the configuration names.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Returns all models of the configuration, this one among them.
    pub fn models(&self) -> &'a [OtherModel<'a>] {
        self.models
    }

    /// Returns the folder that `source` names.
    ///
    /// # Errors
    /// The problem of a source that is missing, is no folder, or cannot be read.
    pub fn folder(&self) -> Result<ModelFolder, Problem> {
        let Some(source) = self.source() else {
            let message = format!("model `{}` needs `source`", self.name());
            return Err(self.problem("source", self.model.name.span, message));
        };
        self.sources.folder(self.name(), "source", source)
    }

    /// Opens a source, written at a key of the model, as that of a text model in the Hugging Face
    /// layout. Files that several models use are read once.
    ///
    /// # Errors
    /// The problem of a source that cannot be read, or is no text model.
    pub fn text_model(
        &self,
        key: &'static str,
        source: &Spanned<String>,
    ) -> Result<OpenedText, Problem> {
        self.sources.text(self.name(), key, source, None)
    }

    /// Does the same for `source`, with the changes of the adapter that is written at `adapter`.
    ///
    /// # Errors
    /// As [`text_model`](Self::text_model), and the problem of such an adapter.
    pub(crate) fn adapted_text_model(
        &self,
        source: &Spanned<String>,
        adapter: Option<&Spanned<String>>,
    ) -> Result<OpenedText, Problem> {
        self.sources.text(self.name(), "source", source, adapter)
    }

    /// Opens a source, written at a key of the model, as that of a model of images in the Hugging
    /// Face layout.
    ///
    /// # Errors
    /// The problem of a source that cannot be read, or is no model of images.
    pub(crate) fn image_model(
        &self,
        key: &'static str,
        source: &Spanned<String>,
    ) -> Result<ModelFiles, Problem> {
        self.sources.images(self.name(), key, source)
    }

    /// Returns a mistake in the source of the model.
    pub fn source_problem(&self, message: impl Into<String>) -> Problem {
        let source = self.source().map(|source| source.span);
        self.problem("source", source.unwrap_or(self.name_span()), message)
    }

    /// Returns a mistake in a key of the model.
    pub fn problem(&self, key: &'static str, span: Span, message: impl Into<String>) -> Problem {
        Problem::new(self.name(), key, span, message)
    }
}

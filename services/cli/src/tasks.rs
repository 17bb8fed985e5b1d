//! The tasks that models can have.

use motet_config::{Diagnostics, Entry, Sources};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::spec::{self, ModelSpec};
use motet_service::{LoadError, Loader, Resolver};
use serde_json::Value;

/// The tasks that the models of a configuration can have. Everything that depends on them, from
/// reading a configuration to loading its models, goes by here.
///
/// An [`App`](crate::App) owns one, and hands it on as a value; clones share what it holds.
#[derive(Debug, Clone, Default)]
pub struct Tasks {}

impl Tasks {
    /// Reads the key `models` of a configuration. Mistakes are added to `diagnostics`.
    pub(crate) fn read(&self, models: &Entry, diagnostics: &mut Diagnostics) -> Vec<ModelSpec> {
        spec::read(models, diagnostics)
    }

    /// Returns the JSON schema of the key `models`.
    pub(crate) fn schema(&self) -> Value {
        spec::schema()
    }

    /// Returns what resolves `models` against their files.
    pub(crate) fn resolver<'m>(
        &self,
        models: &'m [ModelSpec],
        sources: &'m Sources,
    ) -> Resolver<'m> {
        Resolver::new(models, sources)
    }

    /// Returns what loads resolved models.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn loader(&self, metrics: Metrics, health: Health) -> Result<Loader, LoadError> {
        Loader::new(metrics, health)
    }
}

//! Changes of several models at once, as of a configuration that has changed.

use std::fmt;

use super::turns::AllTurns;
use super::{Repository, end};
use crate::loader::LoadError;
use crate::model::Model;
use crate::registry::State;
use crate::resolve::ResolvedModel;

/// A change of several models: prepared while everything goes on, then made in one step.
///
/// Until it is dropped, nothing else changes the models.
pub struct Batch {
    repository: Repository,
    turn: AllTurns,
    /// Models that are loaded, and that no call finds yet.
    loaded: Vec<Model>,
    removed: Vec<String>,
    /// Names of the models of the configuration.
    configured: Vec<String>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("loaded", &self.loaded)
            .field("removed", &self.removed)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Prepares the change to these models, all that a configuration names: loads those that are
    /// new or others than before. Of the models that run, those go that only the configuration
    /// before has named.
    ///
    /// # Errors
    /// The error of the first that cannot be loaded; nothing has changed then.
    pub async fn prepare(&self, models: Vec<ResolvedModel>) -> Result<Batch, LoadError> {
        let turn = self.0.turns.of_all().await;
        let names = models.iter().map(|model| model.name().to_owned());
        let configured: Vec<String> = names.collect();
        let entries = self.0.models.entries();
        let before = entries.iter().filter(|entry| entry.is_configured);
        let before = before.map(|entry| entry.name.to_string());
        let mut batch = Batch {
            repository: self.clone(),
            turn,
            loaded: Vec::new(),
            removed: before.filter(|name| !configured.contains(name)).collect(),
            configured,
        };
        for model in models {
            let running = self.0.models.named(model.name());
            if running.is_some_and(|running| running.is_ready() && running.is_from(&model)) {
                continue;
            }
            tracing::info!(model = model.name(), "loading a model");
            batch.loaded.push(self.0.loader.load(model).await?);
        }
        Ok(batch)
    }
}

impl Batch {
    /// Returns the models that were loaded.
    pub fn loaded(&self) -> &[Model] {
        &self.loaded
    }

    /// Returns the names of the models that go.
    pub fn removed(&self) -> &[String] {
        &self.removed
    }

    /// Puts the models that were loaded into service. Those that they replace end in the
    /// background, once their calls in flight are answered.
    pub fn put(&mut self) {
        let models = &self.repository.0.models;
        for model in std::mem::take(&mut self.loaded) {
            let name = model.name().to_owned();
            let device = model.device().map(tracing::field::display);
            model.begin();
            let before = models.set(&name, State::Running(model), true);
            tracing::info!(model = name, device, "loaded a model");
            if let Some(State::Running(before)) = before {
                end(before, self.turn.shared());
            }
        }
    }

    /// Takes the models out of service that go, once their users can do without them. They end in
    /// the background.
    pub async fn remove(mut self) {
        for name in std::mem::take(&mut self.removed) {
            // A refusal is of a pipeline that was loaded meanwhile.
            if let Err(refusal) = self.repository.remove(&name, self.turn.shared()).await {
                tracing::warn!(model = name, "a model stays: {}", refusal.message());
            }
        }
        self.repository.0.models.set_configured(&self.configured);
    }
}

//! [`Models`]: the models of a process, replaced as a whole by each change.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use motet_config::list_of;
use motet_proto::oip::{VERSION, find_version, split_version};
use motet_runtime::status::{Reason, StatusBuilder};
use tonic::Status;

use crate::in_flight::CallGuard;
use crate::model::Model;

/// The models that a process knows, in the order in which they came. Clones share them.
///
/// A call takes the model of that moment and keeps it until it ends, whatever happens here.
#[derive(Clone, Debug, Default)]
pub struct Models(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: ArcSwap<Vec<Entry>>,
    /// Held while the entries are changed.
    change: Mutex<()>,
    /// Note on the models of the configuration for whoever lists them.
    note: ArcSwapOption<String>,
}

/// A model that a process knows.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its name in the configuration, with its version where it has one there.
    pub(crate) name: Arc<str>,
    pub(crate) state: State,
    /// `true` if the configuration of the process names it: it stays known once it is unloaded.
    pub(crate) is_configured: bool,
}

/// State of a model.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Running(Model),
    /// It is being loaded, and nothing runs meanwhile.
    Loading,
    /// It is not loaded.
    Absent {
        reason: Arc<str>,
    },
}

impl Entry {
    /// Returns the name and the version on the wire.
    pub(crate) fn on_the_wire(&self) -> (&str, &str) {
        let (name, version) = split_version(&self.name);
        (name, version.unwrap_or(VERSION))
    }

    fn running(&self) -> Option<&Model> {
        match &self.state {
            State::Running(model) => Some(model),
            State::Loading | State::Absent { .. } => None,
        }
    }
}

impl Models {
    /// Returns the models of a configuration, which run.
    pub(crate) fn of_running(models: Vec<Model>) -> Self {
        let entry = |model: Model| Entry {
            name: model.name().into(),
            state: State::Running(model),
            is_configured: true,
        };
        let entries = models.into_iter().map(entry).collect();
        Self(Arc::new(Inner {
            entries: ArcSwap::from_pointee(entries),
            ..Inner::default()
        }))
    }

    /// Returns all models.
    pub(crate) fn entries(&self) -> Arc<Vec<Entry>> {
        self.0.entries.load_full()
    }

    /// Sets what is to be known of the models of the configuration, beside their states.
    pub(crate) fn set_note(&self, note: Option<String>) {
        self.0.note.store(note.map(Arc::new));
    }

    /// Returns what is to be known of a model that runs.
    pub(crate) fn note_of(&self, entry: &Entry) -> Option<Arc<String>> {
        self.0.note.load_full().filter(|_| entry.is_configured)
    }

    /// Returns the models that run.
    pub fn running(&self) -> Vec<Model> {
        let entries = self.0.entries.load();
        entries.iter().filter_map(Entry::running).cloned().collect()
    }

    /// Returns the model of this name in the configuration, if it runs.
    pub(crate) fn named(&self, name: &str) -> Option<Model> {
        let entries = self.0.entries.load();
        let entry = entries.iter().find(|entry| &*entry.name == name)?;
        entry.running().cloned()
    }

    /// Returns the running model of this name and version; without a version, the newest.
    pub(crate) fn get(&self, name: &str, version: &str) -> Option<Model> {
        let entries = self.0.entries.load();
        let running = entries.iter().filter_map(Entry::running);
        let found = find_version(running.clone().map(Model::name), name, version)?;
        running.into_iter().find(|m| m.name() == found).cloned()
    }

    /// Returns the model of a request; without a version, the newest.
    ///
    /// # Errors
    /// NOT_FOUND with the models or versions that exist; UNAVAILABLE for one that is being loaded.
    pub(crate) fn find(&self, name: &str, version: &str) -> Result<Model, Status> {
        self.get(name, version)
            .ok_or_else(|| self.not_running(name, version))
    }

    /// Returns the model of a request, with a place for the call in it. A model that was replaced
    /// between the look at it and the call is not one that refuses the call.
    ///
    /// # Errors
    /// As [`find`](Self::find); UNAVAILABLE for a model that is shutting down.
    pub(crate) fn admit(&self, name: &str, version: &str) -> Result<(Model, CallGuard), Status> {
        let mut refused: Option<Model> = None;
        loop {
            let model = self.find(name, version)?;
            if let Some(guard) = model.admit() {
                return Ok((model, guard));
            }
            if refused.as_ref().is_some_and(|before| before.is(&model)) {
                return Err(model.draining());
            }
            refused = Some(model);
        }
    }

    /// Returns the versions of the models of this name that run.
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        let running = self.running().into_iter();
        let running = running.filter(|model| model.base_name() == name);
        running.map(|model| model.version().to_owned()).collect()
    }

    /// Returns the names in the configuration of the running models that a request to unload
    /// means: the one of exactly this name, else all versions.
    pub(crate) fn meant_by(&self, name: &str) -> Vec<String> {
        let names: Vec<String> = self.running().iter().map(|m| m.name().to_owned()).collect();
        if names.iter().any(|known| known == name) {
            return vec![name.to_owned()];
        }
        let is_version = |known: &String| split_version(known).0 == name;
        names.into_iter().filter(is_version).collect()
    }

    /// Sets the state of a model, which is known from now on. Returns the one before.
    pub(crate) fn set(&self, name: &str, state: State, is_configured: bool) -> Option<State> {
        self.change(|entries| {
            let known = entries.iter_mut().find(|entry| &*entry.name == name);
            if let Some(entry) = known {
                entry.is_configured |= is_configured;
                return Some(std::mem::replace(&mut entry.state, state));
            }
            entries.push(Entry {
                name: name.into(),
                state,
                is_configured,
            });
            None
        })
    }

    /// Takes a model out. One that the configuration names is known as absent for this reason.
    /// Returns it if it ran.
    pub(crate) fn remove(&self, name: &str, reason: &str) -> Option<Model> {
        self.change(|entries| {
            let at = entries.iter().position(|entry| &*entry.name == name)?;
            let before = match entries[at].is_configured {
                true => {
                    let reason = reason.into();
                    std::mem::replace(&mut entries[at].state, State::Absent { reason })
                }
                false => entries.remove(at).state,
            };
            match before {
                State::Running(model) => Some(model),
                State::Loading | State::Absent { .. } => None,
            }
        })
    }

    /// Says which models the configuration names from now on.
    pub(crate) fn set_configured(&self, names: &[String]) {
        self.change(|entries| {
            for entry in entries.iter_mut() {
                entry.is_configured = names.iter().any(|name| **name == *entry.name);
            }
            let is_known =
                |entry: &Entry| entry.is_configured || !matches!(entry.state, State::Absent { .. });
            entries.retain(is_known);
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        let _one_at_a_time = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = (*self.entries()).clone();
        let result = change(&mut entries);
        self.0.entries.store(Arc::new(entries));
        result
    }

    fn not_running(&self, name: &str, version: &str) -> Status {
        let entries = self.0.entries.load();
        let names = entries.iter().map(|entry| &*entry.name);
        let known = find_version(names, name, version)
            .and_then(|found| entries.iter().find(|entry| &*entry.name == found));
        match known.map(|entry| &entry.state) {
            Some(State::Loading) => {
                let message = format!("model {name} is being loaded");
                return StatusBuilder::new(Reason::ModelLoading, message)
                    .model(name)
                    .into();
            }
            Some(State::Absent { reason }) => {
                let message = format!("model {name} is not loaded: {reason}");
                return StatusBuilder::new(Reason::ModelNotFound, message)
                    .model(name)
                    .into();
            }
            Some(State::Running(_)) | None => {}
        }
        let versions = self.versions(name);
        if versions.is_empty() {
            let running = self.running();
            let names: Vec<&str> = running.iter().map(Model::name).collect();
            let message = format!(
                "there is no model {name:?} here; there are {}",
                list_of(&names)
            );
            let error = StatusBuilder::new(Reason::ModelNotFound, message);
            return error.model(name).into();
        }
        let message = format!(
            "model {name} has no version {version:?}; it has {}",
            versions.join(", ")
        );
        let error = StatusBuilder::new(Reason::VersionNotFound, message);
        error.model(name).with("version", version).into()
    }
}

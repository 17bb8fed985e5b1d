//! [`Repository`]: loads, replaces and unloads the models of a process while it serves.
//!
//! A change is made in this order: the model is found and checked, its users are asked, it is
//! loaded and warm, and then it takes its name in one step. Until then nothing has changed; from
//! then on calls find it, while those that began on its predecessor finish there. The predecessor
//! then ends, with its threads and its memory.
//!
//! * `batch`: several changes in one step.
//! * `turns`: one change of a model at a time.
//! * `users`: [`ModelUsers`], who must agree to a change, and [`FindModel`], the source of models.

mod batch;
mod turns;
mod users;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use motet_models::SeenDevices;
use motet_runtime::health::Health;
use motet_runtime::heap;
use motet_runtime::status::{Reason, StatusBuilder, internal};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::loader::{LoadError, Loader};
use crate::model::Model;
use crate::registry::{Models, State};
use crate::resolve::ResolvedModel;

pub use batch::Batch;
use turns::{Turn, Turns};
pub use users::{Change, FindModel, FoundModel, ModelUsers};

/// Models whose weights are read at the same time.
const LOADS_AT_ONCE: usize = 4;
/// Most models that a process knows at once.
const MODELS_MAX: usize = 1024;
/// The reason for which a model that was unloaded is absent.
const UNLOADED: &str = "unloaded";

/// Loads, replaces and unloads the models of a process while it serves. Cheap to clone.
#[derive(Clone)]
pub struct Repository(Arc<Inner>);

struct Inner {
    models: Models,
    loader: Loader,
    health: Health,
    find: Box<dyn FindModel>,
    users: OnceLock<Box<dyn ModelUsers>>,
    turns: Turns,
}

/// Outcome of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// There was no model of the name.
    New,
    /// The model took the place of another.
    Replaced,
    /// The model of the name was loaded from the same files and settings, and goes on.
    Unchanged,
}

impl Repository {
    /// Returns a repository whose models `loader` loads. `find` finds those that are asked for
    /// later.
    pub fn new(loader: Loader, health: Health, find: impl FindModel + 'static) -> Self {
        Self(Arc::new(Inner {
            models: Models::default(),
            loader,
            health,
            find: Box::new(find),
            users: OnceLock::new(),
            turns: Turns::default(),
        }))
    }

    /// Returns the models.
    pub fn models(&self) -> &Models {
        &self.0.models
    }

    /// From now on asks `users` before every change. Only the first call has an effect.
    pub fn set_users(&self, users: impl ModelUsers + 'static) {
        let _ = self.0.users.set(Box::new(users));
    }

    /// Sets what is to be known of the models of the configuration, such as that its file has
    /// changed and was refused. It stands beside their states in lists.
    pub fn set_note(&self, note: Option<String>) {
        self.0.models.set_note(note);
    }

    /// Makes the models of a configuration known as being loaded.
    pub fn announce(&self, models: &[ResolvedModel]) {
        for model in models {
            self.0.health.set(model.name(), false);
            self.0.models.set(model.name(), State::Loading, true);
        }
    }

    /// Loads the models of a configuration, several at once. Each answers as soon as it is loaded.
    ///
    /// # Errors
    /// The error of the first that cannot be loaded.
    pub async fn start(&self, models: Vec<ResolvedModel>) -> Result<(), LoadError> {
        self.announce(&models);
        let look = || tokio::task::spawn_blocking(SeenDevices::look);
        let mut devices = (!models.is_empty()).then(look);
        let (all, began) = (models.len(), Instant::now());
        let loads = models.into_iter().map(|model| async {
            let name = model.name().to_owned();
            let model = self.0.loader.load(model).await?;
            let device = model.device();
            model.begin();
            self.0.models.set(&name, State::Running(model), true);
            Ok((name, device))
        });
        let mut loads = futures::stream::iter(loads).buffer_unordered(LOADS_AT_ONCE);
        let mut loaded = 0;
        while let Some((name, device)) = loads.try_next().await? {
            // Not before: a model that cannot be loaded is reported in one line.
            if let Some(devices) = devices.take()
                && let Ok(devices) = devices.await
            {
                tracing::info!(%devices, "the devices of this machine");
            }
            loaded += 1;
            let (elapsed, device) = (began.elapsed(), device.map(tracing::field::display));
            tracing::info!(
                model = name,
                device,
                loaded,
                of = all,
                ?elapsed,
                "loaded a model"
            );
        }
        Ok(())
    }

    /// Loads the model of a name in the configuration, in place of the one that has the name. It is
    /// found in the text of a configuration, or in the process's own without one.
    ///
    /// Once begun, it goes on if the future is dropped.
    ///
    /// # Errors
    /// The status of a model that does not exist, is mistaken, does not suit its users or cannot be
    /// loaded. Nothing has changed then.
    pub async fn load(&self, name: &str, config: Option<&str>) -> Result<Loaded, Status> {
        let (repository, name) = (self.clone(), name.to_owned());
        let config = config.map(str::to_owned);
        detached(async move { repository.load_now(&name, config.as_deref()).await }).await
    }

    async fn load_now(&self, name: &str, config: Option<&str>) -> Result<Loaded, Status> {
        let inner = &self.0;
        let turn = inner.turns.of_model(name).await;
        let found = inner.find.find(name, config).await?;
        self.replace(found, turn).await
    }

    /// Loads a model that was found, and puts it into service.
    async fn replace(&self, found: FoundModel, turn: Turn) -> Result<Loaded, Status> {
        let inner = &self.0;
        let FoundModel {
            model,
            is_configured,
        } = found;
        let name = model.name().to_owned();
        let before = inner.models.named(&name);
        let is_same = |before: &Model| before.is_ready() && before.is_from(&model);
        if before.as_ref().is_some_and(is_same) {
            return Ok(Loaded::Unchanged);
        }
        self.check_room(&name)?;
        let put = Change::Put(&name, model.signature().clone().into());
        self.users(|users| users.check(&put))?;
        if before.is_none() {
            inner.models.set(&name, State::Loading, is_configured);
        }
        tracing::info!(model = name, "loading a model");
        let loaded = inner.loader.load(model).await;
        let loaded = loaded.map_err(|error| self.not_loaded(&name, &error, before.is_some()))?;
        let device = loaded.device().map(tracing::field::display);
        let mut model = Some(loaded);
        let swapped = self.users(|users| {
            users.change(&put, &mut || {
                if let Some(model) = model.take() {
                    model.begin();
                    inner
                        .models
                        .set(&name, State::Running(model), is_configured);
                }
            })
        });
        if let Err(refusal) = swapped {
            // The callers of the model have changed meanwhile.
            if let Some(model) = model {
                end(model, turn);
            }
            if before.is_none() {
                inner.models.remove(&name, refusal.message());
            }
            return Err(refusal);
        }
        let replaced = before.is_some();
        tracing::info!(model = name, device, replaced, "loaded a model");
        match before {
            None => Ok(Loaded::New),
            Some(before) => {
                end(before, turn);
                Ok(Loaded::Replaced)
            }
        }
    }

    /// Takes the model of a name in the configuration out of service, or all versions of a name.
    /// Returns when its calls in flight are answered and it has ended.
    ///
    /// Once begun, it goes on if the future is dropped.
    ///
    /// # Errors
    /// NOT_FOUND for a model that does not run, and the refusal of its users. Nothing has changed
    /// then.
    pub async fn unload(&self, name: &str) -> Result<(), Status> {
        let (repository, name) = (self.clone(), name.to_owned());
        detached(async move { repository.unload_now(&name).await }).await
    }

    async fn unload_now(&self, name: &str) -> Result<(), Status> {
        let names = self.0.models.meant_by(name);
        if names.is_empty() {
            let unknown = self.0.models.find(name, "").err();
            return Err(unknown.unwrap_or_else(|| internal("the model has just come").into()));
        }
        for name in &names {
            self.users(|users| users.check(&Change::Remove(name)))?;
        }
        let mut ending = Vec::new();
        for name in &names {
            let turn = self.0.turns.of_model(name).await;
            ending.extend(self.remove(name, turn).await?);
        }
        for end in ending {
            // A panic was logged where it happened.
            let _ = end.await;
        }
        Ok(())
    }

    /// Takes a model out of service once its users can do without it, and lets it end.
    async fn remove(
        &self,
        name: &str,
        turn: impl Send + 'static,
    ) -> Result<Option<JoinHandle<()>>, Status> {
        let inner = &self.0;
        if let Some(users) = inner.users.get() {
            users.settled(name).await;
        }
        let mut removed = None;
        self.users(|users| {
            users.change(&Change::Remove(name), &mut || {
                removed = inner.models.remove(name, UNLOADED);
            })
        })?;
        let Some(model) = removed else {
            return Ok(None);
        };
        inner.health.remove(name);
        tracing::info!(model = name, "unloaded a model");
        Ok(Some(end(model, turn)))
    }

    fn users(&self, ask: impl FnOnce(&dyn ModelUsers) -> Result<(), Status>) -> Result<(), Status> {
        match self.0.users.get() {
            Some(users) => ask(&**users),
            None => ask(&users::Nobody),
        }
    }

    /// Refuses a name beyond the limit.
    fn check_room(&self, name: &str) -> Result<(), Status> {
        let known = self.0.models.entries();
        if known.len() < MODELS_MAX || known.iter().any(|entry| &*entry.name == name) {
            return Ok(());
        }
        let message = format!("the server knows {MODELS_MAX} models already, which is the limit");
        let error = StatusBuilder::new(Reason::ResourceExhausted, message);
        Err(error.model(name).into())
    }

    /// Returns the status of a model that was not loaded, and forgets it.
    fn not_loaded(&self, name: &str, error: &LoadError, runs: bool) -> Status {
        let message = error.to_string();
        tracing::error!(model = name, "a model was not loaded: {message}");
        if !runs {
            self.0.models.remove(name, &message);
        }
        let reason = match error {
            LoadError::Memory { .. } => Reason::NotEnoughMemory,
            _ => Reason::ModelNotLoaded,
        };
        StatusBuilder::new(reason, message).model(name).into()
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("models", &self.0.models)
            .finish_non_exhaustive()
    }
}

/// Lets a model end that no call finds any more: its calls in flight first, then its threads and
/// its memory. The next change of its name waits for that.
fn end(model: Model, turn: impl Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        model.retire().await;
        drop(model);
        heap::give_back_now().await;
        drop(turn);
    })
}

/// Runs a change to its end, whether its caller waits for it or not.
async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        Err(_) => Err(internal("changing the models crashed").into()),
    }
}

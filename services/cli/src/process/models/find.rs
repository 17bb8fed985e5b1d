//! Models that are asked for by name while a process serves: in its own configuration as the file
//! is now, or in a text that was sent.

use std::sync::Arc;

use futures::future::BoxFuture;
use motet_runtime::status::{REPORT_SIZE_MAX, Reason, StatusBuilder, internal, report_size};
use motet_service::{FindModel, FoundModel};
use tonic::Status;

use crate::configuration::{Configuration, Files, ResolvedModels};
use crate::fetch::{Fetched, Out};

/// The name of a text that was sent in messages.
const SENT_NAME: &str = "config";

/// Finds models of a process.
pub(in crate::process) struct ModelFinder(Arc<Inner>);

struct Inner {
    /// The configuration of the process as it was at the start.
    start: Configuration,
    /// Its files, if they can be read again.
    files: Option<Files>,
}

/// A model that was asked for, as far as it was found.
struct Found {
    configuration: Configuration,
    resolved: ResolvedModels,
    is_configured: bool,
}

impl ModelFinder {
    /// Returns a finder for a process that was started with this configuration.
    pub(in crate::process) fn new(start: Configuration) -> Self {
        let files = start.files_on_disk();
        Self(Arc::new(Inner { start, files }))
    }
}

impl FindModel for ModelFinder {
    fn find<'f>(
        &'f self,
        name: &'f str,
        config: Option<&'f str>,
    ) -> BoxFuture<'f, Result<FoundModel, Status>> {
        Box::pin(async move {
            let mut fetched: Option<Fetched> = None;
            loop {
                let (inner, name) = (self.0.clone(), name.to_owned());
                let config = config.map(str::to_owned);
                // Files are read, and vocabularies take time.
                let find = move || inner.find(&name, config.as_deref());
                let found = tokio::task::spawn_blocking(find).await;
                let found = found.map_err(|_| internal("finding the model crashed").build())??;
                let hub = found.configuration.hub();
                let fetched = fetched.get_or_insert_with(|| Fetched::new(&hub, Out::Log));
                let have = fetched.have(&found.resolved.repositories).await;
                if !have.map_err(|error| not_fetched(&error))? {
                    return found.model();
                }
            }
        })
    }
}

impl Inner {
    fn find(&self, name: &str, config: Option<&str>) -> Result<Found, Status> {
        let now = self.files.as_ref();
        let now = now.map(|files| Configuration::read(files, &self.start.tasks));
        let own = match now {
            Some(Ok(now)) => now.with_tokenizers_of(&self.start),
            // For a text that was sent, a file that became unreadable is no reason against it.
            Some(Err(errors)) if config.is_none() => return Err(mistakes(errors.to_string())),
            Some(Err(_)) | None => self.start.clone(),
        };
        let is_configured = own.served_models().any(|model| model.name.value == name);
        let (configuration, eligible) = match config {
            Some(text) => own.with_sent_models(SENT_NAME, text),
            None => {
                let all = own.config.models.len();
                (own, all)
            }
        };
        let found = Found::new(configuration, name, eligible)?;
        let is_there = found.ok_or_else(|| {
            let place = match config {
                Some(_) => "the text",
                None => "the server's own configuration",
            };
            let message = format!("{place} has no model {name:?}");
            let error = StatusBuilder::new(Reason::ModelNotFound, message);
            Status::from(error.model(name))
        });
        Ok(Found {
            is_configured,
            ..is_there?
        })
    }
}

impl Found {
    /// Finds a model among the first `eligible` ones of a configuration; `None` if there is none of
    /// the name.
    fn new(
        mut configuration: Configuration,
        name: &str,
        eligible: usize,
    ) -> Result<Option<Self>, Status> {
        let mut models = configuration.config.models[..eligible].iter();
        let Some(spec) = models.find(|model| model.name.value == name) else {
            // It may be missing for a mistake in it.
            refuse_mistakes(&configuration)?;
            return Ok(None);
        };
        if !spec.is_local() {
            let message = format!("model {name} has no `task` and `source`: it runs elsewhere");
            let error = StatusBuilder::new(Reason::ModelsAreFixed, message);
            return Err(error.model(name).into());
        }
        let hub = configuration.hub();
        let resolved = configuration.resolve_models(&hub, |model| model.name.value == name);
        refuse_mistakes(&configuration)?;
        Ok(Some(Self {
            configuration,
            resolved,
            is_configured: false,
        }))
    }

    fn model(mut self) -> Result<FoundModel, Status> {
        if let Some(model) = self.resolved.models.pop() {
            return Ok(FoundModel {
                model,
                is_configured: self.is_configured,
            });
        }
        let absent = self.resolved.absent.first();
        let message = absent.map_or("the model cannot be found", |problem| &problem.message);
        Err(StatusBuilder::new(Reason::ModelNotLoaded, message).into())
    }
}

fn refuse_mistakes(configuration: &Configuration) -> Result<(), Status> {
    let diagnostics = &configuration.diagnostics;
    if !diagnostics.has_errors() {
        return Ok(());
    }
    let report = diagnostics.render_within(&configuration.sources, REPORT_SIZE_MAX, report_size);
    Err(mistakes(report))
}

fn mistakes(report: String) -> Status {
    StatusBuilder::new(Reason::BadModel, "")
        .field(SENT_NAME, "has mistakes, which the message shows")
        .report(report)
        .into()
}

fn not_fetched(error: &anyhow::Error) -> Status {
    StatusBuilder::new(Reason::ModelNotLoaded, format!("{error:#}")).into()
}

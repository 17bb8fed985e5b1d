//! The pipelines and models that a gateway serves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use motet_proto::oip::find_version;
use motet_proto::signature::Signature;
use motet_runtime::auth::{Access, Named};
use motet_runtime::status::{self, Resource};
use tonic::Status;

use super::pipeline::ServedPipeline;
use crate::model::Backend;

/// Pipelines by name.
pub(super) type Pipelines = BTreeMap<String, Arc<ServedPipeline>>;

/// The loaded pipelines and the models, each replaced as a whole by each change.
#[derive(Debug)]
pub struct Registry {
    served: ArcSwap<Served>,
    models: ArcSwap<Models>,
}

/// The models at one moment.
#[derive(Debug, Default)]
pub(super) struct Models {
    backends: Arc<BTreeMap<String, Backend>>,
    /// Signatures of those that were loaded since the start.
    signatures: BTreeMap<String, Arc<Signature>>,
}

/// The pipelines at one moment, by name and by service.
#[derive(Debug, Default)]
struct Served {
    by_name: Arc<Pipelines>,
    by_service: HashMap<String, Arc<ServedPipeline>>,
}

impl Registry {
    /// Returns a registry of these models and no pipelines.
    pub(super) fn new(models: impl IntoIterator<Item = Backend>) -> Self {
        let models = models.into_iter();
        Self {
            served: ArcSwap::default(),
            models: ArcSwap::from_pointee(Models {
                backends: Arc::new(models.map(|b| (b.model().to_owned(), b)).collect()),
                signatures: BTreeMap::new(),
            }),
        }
    }

    /// Returns the loaded pipelines, by name.
    pub fn pipelines(&self) -> Arc<BTreeMap<String, Arc<ServedPipeline>>> {
        self.served.load().by_name.clone()
    }

    /// Replaces the pipelines.
    pub(super) fn set_pipelines(&self, pipelines: Pipelines) {
        let by_service = pipelines.values();
        let by_service = by_service.map(|p| (p.api.service.clone(), p.clone()));
        self.served.store(Arc::new(Served {
            by_service: by_service.collect(),
            by_name: Arc::new(pipelines),
        }));
    }

    /// Returns the models, by name.
    pub fn models(&self) -> Arc<BTreeMap<String, Backend>> {
        self.models.load().backends.clone()
    }

    /// Returns the signature of a model that was loaded since the start.
    pub(super) fn signature(&self, model: &str) -> Option<Arc<Signature>> {
        self.models.load().signatures.get(model).cloned()
    }

    /// Adds a model with this signature, or changes the signature of one that is there. One change
    /// at a time is the caller's business.
    pub(super) fn put_model(&self, backend: Backend, signature: Arc<Signature>) {
        let before = self.models.load();
        let mut backends = (*before.backends).clone();
        let mut signatures = before.signatures.clone();
        signatures.insert(backend.model().to_owned(), signature);
        backends
            .entry(backend.model().to_owned())
            .or_insert(backend);
        self.models.store(Arc::new(Models {
            backends: Arc::new(backends),
            signatures,
        }));
    }

    /// Returns the models with their signatures, to be set again.
    pub(super) fn all_models(&self) -> Arc<Models> {
        self.models.load_full()
    }

    /// Sets the models to what they were.
    pub(super) fn set_all_models(&self, models: Arc<Models>) {
        self.models.store(models);
    }

    /// Removes a model.
    pub(super) fn remove_model(&self, name: &str) {
        let before = self.models.load();
        let mut backends = (*before.backends).clone();
        let mut signatures = before.signatures.clone();
        backends.remove(name);
        signatures.remove(name);
        self.models.store(Arc::new(Models {
            backends: Arc::new(backends),
            signatures,
        }));
    }

    /// Returns the model of a name and a version, which may be empty. A version that the
    /// configuration does not name is left to the service of the model.
    ///
    /// # Errors
    /// NOT_FOUND, with the models or the versions that exist.
    pub(super) fn model(
        &self,
        name: &str,
        version: &str,
        access: &Access,
    ) -> Result<Backend, Status> {
        let models = self.models();
        let names = models.keys().map(String::as_str);
        let found = find_version(names, name, version).unwrap_or(name);
        if let Some(backend) = models.get(found) {
            return Ok(backend.at_version(version));
        }
        let versions = models.values().filter(|model| model.name() == name);
        let versions: Vec<&str> = versions.map(Backend::version).collect();
        if versions.is_empty() {
            return Err(self.unknown_model(name, access));
        }
        let error = Status::from(status::not_found(Resource::Version, version).model(name));
        let versions = versions.join(", ");
        Err(status::reworded(
            &error,
            format!("model {name} has no version {version:?}; it has {versions}"),
        ))
    }

    /// Returns whether a model has this name, in any version.
    pub(super) fn has_model(&self, name: &str) -> bool {
        self.models().values().any(|model| model.name() == name)
    }

    /// Returns a pipeline by name.
    pub fn pipeline(&self, name: &str) -> Option<Arc<ServedPipeline>> {
        self.served.load().by_name.get(name).cloned()
    }

    /// Returns a pipeline by the full name of its gRPC service.
    pub(super) fn by_service(&self, service: &str) -> Option<Arc<ServedPipeline>> {
        self.served.load().by_service.get(service).cloned()
    }

    /// Returns NOT_FOUND, with the names of the loaded pipelines that the caller may know of.
    pub(super) fn unknown_pipeline(&self, name: &str, access: &Access) -> Status {
        let pipelines = self.pipelines();
        let known = pipelines.keys().map(String::as_str);
        let known: Vec<&str> = known
            .filter(|name| access.sees(name, Named::Pipeline))
            .collect();
        not_found(Resource::Pipeline, name, &known)
    }

    /// Returns NOT_FOUND, with the names of the pipelines and models that the caller may know of.
    fn unknown_model(&self, name: &str, access: &Access) -> Status {
        let (pipelines, models) = (self.pipelines(), self.models());
        let names = pipelines
            .keys()
            .filter(|name| access.sees(name, Named::Pipeline));
        let models = models.keys().filter(|name| access.sees(name, Named::Model));
        let known: Vec<&str> = names.chain(models).map(String::as_str).collect();
        not_found(Resource::Model, name, &known)
    }
}

fn not_found(kind: Resource, name: &str, known: &[&str]) -> Status {
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    let status = Status::from(status::not_found(kind, name));
    status::reworded(&status, format!("{}; there are: {known}", status.message()))
}

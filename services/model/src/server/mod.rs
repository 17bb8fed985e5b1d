//! The gRPC service for a set of models.
//!
//! * `service`: the protocol's methods; `stream`: `ModelStreamInfer`, many requests on one stream.
//! * `describe`: the server and its models in the protocol's messages.
//! * `local`: [`LocalService`], the service for callers in the same process.

mod describe;
mod local;
mod service;
mod stream;

use std::sync::Arc;

use motet_config::list_of;
use motet_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use motet_proto::oip::find_version;
use motet_runtime::health::Health;
use motet_runtime::reflection::{self, ReflectionError};
use motet_runtime::status::{Reason, StatusBuilder};
use tonic::Status;
use tonic::service::Routes;

pub use local::LocalService;

use crate::model::Model;

/// Serves models over the Open Inference Protocol. Cheap to clone; clones share the models.
///
/// The documentation of the crate has an example.
#[derive(Clone, Debug)]
pub struct ModelServer {
    models: Arc<[Model]>,
}

impl ModelServer {
    /// Returns a server of these models, each under its name.
    pub fn new(models: Vec<Model>) -> Self {
        Self {
            models: models.into(),
        }
    }

    /// Returns the models, in the order in which they were given.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Returns the gRPC service. A message larger than `message_bytes_max` is refused, in or out.
    pub fn service(&self, message_bytes_max: usize) -> GrpcInferenceServiceServer<Self> {
        GrpcInferenceServiceServer::new(self.clone())
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max)
    }

    /// Returns the service for callers in this process. As over a port, deadline and trace come
    /// from the headers of a request.
    pub fn local(&self, message_bytes_max: usize) -> LocalService {
        local::wrap(self.service(message_bytes_max))
    }

    /// Returns all services of a process with these models alone: the protocol, health, and
    /// reflection over both.
    ///
    /// # Errors
    /// If reflection cannot be built, which would be a defect.
    pub fn routes(
        &self,
        health: &Health,
        message_bytes_max: usize,
    ) -> Result<Routes, ReflectionError> {
        let routes = Routes::new(self.service(message_bytes_max)).add_service(health.server());
        let described = [
            describe::descriptor_set(),
            Health::descriptor_set().to_vec(),
        ];
        reflection::add(routes, &described)
    }

    /// Refuses new calls, answers those in flight, and ends the models' threads.
    pub async fn drain(&self) {
        futures::future::join_all(self.models.iter().map(Model::drain)).await;
    }

    /// Returns the model of a request; without a version, the newest.
    ///
    /// # Errors
    /// NOT_FOUND with the models or versions that exist.
    fn find(&self, name: &str, version: &str) -> Result<&Model, Status> {
        if let Some(model) = self.get(name, version) {
            return Ok(model);
        }
        let names = || self.models.iter().map(Model::name);
        let versions = self.versions(name);
        if versions.is_empty() {
            let names: Vec<&str> = names().collect();
            let message = format!(
                "there is no model {name:?} here; there are {}",
                list_of(&names)
            );
            let error = StatusBuilder::new(Reason::ModelNotFound, message);
            return Err(error.model(name).into());
        }
        let message = format!(
            "model {name} has no version {version:?}; it has {}",
            versions.join(", ")
        );
        let error = StatusBuilder::new(Reason::VersionNotFound, message);
        Err(error.model(name).with("version", version).into())
    }

    /// Returns the model of this name and version, if there is one; without a version, the newest.
    fn get(&self, name: &str, version: &str) -> Option<&Model> {
        let names = self.models.iter().map(Model::name);
        let found = find_version(names, name, version)?;
        self.models.iter().find(|model| model.name() == found)
    }

    /// Returns the versions of the models of this name.
    fn versions(&self, name: &str) -> Vec<String> {
        let models = self.models.iter().filter(|m| m.base_name() == name);
        models.map(|model| model.version().to_owned()).collect()
    }
}

//! The gRPC service for a set of models.

mod describe;
mod local;
mod service;
mod stream;

use std::sync::Arc;

use motet_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use motet_proto::oip::find_version;
use motet_runtime::config::list_of;
use motet_runtime::health::Health;
use motet_runtime::reflection::{self, ReflectionError};
use motet_runtime::status::{Reason, StatusBuilder};
use tonic::Status;
use tonic::service::Routes;

pub use local::LocalService;

use crate::Model;

/// The Open Inference Protocol over some models. Cheap to clone; clones share the models.
#[derive(Clone, Debug)]
pub struct ModelServer {
    models: Arc<[Model]>,
}

impl ModelServer {
    /// Serves these models, each under its name.
    pub fn new(models: Vec<Model>) -> Self {
        Self {
            models: models.into(),
        }
    }

    /// The models, in the order given.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The gRPC service; no message may be larger than `message_bytes_max`, in or out.
    pub fn service(&self, message_bytes_max: usize) -> GrpcInferenceServiceServer<Self> {
        GrpcInferenceServiceServer::new(self.clone())
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max)
    }

    /// The service for callers in this process: as over a port, deadline and trace come from the request's headers.
    pub fn local(&self, message_bytes_max: usize) -> LocalService {
        local::wrap(self.service(message_bytes_max))
    }

    /// Everything that a process with these models alone serves: the protocol, health, and reflection over both.
    ///
    /// # Errors
    /// When reflection cannot be built, which would be a defect.
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

    /// Refuses new calls, answers those that were let in, and ends the models' threads.
    pub async fn drain(&self) {
        futures::future::join_all(self.models.iter().map(Model::drain)).await;
    }

    /// The model of a request.
    fn find(&self, name: &str, version: &str) -> Result<&Model, Status> {
        let names = || self.models.iter().map(Model::name);
        if let Some(found) = find_version(names(), name, version)
            && let Some(model) = self.models.iter().find(|model| model.name() == found)
        {
            return Ok(model);
        }
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

    /// The versions of the models of this name.
    fn versions(&self, name: &str) -> Vec<String> {
        let models = self.models.iter().filter(|m| m.base_name() == name);
        models.map(|model| model.version().to_owned()).collect()
    }
}

//! The gRPC service for a set of models.
//!
//! * `service`: the protocol's methods; `stream`: `ModelStreamInfer`, many requests on one stream.
//! * `describe`: the server and its models in the protocol's messages.
//! * `local`: [`LocalService`], the service for callers in the same process.

mod describe;
mod local;
mod service;
mod stream;

use motet_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use motet_runtime::health::Health;
use motet_runtime::reflection::{self, ReflectionError};
use tonic::service::Routes;

pub use local::LocalService;

use crate::model::Model;
use crate::registry::Models;
use crate::repository::Repository;

/// Serves models over the Open Inference Protocol. Cheap to clone; clones share the models.
///
/// The documentation of the crate has an example.
#[derive(Clone, Debug)]
pub struct ModelServer {
    models: Models,
    repository: Option<Repository>,
}

impl ModelServer {
    /// Returns a server of these models, each under its name. They stay the same.
    pub fn new(models: Vec<Model>) -> Self {
        Self {
            models: Models::of_running(models),
            repository: None,
        }
    }

    /// Returns a server of the models of a repository, which come and go by its methods.
    pub fn of_repository(repository: Repository) -> Self {
        Self {
            models: repository.models().clone(),
            repository: Some(repository),
        }
    }

    /// Returns the repository of the models; `None` if they stay the same.
    pub fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// Returns the models that run, in the order in which they came.
    pub fn models(&self) -> Vec<Model> {
        self.models.running()
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
        futures::future::join_all(self.models().iter().map(Model::drain)).await;
    }
}

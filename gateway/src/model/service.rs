//! The model service of this process.

use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::inference::repository_index_response::ModelIndex;
use motet_proto::inference::{
    ModelInferRequest, ModelInferResponse, RepositoryIndexRequest, RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest,
};
use motet_runtime::deadline::Deadline;
use tonic::body::Body;
use tonic::{Request, Response, Status};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::Backend;
use super::in_process::Direct;
use crate::call::transport::{BoxError, Transport, TransportError, outgoing};

/// The model service of this process: the way to its models, which it loads and unloads. Cheap to
/// clone.
#[derive(Clone)]
pub struct ModelService {
    transport: Transport,
    infer: Direct,
    message_bytes_max: usize,
}

impl std::fmt::Debug for ModelService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelService").finish_non_exhaustive()
    }
}

impl ModelService {
    /// Returns the service that answers all methods as `service`, but inferences by `infer`, which
    /// gets the message itself.
    pub fn new<S, M>(service: S, infer: M, message_bytes_max: usize) -> Self
    where
        S: tower::Service<http::Request<Body>, Response = http::Response<Body>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        M: tower::Service<
                Request<ModelInferRequest>,
                Response = Response<ModelInferResponse>,
                Error = Status,
            > + Clone
            + Send
            + Sync
            + 'static,
        M::Future: Send,
    {
        Self {
            transport: BoxCloneSyncService::new(service.map_err(TransportError::new)),
            infer: Direct::new(infer, message_bytes_max),
            message_bytes_max,
        }
    }

    /// Returns the model of this name in the configuration.
    pub fn backend(&self, model: &str) -> Backend {
        let transport = self.transport.clone();
        Backend::in_this_process(model, transport, self.infer.clone(), self.message_bytes_max)
    }

    /// Loads a model.
    ///
    /// # Errors
    /// The service's own status.
    pub async fn load(
        &self,
        request: RepositoryModelLoadRequest,
        deadline: Option<Deadline>,
    ) -> Result<(), Status> {
        let mut client = self.client();
        let answer = client
            .repository_model_load(outgoing(request, deadline))
            .await;
        answer.map(|_| ())
    }

    /// Unloads a model.
    ///
    /// # Errors
    /// The service's own status.
    pub async fn unload(
        &self,
        request: RepositoryModelUnloadRequest,
        deadline: Option<Deadline>,
    ) -> Result<(), Status> {
        let mut client = self.client();
        let answer = client
            .repository_model_unload(outgoing(request, deadline))
            .await;
        answer.map(|_| ())
    }

    /// Returns the models, also those that are being loaded and those that are not loaded.
    ///
    /// # Errors
    /// The service's own status.
    pub async fn index(&self) -> Result<Vec<ModelIndex>, Status> {
        let mut client = self.client();
        let request = outgoing(RepositoryIndexRequest::default(), None);
        let answer = client.repository_index(request).await?;
        Ok(answer.into_inner().models)
    }

    fn client(&self) -> GrpcInferenceServiceClient<Transport> {
        GrpcInferenceServiceClient::new(self.transport.clone())
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max)
    }
}

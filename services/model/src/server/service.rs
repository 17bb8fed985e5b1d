//! The protocol's methods.

use futures::stream::BoxStream;
use motet_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use motet_proto::inference::*;
use motet_runtime::auth::{Access, Named};
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{Reason, StatusBuilder, failed_precondition};
use tonic::{Request, Response, Status, Streaming};

use super::{ModelServer, describe, stream};
use crate::model::Model;

type Reply<T> = Result<Response<T>, Status>;

impl ModelServer {
    pub(super) async fn infer(
        &self,
        request: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<ModelInferResponse, Status> {
        let model = self.find(&request.model_name, &request.model_version)?;
        model.infer(request, deadline).await
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for ModelServer {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Reply<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Reply<ServerReadyResponse> {
        let ready = self.models().iter().all(Model::is_ready);
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Reply<ModelReadyResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.see(&request.name, Named::Model)?;
        // As Triton answers it: a model or version that does not exist is not ready.
        let model = self.get(&request.name, &request.version);
        let ready = model.is_some_and(Model::is_ready);
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Reply<ServerMetadataResponse> {
        Ok(Response::new(describe::server()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Reply<ModelMetadataResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.see(&request.name, Named::Model)?;
        let model = self.find(&request.name, &request.version)?;
        let versions = self.versions(model.base_name());
        Ok(Response::new(describe::metadata(model, versions)))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Reply<ModelConfigResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.see(&request.name, Named::Model)?;
        let config = describe::config(self.find(&request.name, &request.version)?);
        let config = Some(config);
        Ok(Response::new(ModelConfigResponse { config }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Reply<ModelInferResponse> {
        let deadline = Deadline::of(request.extensions());
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.call(&request.model_name, Named::Model)?;
        let response = self.infer(request, deadline).await?;
        Ok(Response::new(response))
    }

    type ModelStreamInferStream = BoxStream<'static, Result<ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Reply<Self::ModelStreamInferStream> {
        let deadline = Deadline::of(request.extensions());
        let responses = stream::responses(self.clone(), request, deadline);
        Ok(Response::new(responses))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Reply<ModelStatisticsResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        let model_stats = if request.name.is_empty() {
            let seen = self
                .models()
                .iter()
                .filter(|m| access.sees(m.name(), Named::Model));
            seen.map(Model::statistics).collect()
        } else {
            access.see(&request.name, Named::Model)?;
            vec![self.find(&request.name, &request.version)?.statistics()]
        };
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Reply<RepositoryIndexResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        if !request.repository_name.is_empty() {
            let message = "there is one repository, without a name: leave repository_name empty";
            let error = StatusBuilder::new(Reason::RepositoryName, message);
            return Err(error.field("repository_name", message).into());
        }
        let models = self.models().iter();
        let models = models.filter(|model| !request.ready || model.is_ready());
        let models = models.filter(|model| access.sees(model.name(), Named::Model));
        Ok(Response::new(RepositoryIndexResponse {
            models: models.map(describe::index).collect(),
        }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Reply<RepositoryModelLoadResponse> {
        Err(models_are_fixed(&request.into_inner().model_name))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Reply<RepositoryModelUnloadResponse> {
        Err(models_are_fixed(&request.into_inner().model_name))
    }
}

fn models_are_fixed(model: &str) -> Status {
    let message =
        "the models are those of the configuration file: change it and restart the process";
    let error = failed_precondition(message).reason(Reason::ModelsAreFixed);
    error.model(model).into()
}

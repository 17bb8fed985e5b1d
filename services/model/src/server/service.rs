//! The protocol's methods.

use std::collections::HashMap;

use futures::stream::BoxStream;
use motet_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use motet_proto::inference::model_repository_parameter::ParameterChoice;
use motet_proto::inference::*;
use motet_runtime::auth::{Access, Named};
use motet_runtime::deadline::Deadline;
use motet_runtime::status::{Reason, StatusBuilder, failed_precondition, invalid_argument};
use tonic::{Request, Response, Status, Streaming};

use super::{ModelServer, describe, stream};
use crate::model::Model;
use crate::registry::State;
use crate::repository::Repository;

/// The parameter with the text of a configuration.
const CONFIG: &str = "config";

type Reply<T> = Result<Response<T>, Status>;

impl ModelServer {
    pub(super) async fn infer(
        &self,
        request: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<ModelInferResponse, Status> {
        let (name, version) = (&request.model_name, &request.model_version);
        let (model, admitted) = self.models.admit(name, version)?;
        model.infer(request, deadline, admitted).await
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for ModelServer {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Reply<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Reply<ServerReadyResponse> {
        let ready = self
            .models
            .entries()
            .iter()
            .all(|entry| match &entry.state {
                State::Running(model) => model.is_ready(),
                State::Loading => false,
                State::Absent { .. } => true,
            });
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Reply<ModelReadyResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.see(&request.name, Named::Model)?;
        // As Triton answers it: a model or version that does not exist is not ready.
        let model = self.models.get(&request.name, &request.version);
        let ready = model.as_ref().is_some_and(Model::is_ready);
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
        let model = self.models.find(&request.name, &request.version)?;
        let versions = self.models.versions(model.base_name());
        Ok(Response::new(describe::metadata(&model, versions)))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Reply<ModelConfigResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.see(&request.name, Named::Model)?;
        let config = describe::config(&self.models.find(&request.name, &request.version)?);
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
            let models = self.models();
            let seen = models.iter();
            let seen = seen.filter(|model| access.sees(model.name(), Named::Model));
            seen.map(Model::statistics).collect()
        } else {
            access.see(&request.name, Named::Model)?;
            let model = self.models.find(&request.name, &request.version)?;
            vec![model.statistics()]
        };
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Reply<RepositoryIndexResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        check_repository(&request.repository_name)?;
        let entries = self.models.entries();
        let models = entries
            .iter()
            .filter(|entry| access.sees(entry.on_the_wire().0, Named::Model));
        let models = models.map(|entry| {
            let note = self.models.note_of(entry);
            describe::index(entry, note.as_deref().map(String::as_str))
        });
        let models = models.filter(|model| !request.ready || model.state == describe::READY);
        Ok(Response::new(RepositoryIndexResponse {
            models: models.collect(),
        }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Reply<RepositoryModelLoadResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.note(&request.model_name);
        check_repository(&request.repository_name)?;
        let repository = self.changeable(&request.model_name)?;
        let config = config(&request.parameters)?;
        repository.load(&request.model_name, config).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Reply<RepositoryModelUnloadResponse> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.note(&request.model_name);
        check_repository(&request.repository_name)?;
        let repository = self.changeable(&request.model_name)?;
        repository.unload(&request.model_name).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }
}

impl ModelServer {
    /// Returns the repository in which `model` is loaded or unloaded.
    ///
    /// # Errors
    /// FAILED_PRECONDITION for a server whose models stay the same.
    fn changeable(&self, model: &str) -> Result<&Repository, Status> {
        self.repository.as_ref().ok_or_else(|| {
            let message = "the models of this server stay the same while it runs";
            let error = failed_precondition(message).reason(Reason::ModelsAreFixed);
            error.model(model).into()
        })
    }
}

/// Refuses the name of a repository: there is one, without a name.
fn check_repository(name: &str) -> Result<(), Status> {
    if name.is_empty() {
        return Ok(());
    }
    let message = "there is one repository, without a name: leave repository_name empty";
    let error = StatusBuilder::new(Reason::RepositoryName, message);
    Err(error.field("repository_name", message).into())
}

/// Returns the configuration among the parameters of a request to load a model.
///
/// # Errors
/// INVALID_ARGUMENT for one that is no text, and for other parameters.
fn config(parameters: &HashMap<String, ModelRepositoryParameter>) -> Result<Option<&str>, Status> {
    let mut config = None;
    for (name, value) in parameters {
        match (&**name, &value.parameter_choice) {
            (CONFIG, Some(ParameterChoice::StringParam(text))) => config = Some(&**text),
            (CONFIG, _) => {
                return Err(invalid_argument("parameters[config]", "must be a text").into());
            }
            _ => {
                let field = format!("parameters[{name}]");
                let message = "is not a parameter of loading a model: there is config";
                return Err(invalid_argument(field, message).into());
            }
        }
    }
    Ok(config)
}

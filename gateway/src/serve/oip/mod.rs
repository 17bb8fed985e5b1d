//! Surface of the Open Inference Protocol: every pipeline is a model, and every model that
//! pipelines call can also be called by its own name.
//!
//! * `infer`: inference of a pipeline; other methods are here.

mod infer;

use std::sync::Arc;

use futures::future::join_all;
use futures::stream::BoxStream;
use motet_proto::inference::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use motet_proto::inference::repository_index_response::ModelIndex;
use motet_proto::inference::*;
use motet_proto::oip::model_config;
use motet_proto::signature::{INSTANCE_PROPERTY, PROPERTY};
use motet_runtime::auth::{Access, Named};
use motet_runtime::deadline::Deadline;
use motet_runtime::request_stream::answer_each;
use motet_runtime::status::{self, Reason, Resource, StatusBuilder};
use tokio::time::Duration;
use tonic::{Request, Response, Status, Streaming};

use super::account::Account;
use super::gateway::{Gateway, GatewayError};
use super::pipeline::ServedPipeline;
use super::readiness::Readiness;
use super::registry::Registry;
use crate::model::{ModelDescription, ModelService};
use infer::{infer_pipeline, with_timeout_parameter};

/// Time limit of requests to a model service other than inference.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// `platform` of a pipeline in its metadata.
const PLATFORM: &str = "motet_pipeline";
/// `state` of what answers.
const READY: &str = "READY";

/// The inference service of the gateway. Cheap to clone.
#[derive(Clone)]
pub(super) struct OipGateway {
    gateway: Gateway,
    registry: Arc<Registry>,
    readiness: Arc<Readiness>,
}

/// Returns the service over `registry`. A message, in or out, has at most `message_bytes_max`
/// bytes.
pub(super) fn server(
    gateway: Gateway,
    registry: Arc<Registry>,
    readiness: Arc<Readiness>,
    message_bytes_max: usize,
) -> GrpcInferenceServiceServer<OipGateway> {
    let service = OipGateway {
        gateway,
        registry,
        readiness,
    };
    GrpcInferenceServiceServer::new(service)
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(message_bytes_max)
}

impl OipGateway {
    /// Returns the pipeline `name`; `None` if no pipeline has the name.
    ///
    /// # Errors
    /// NOT_FOUND for another version of the pipeline.
    fn pipeline(&self, name: &str, version: &str) -> Result<Option<Arc<ServedPipeline>>, Status> {
        let Some(served) = self.registry.pipeline(name) else {
            return Ok(None);
        };
        let own = served.pipeline().version.to_string();
        if version.is_empty() || version == own {
            return Ok(Some(served));
        }
        let status = Status::from(status::not_found(Resource::Version, version).pipeline(name));
        Err(status::reworded(
            &status,
            format!("pipeline {name} has version {own} and not {version}"),
        ))
    }

    /// Returns what has this name, for those whose access depends on it.
    fn named(&self, name: &str, access: &Access) -> Named {
        if access.is_open() {
            return Named::Unknown;
        }
        if self.registry.pipeline(name).is_some() {
            return Named::Pipeline;
        }
        let is_model = self.registry.has_model(name) || self.registry.models().contains_key(name);
        if is_model {
            Named::Model
        } else {
            Named::Unknown
        }
    }

    /// Returns the service in which a model is loaded or unloaded.
    ///
    /// # Errors
    /// FAILED_PRECONDITION for a model of another process, and where there is no service.
    fn service_of(&self, name: &str) -> Result<&ModelService, Status> {
        let models = self.registry.models();
        if let Some(model) = models.get(name).filter(|model| !model.is_local()) {
            let (name, address) = (name.to_owned(), model.address().to_owned());
            return Err(GatewayError::ModelElsewhere { name, address }.into());
        }
        self.gateway.model_service().ok_or_else(|| {
            let message = "no models run in this process: load and unload them where they run";
            let error = StatusBuilder::new(Reason::ModelsAreFixed, message);
            error.model(name).into()
        })
    }

    async fn infer(
        self,
        request: ModelInferRequest,
        asked: Option<Deadline>,
        account: &Account,
    ) -> Result<ModelInferResponse, Status> {
        let access = &account.access;
        access.call(&request.model_name, self.named(&request.model_name, access))?;
        if let Some(served) = self.pipeline(&request.model_name, &request.model_version)? {
            // Some kilobytes, which would move with every future around it.
            let call = Box::pin(infer_pipeline(&served, request, asked, account));
            return served.oip.observe(call).await;
        }
        let (name, version) = (&request.model_name, &request.model_version);
        let model = self.registry.model(name, version, access)?;
        let deadline = with_timeout_parameter(&request, asked)?;
        Box::pin(model.infer(request, deadline)).await
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for OipGateway {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        let ready = self.readiness.of_server().await;
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        let (name, version) = (&request.name, &request.version);
        access.see(name, self.named(name, &access))?;
        let ready = match self.pipeline(name, version) {
            Ok(Some(_)) => self.readiness.of_pipeline(name).await,
            Ok(None) => match self.registry.model(name, version, &access) {
                Ok(model) => self.readiness.of_model(&model).await,
                Err(_) => false,
            },
            Err(_) => false,
        };
        // As in Triton, a model that does not exist is one that is not ready.
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: "motet".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: ["model_configuration", "model_repository", "statistics"]
                .map(str::to_owned)
                .to_vec(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.see(&request.name, self.named(&request.name, &access))?;
        let (name, versions, platform, signature, instance) =
            match self.pipeline(&request.name, &request.version)? {
                Some(served) => (
                    request.name,
                    vec![served.pipeline().version.to_string()],
                    PLATFORM,
                    served.signature.clone(),
                    None,
                ),
                None => {
                    let model = self
                        .registry
                        .model(&request.name, &request.version, &access)?;
                    let ModelDescription {
                        signature,
                        versions,
                        instance,
                    } = model.description(QUERY_TIMEOUT).await?;
                    (request.name, versions, "motet_model", signature, instance)
                }
            };
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions,
            platform: platform.to_owned(),
            inputs: signature.oip_inputs(),
            outputs: signature.oip_outputs(),
            properties: std::iter::once((PROPERTY.to_owned(), signature.to_property()))
                .chain(instance.map(|instance| (INSTANCE_PROPERTY.to_owned(), instance)))
                .collect(),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let asked = Deadline::of(request.extensions());
        let account = Account::of(request.extensions());
        self.clone()
            .infer(request.into_inner(), asked, &account)
            .await
            .map(Response::new)
    }

    type ModelStreamInferStream = BoxStream<'static, Result<ModelStreamInferResponse, Status>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let asked = Deadline::of(request.extensions());
        let gateway = self.clone();
        let answers = answer_each(request, move |request: ModelInferRequest, admitted| {
            let gateway = gateway.clone();
            let id = request.id.clone();
            async move {
                let answer = match admitted {
                    Ok(admitted) => {
                        let account = Account::from(admitted);
                        gateway.infer(request, asked, &account).await
                    }
                    Err(refusal) => Err(refusal),
                };
                match answer {
                    Ok(response) => ModelStreamInferResponse {
                        infer_response: Some(response),
                        ..Default::default()
                    },
                    Err(error) => ModelStreamInferResponse {
                        error_message: format!(
                            "{}: {}",
                            status::code_name(error.code()),
                            error.message()
                        ),
                        // Matches the error to its request.
                        infer_response: Some(ModelInferResponse {
                            id,
                            ..Default::default()
                        }),
                    },
                }
            }
        });
        Ok(Response::new(answers))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.see(&request.name, self.named(&request.name, &access))?;
        match self.pipeline(&request.name, &request.version)? {
            Some(served) => {
                let signature = served.signature.clone();
                Ok(Response::new(ModelConfigResponse {
                    config: Some(model_config(&request.name, PLATFORM, &signature)),
                }))
            }
            None => {
                let model = self
                    .registry
                    .model(&request.name, &request.version, &access)?;
                model.config(QUERY_TIMEOUT).await.map(Response::new)
            }
        }
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        let mut model_stats = Vec::new();
        if request.name.is_empty() {
            let pipelines = self.registry.pipelines();
            let seen = pipelines
                .iter()
                .filter(|(name, _)| access.sees(name, Named::Pipeline));
            model_stats.extend(seen.map(|(_, p)| p.statistics()));
            let models = self.registry.models();
            let asked = models.values();
            let asked = asked.filter(|model| access.sees(model.name(), Named::Model));
            let answers = join_all(asked.map(|m| m.statistics(QUERY_TIMEOUT))).await;
            // A model that does not answer is left out.
            model_stats.extend(answers.into_iter().flatten().flatten());
            return Ok(Response::new(ModelStatisticsResponse { model_stats }));
        }
        access.see(&request.name, self.named(&request.name, &access))?;
        if let Some(served) = self.pipeline(&request.name, &request.version)? {
            model_stats.push(served.statistics());
        } else {
            let model = self
                .registry
                .model(&request.name, &request.version, &access)?;
            model_stats = model.statistics(QUERY_TIMEOUT).await?;
        }
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let access = Access::of(request.extensions());
        let only_ready = request.into_inner().ready;
        let pipelines = self.registry.pipelines();
        let note = self.gateway.note();
        let note = note.map_or_else(String::new, |note| (*note).clone());
        let mut models: Vec<ModelIndex> = pipelines
            .iter()
            .filter(|(name, _)| access.sees(name, Named::Pipeline))
            .map(|(_, p)| ModelIndex {
                name: p.pipeline().name.clone(),
                version: p.pipeline().version.to_string(),
                state: READY.to_owned(),
                reason: note.clone(),
            })
            .collect();
        let known = self.registry.models();
        let sees = |name: &str| access.sees(name, Named::Model);
        let remote = || known.values().filter(|m| !m.is_local() && sees(m.name()));
        if let Some(service) = self.gateway.model_service() {
            let local = service.index().await?.into_iter();
            let local = local.filter(|model| model.state == READY || !only_ready);
            models.extend(local.filter(|model| sees(&model.name)));
        }
        let answers = join_all(remote().map(|m| m.ready(QUERY_TIMEOUT))).await;
        for (model, ready) in remote().zip(answers) {
            if ready || !only_ready {
                models.push(ModelIndex {
                    name: model.name().to_owned(),
                    version: model.version().to_owned(),
                    state: if ready { READY } else { "UNAVAILABLE" }.to_owned(),
                    reason: if ready {
                        String::new()
                    } else {
                        format!("{} does not answer that it is ready", model.address())
                    },
                });
            }
        }
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let deadline = Deadline::of(request.extensions());
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.note(&request.model_name);
        let service = self.service_of(&request.model_name)?;
        service.load(request, deadline).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let deadline = Deadline::of(request.extensions());
        let access = Access::of(request.extensions());
        let request = request.into_inner();
        access.note(&request.model_name);
        if self.registry.pipeline(&request.model_name).is_some() {
            let gateway = self.gateway.clone();
            let unload = move || gateway.unload(&request.model_name);
            return match tokio::task::spawn_blocking(unload).await {
                Ok(unloaded) => {
                    unloaded?;
                    Ok(Response::new(RepositoryModelUnloadResponse {}))
                }
                Err(_) => Err(status::internal("unloading the pipeline crashed").into()),
            };
        }
        let service = self.service_of(&request.model_name)?;
        service.unload(request, deadline).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }
}

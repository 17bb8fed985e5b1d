//! The Open Inference Protocol at the gateway: every pipeline is a model, and every model that
//! pipelines use can be called by its own name too.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use motet_proto::inference::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use motet_proto::inference::model_infer_request::InferRequestedOutputTensor;
use motet_proto::inference::repository_index_response::ModelIndex;
use motet_proto::inference::*;
use motet_proto::oip::{self, Named};
use motet_proto::signature::{PROPERTY, Port, Signature};
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;
use motet_runtime::deadline::Deadline;
use motet_runtime::status;
use tokio::time::Duration;
use tonic::{Request, Response, Status, Streaming};

use super::registry::{Registry, Served};
use super::signature;
use super::typed::STREAM_CONCURRENCY_MAX;
use crate::exec::{self, Mistake, Terms};

/// How long a model service may take to answer a question about itself.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// `platform` of a pipeline.
const PLATFORM: &str = "motet_pipeline";

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct OipGateway {
    registry: Arc<Registry>,
}

/// The service over `registry`, taking and giving messages of at most `message_bytes_max` bytes.
pub(super) fn server(
    registry: Arc<Registry>,
    message_bytes_max: usize,
) -> GrpcInferenceServiceServer<OipGateway> {
    GrpcInferenceServiceServer::new(OipGateway { registry })
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(message_bytes_max)
}

impl OipGateway {
    /// The pipeline `name` in the version asked for; `None` when it is not a pipeline.
    fn pipeline(&self, name: &str, version: &str) -> Result<Option<Arc<Served>>, Status> {
        let Some(served) = self.registry.pipeline(name) else {
            return Ok(None);
        };
        let own = served.plan.pipeline.version.to_string();
        if version.is_empty() || version == own {
            return Ok(Some(served));
        }
        let status = Status::from(status::not_found("version", version).pipeline(name));
        Err(status::reworded(
            &status,
            format!("pipeline {name} has version {own} and not {version}"),
        ))
    }

    async fn infer(
        self,
        request: ModelInferRequest,
        asked: Option<Deadline>,
    ) -> Result<ModelInferResponse, Status> {
        let asked = with_timeout_parameter(&request, asked)?;
        if let Some(served) = self.pipeline(&request.model_name, &request.model_version)? {
            let call = infer_pipeline(&served, request, asked);
            return served.oip.observe(call).await;
        }
        match self.registry.model(&request.model_name) {
            Some(backend) => backend.infer(request, asked).await,
            None => Err(self.registry.unknown_model(&request.model_name)),
        }
    }
}

/// The stricter of the caller's deadline and the request's `timeout` parameter, in microseconds.
fn with_timeout_parameter(
    request: &ModelInferRequest,
    asked: Option<Deadline>,
) -> Result<Option<Deadline>, Status> {
    let timeout = oip::integer_parameter(&request.parameters, TIMEOUT).map_err(bad_message)?;
    match timeout {
        None | Some(0) => Ok(asked),
        Some(us) => match u64::try_from(us) {
            Ok(us) => Ok(Some(
                Deadline::within(Duration::from_micros(us)).capped(asked),
            )),
            Err(_) => Err(status::invalid_argument(TIMEOUT, "must not be negative").into()),
        },
    }
}

/// Parameters of a request to a pipeline. Triton's clients add some of their own, which ask for
/// nothing here.
const PARAMETERS: [&str; 2] = [exec::PRIORITY, TIMEOUT];
const IGNORED_PARAMETERS: [&str; 4] = [
    "binary_data_output",
    "sequence_end",
    "sequence_id",
    "sequence_start",
];
const TIMEOUT: &str = "timeout";

fn known_parameters(request: &ModelInferRequest) -> Result<(), Vec<Mistake>> {
    let mistakes: Vec<Mistake> = request
        .parameters
        .keys()
        .map(String::as_str)
        .filter(|name| !PARAMETERS.contains(name) && !IGNORED_PARAMETERS.contains(name))
        .filter(|name| !name.starts_with("triton_"))
        .map(|name| {
            let known = PARAMETERS.join(", ");
            Mistake::wrong(
                name,
                format!("is not a parameter of a pipeline: there are {known}"),
            )
        })
        .collect();
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(mistakes)
    }
}

/// The request's `priority` parameter.
fn priority(request: &ModelInferRequest) -> Result<Option<i64>, Status> {
    match oip::integer_parameter(&request.parameters, exec::PRIORITY).map_err(bad_message)? {
        Some(value) if value < 0 => {
            Err(status::invalid_argument(exec::PRIORITY, "must not be negative").into())
        }
        priority => Ok(priority),
    }
}

fn bad_message(error: oip::MessageError) -> Status {
    status::invalid_argument(error.field(), error.to_string()).into()
}

async fn infer_pipeline(
    served: &Arc<Served>,
    mut request: ModelInferRequest,
    asked: Option<Deadline>,
) -> Result<ModelInferResponse, Status> {
    let pipeline = &served.plan.pipeline;
    let refused = |mistakes: Vec<Mistake>| exec::refuse(&pipeline.name, &mistakes);
    known_parameters(&request).map_err(refused)?;
    let (tensors, form) = oip::take_inputs(&mut request).map_err(bad_message)?;
    let signature = signature::signature(pipeline);
    let wanted = wanted_outputs(&signature, &request.outputs).map_err(refused)?;
    let tensors = in_order(served, tensors).map_err(refused)?;
    let inputs = exec::bind_inputs(&served.plan, tensors).map_err(refused)?;
    let terms = Terms {
        deadline: served.deadline(asked)?,
        priority: priority(&request)?,
    };
    let outcome = exec::run(&served.plan, inputs, terms).await?;
    let mut response = ModelInferResponse {
        model_name: pipeline.name.clone(),
        model_version: pipeline.version.to_string(),
        id: request.id,
        ..Default::default()
    };
    let tensors: Vec<Tensor> = outcome.outputs.into_iter().flatten().collect();
    let named = wanted
        .iter()
        .filter_map(|&at| Some((signature.outputs.get(at)?.name.as_str(), tensors.get(at)?)));
    oip::put_outputs(&mut response, named, form);
    Ok(response)
}

/// The tensors of a request in the pipeline's order.
fn in_order(served: &Served, tensors: Vec<Named>) -> Result<Vec<Option<Tensor>>, Vec<Mistake>> {
    let inputs = &served.plan.pipeline.inputs;
    let mut ordered = vec![None; inputs.len()];
    let mut mistakes = Vec::new();
    for (name, tensor) in tensors {
        let Some(at) = inputs.iter().position(|i| i.name == name) else {
            let known: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            let why = format!("is not an input: the inputs are {}", known.join(", "));
            mistakes.push(Mistake::wrong(name, why));
            continue;
        };
        match signature::from_wire(tensor, inputs[at].ty.element, inputs[at].ty.rank()) {
            Ok(tensor) => ordered[at] = Some(tensor),
            Err(why) => mistakes.push(Mistake::wrong(name, why)),
        }
    }
    if mistakes.is_empty() {
        Ok(ordered)
    } else {
        Err(mistakes)
    }
}

/// Which outputs a request asks for; none named is all.
fn wanted_outputs(
    signature: &Signature,
    requested: &[InferRequestedOutputTensor],
) -> Result<Vec<usize>, Vec<Mistake>> {
    if requested.is_empty() {
        return Ok((0..signature.outputs.len()).collect());
    }
    let mut mistakes = Vec::new();
    let mut wanted = Vec::with_capacity(requested.len());
    for output in requested {
        match signature.outputs.iter().position(|o| o.name == output.name) {
            Some(at) => wanted.push(at),
            None => {
                let known: Vec<&str> = signature.outputs.iter().map(|o| o.name.as_str()).collect();
                let why = format!("is not an output: the outputs are {}", known.join(", "));
                mistakes.push(Mistake::wrong(&output.name, why));
            }
        }
    }
    if mistakes.is_empty() {
        Ok(wanted)
    } else {
        Err(mistakes)
    }
}

/// Triton's name of an element type.
fn triton_type(element: ElementType) -> DataType {
    match element {
        ElementType::String | ElementType::Bytes => DataType::TypeString,
        ElementType::Bool => DataType::TypeBool,
        ElementType::I8 => DataType::TypeInt8,
        ElementType::I16 => DataType::TypeInt16,
        ElementType::I32 => DataType::TypeInt32,
        ElementType::I64 => DataType::TypeInt64,
        ElementType::U8 => DataType::TypeUint8,
        ElementType::U16 => DataType::TypeUint16,
        ElementType::U32 => DataType::TypeUint32,
        ElementType::U64 => DataType::TypeUint64,
        ElementType::F16 => DataType::TypeFp16,
        ElementType::BF16 => DataType::TypeBf16,
        ElementType::F32 => DataType::TypeFp32,
        ElementType::F64 => DataType::TypeFp64,
    }
}

/// Triton's configuration of a model with this signature. `max_batch_size` is 0: rows are batched
/// inside, across callers.
fn model_config(name: &str, platform: &str, signature: &Signature) -> ModelConfig {
    let input = |p: &Port| ModelInput {
        name: p.name.clone(),
        data_type: triton_type(p.ty.element).into(),
        dims: p.ty.oip_shape(),
    };
    let output = |p: &Port| ModelOutput {
        name: p.name.clone(),
        data_type: triton_type(p.ty.element).into(),
        dims: p.ty.oip_shape(),
    };
    ModelConfig {
        name: name.to_owned(),
        platform: platform.to_owned(),
        backend: platform.to_owned(),
        max_batch_size: 0,
        input: signature.inputs.iter().map(input).collect(),
        output: signature.outputs.iter().map(output).collect(),
        model_transaction_policy: Some(ModelTransactionPolicy { decoupled: false }),
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
        let ready = futures::future::join_all(
            self.registry
                .models()
                .values()
                .map(|m| m.ready(QUESTION_TIMEOUT)),
        );
        let ready = ready.await.into_iter().all(|ready| ready);
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let request = request.into_inner();
        let ready = match self.pipeline(&request.name, &request.version)? {
            Some(served) => {
                futures::future::join_all(served.plan.backends().map(|b| b.ready(QUESTION_TIMEOUT)))
                    .await
                    .into_iter()
                    .all(|ready| ready)
            }
            None => match self.registry.model(&request.name) {
                Some(model) => model.ready(QUESTION_TIMEOUT).await,
                None => return Err(self.registry.unknown_model(&request.name)),
            },
        };
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
        let request = request.into_inner();
        let (name, versions, platform, signature) =
            match self.pipeline(&request.name, &request.version)? {
                Some(served) => (
                    request.name,
                    vec![served.plan.pipeline.version.to_string()],
                    PLATFORM,
                    signature::signature(&served.plan.pipeline),
                ),
                None => {
                    let Some(model) = self.registry.model(&request.name) else {
                        return Err(self.registry.unknown_model(&request.name));
                    };
                    let (signature, versions) = model.signature(QUESTION_TIMEOUT).await?;
                    (request.name, versions, "motet_model", signature)
                }
            };
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions,
            platform: platform.to_owned(),
            inputs: signature.oip_inputs(),
            outputs: signature.oip_outputs(),
            properties: [(PROPERTY.to_owned(), signature.to_property())].into(),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let asked = Deadline::of(request.extensions());
        self.clone()
            .infer(request.into_inner(), asked)
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
        let answers = request
            .into_inner()
            .map(move |request| {
                let gateway = gateway.clone();
                async move {
                    let request = request?;
                    let id = request.id.clone();
                    Ok(match gateway.infer(request, asked).await {
                        Ok(response) => ModelStreamInferResponse {
                            infer_response: Some(response),
                            ..Default::default()
                        },
                        Err(error) => ModelStreamInferResponse {
                            error_message: error.message().to_owned(),
                            // Says which request it was.
                            infer_response: Some(ModelInferResponse {
                                id,
                                ..Default::default()
                            }),
                        },
                    })
                }
            })
            .buffer_unordered(STREAM_CONCURRENCY_MAX);
        Ok(Response::new(answers.boxed()))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let request = request.into_inner();
        match self.pipeline(&request.name, &request.version)? {
            Some(served) => {
                let signature = signature::signature(&served.plan.pipeline);
                Ok(Response::new(ModelConfigResponse {
                    config: Some(model_config(&request.name, PLATFORM, &signature)),
                }))
            }
            None => match self.registry.model(&request.name) {
                Some(model) => model.config(QUESTION_TIMEOUT).await.map(Response::new),
                None => Err(self.registry.unknown_model(&request.name)),
            },
        }
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let request = request.into_inner();
        let mut model_stats = Vec::new();
        if request.name.is_empty() {
            model_stats.extend(self.registry.pipelines().values().map(|p| p.statistics()));
            for model in self.registry.models().values() {
                // A model that does not answer is left out; its own call says why.
                model_stats.extend(model.statistics(QUESTION_TIMEOUT).await.unwrap_or_default());
            }
        } else if let Some(served) = self.pipeline(&request.name, &request.version)? {
            model_stats.push(served.statistics());
        } else if let Some(model) = self.registry.model(&request.name) {
            model_stats = model.statistics(QUESTION_TIMEOUT).await?;
        } else {
            return Err(self.registry.unknown_model(&request.name));
        }
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let only_ready = request.into_inner().ready;
        let pipelines = self.registry.pipelines();
        let mut models: Vec<ModelIndex> = pipelines
            .values()
            .map(|p| ModelIndex {
                name: p.plan.pipeline.name.clone(),
                version: p.plan.pipeline.version.to_string(),
                state: "READY".to_owned(),
                reason: String::new(),
            })
            .collect();
        for model in self.registry.models().values() {
            let ready = model.ready(QUESTION_TIMEOUT).await;
            if ready || !only_ready {
                models.push(ModelIndex {
                    name: model.model().to_owned(),
                    version: "1".to_owned(),
                    state: if ready { "READY" } else { "UNAVAILABLE" }.to_owned(),
                    reason: if ready {
                        String::new()
                    } else {
                        format!("{} does not answer that it is ready", model.place())
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
        Err(fixed(&request.into_inner().model_name))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        Err(fixed(&request.into_inner().model_name))
    }
}

/// Models are what the configuration says; pipelines have a service of their own for this.
fn fixed(name: &str) -> Status {
    status::failed_precondition(
        "models are loaded from the configuration at start; pipelines are loaded and unloaded \
         by motet.v1.Pipelines/Load and Unload",
    )
    .model(name)
    .into()
}

//! A model that the gateway calls, wherever it runs.
//!
//! The transport under the client is a channel to another process or the service of this one:
//! the same client code, the same messages and the same headers either way. Inference in this
//! process, which is what happens most, can leave out the wire form too (`in_process`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderName;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::inference::{
    ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelReadyRequest, ModelStatistics, ModelStatisticsRequest,
};
use motet_proto::oip::{VERSION, cost, first_not_finite, split_version};
use motet_proto::signature::{INSTANCE_PROPERTY, Signature};
use motet_runtime::config::{Destination, ErrorWords};
use motet_runtime::deadline::Deadline;
use motet_runtime::flow::Flow;
use motet_runtime::forward::Forwarded;
use motet_runtime::status;
use motet_runtime::status::{Reason, StatusBuilder};
use tonic::body::Body;
use tonic::{Request, Status};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::cache::SharedCache;
use super::in_process::Direct;
use crate::call::errors::{UpstreamInfo, for_operator};
use crate::call::transport::{self, BoxError, Transport, TransportError, outgoing};
use crate::call::{CallError, Callee, Failure, SharedLimits, Upstream};
use crate::compute::{compute, copying};
use crate::policy::breaker::BreakerOptions;

/// A model and the way to it. Cheap to clone.
#[derive(Clone)]
pub struct Backend {
    /// Its name in the configuration.
    model: Arc<str>,
    /// Name and version on the wire; an empty version is the service's choice.
    name: Arc<str>,
    version: Arc<str>,
    /// `model` and its name, for messages.
    shown: Arc<str>,
    address: Arc<str>,
    is_local: bool,
    errors: ErrorWords,
    /// Names of headers of callers that go along.
    forward: Arc<[HeaderName]>,
    client: GrpcInferenceServiceClient<Transport>,
    direct: Option<Direct>,
    message_bytes_max: usize,
    limits: Arc<SharedLimits>,
    is_motet: Arc<AtomicBool>,
    rows: Arc<SharedCache>,
}

/// Description of a model by its service.
#[derive(Clone, Debug)]
pub struct ModelDescription {
    /// The signature.
    pub signature: Signature,
    /// The versions.
    pub versions: Vec<String>,
    /// A text that is another one after each load; `None` from a service that is not motet's.
    pub instance: Option<String>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backend({} at {})", self.model, self.address)
    }
}

impl Backend {
    /// A model of a service in this process.
    pub fn local<S>(model: &str, service: S, message_bytes_max: usize) -> Self
    where
        S: tower::Service<http::Request<Body>, Response = http::Response<Body>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        let transport = BoxCloneSyncService::new(service.map_err(TransportError::new));
        Self::new(model, None, transport, message_bytes_max)
    }

    /// Inferences go to this method with the message itself instead of its wire form: large tensors
    /// are not copied. The limit of a message's size holds as before.
    #[must_use]
    pub fn with_method<M>(mut self, infer: M) -> Self
    where
        M: tower::Service<
                Request<ModelInferRequest>,
                Response = tonic::Response<ModelInferResponse>,
                Error = Status,
            > + Clone
            + Send
            + Sync
            + 'static,
        M::Future: Send,
    {
        self.direct = Some(Direct::new(infer, self.message_bytes_max));
        self
    }

    /// A model of the service of this process, whose method for inference is `infer`.
    pub(super) fn in_this_process(
        model: &str,
        transport: Transport,
        infer: Direct,
        message_bytes_max: usize,
    ) -> Self {
        Self {
            direct: Some(infer),
            ..Self::new(model, None, transport, message_bytes_max)
        }
    }

    /// A model of a service in another process. The connection is made at the first call, and
    /// again whenever it is lost. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the address makes no URI.
    pub fn remote(
        model: &str,
        destination: &Destination,
        message_bytes_max: usize,
    ) -> Result<Self, tonic::transport::Error> {
        let transport = transport::connect(destination)?;
        let address = destination.endpoint.to_string();
        let forward = destination.forward.iter();
        let forward = forward.filter_map(|name| HeaderName::try_from(name).ok());
        Ok(Self {
            forward: forward.collect(),
            ..Self::over(model, &address, transport, message_bytes_max)
        })
    }

    /// A model of a service at the other end of a transport.
    pub(crate) fn over(
        model: &str,
        address: &str,
        transport: Transport,
        message_bytes_max: usize,
    ) -> Self {
        Self::new(model, Some(address), transport, message_bytes_max)
    }

    /// The same model; `errors` is the visibility of the words of its service's errors.
    #[must_use]
    pub fn with_errors(mut self, errors: ErrorWords) -> Self {
        self.errors = errors;
        self
    }

    /// `address` is `None` for a service of this process.
    fn new(
        model: &str,
        address: Option<&str>,
        transport: Transport,
        message_bytes_max: usize,
    ) -> Self {
        let is_local = address.is_none();
        let address = address.unwrap_or("this process");
        let callee = Callee {
            kind: "model",
            name: model.to_owned(),
            address: address.to_owned(),
        };
        let probed = (!is_local).then(|| transport.clone());
        let client = GrpcInferenceServiceClient::new(transport)
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max);
        let (name, version) = split_version(model);
        Self {
            model: model.into(),
            name: name.into(),
            version: version.unwrap_or_default().into(),
            shown: format!("model {model}").into(),
            address: address.into(),
            is_local,
            errors: ErrorWords::default(),
            forward: Arc::default(),
            client,
            direct: None,
            message_bytes_max,
            limits: SharedLimits::new(callee, probed, BreakerOptions::default()),
            is_motet: Arc::default(),
            rows: Arc::default(),
        }
    }

    /// Returns whether a call that is made now carries headers of its caller: another caller's may
    /// be answered otherwise.
    pub(super) fn carries_headers(&self) -> bool {
        if self.forward.is_empty() {
            return false;
        }
        let forwarded = Forwarded::current();
        let mut names = self.forward.iter();
        names.any(|name| forwarded.values(name).next().is_some())
    }

    /// The model's name in the configuration, with its version where it has one there.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Its name on the wire, where the version is a field of its own.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, as far as the configuration says.
    pub fn version(&self) -> &str {
        if self.version.is_empty() {
            VERSION
        } else {
            &self.version
        }
    }

    /// The same model, in this version where the configuration leaves it open.
    #[must_use]
    pub fn at_version(&self, version: &str) -> Self {
        let mut other = self.clone();
        if self.version.is_empty() {
            other.version = version.into();
        }
        other
    }

    /// Returns whether it runs in this process.
    pub const fn is_local(&self) -> bool {
        self.is_local
    }

    /// Where it runs, for people: an endpoint or `this process`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the limits that all callers of the model share.
    pub fn limits(&self) -> &SharedLimits {
        &self.limits
    }

    /// Returns whether the model's service is a motet one, as its answers tell: others need not
    /// know motet's own parameters.
    pub fn is_motet(&self) -> bool {
        self.is_motet.load(Ordering::Relaxed)
    }

    /// Learns from an answer whether the service is a motet one.
    fn answered(&self, response: &ModelInferResponse) {
        let is_motet = response.parameters.contains_key(cost::QUEUE_US);
        if is_motet != self.is_motet() {
            self.is_motet.store(is_motet, Ordering::Relaxed);
        }
    }

    /// The rows of the model's answers that are kept for all who cache its calls.
    pub fn rows(&self) -> &Arc<SharedCache> {
        &self.rows
    }

    /// One inference. The model's name is filled in, and its version where the configuration says
    /// one; what is left until `deadline`, the current trace and the current flow go along.
    ///
    /// # Errors
    /// The service's error as it is passed on; DEADLINE_EXCEEDED when late; UNAVAILABLE when
    /// the service cannot be reached.
    pub async fn infer(
        &self,
        message: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<ModelInferResponse, Status> {
        let answer = self.request(message, deadline).await;
        answer.map_err(|e| self.error(&e))
    }

    /// One inference, whose error is that of the transport or of the service.
    async fn request(
        &self,
        mut message: ModelInferRequest,
        deadline: Option<Deadline>,
    ) -> Result<ModelInferResponse, Status> {
        message.model_name = self.name.to_string();
        if !self.version.is_empty() {
            message.model_version = self.version.to_string();
        }
        let call: BoxFuture<'_, _> = match &self.direct {
            Some(direct) => Box::pin(direct.infer(message, deadline)),
            None => {
                let mut client = self.client.clone();
                let mut request = outgoing(message, deadline);
                Flow::current().write(request.metadata_mut());
                Box::pin(async move { client.model_infer(request).await })
            }
        };
        let answer = match deadline {
            Some(deadline) => deadline.run(call).await,
            None => call.await,
        };
        let answer = answer.map(tonic::Response::into_inner)?;
        match self.is_local {
            // The service of this process looks at each row before it answers.
            true => Ok(answer),
            false => self.finite(answer).await,
        }
    }

    /// Returns the answer of a model in another process.
    ///
    /// # Errors
    /// INTERNAL when a number of it is infinite or none, with its row.
    async fn finite(&self, answer: ModelInferResponse) -> Result<ModelInferResponse, Status> {
        let bytes = answer.raw_output_contents.iter().map(bytes::Bytes::len);
        let work = copying(bytes.sum());
        let (answer, found) = compute(work, move |_| {
            let found = first_not_finite(&answer);
            let found = found.map(|found| (found.tensor.to_owned(), found.row));
            (answer, found)
        })
        .await?;
        let Some((tensor, row)) = found else {
            return Ok(answer);
        };
        let model = &*self.model;
        let message = format!("`{tensor}[{row}]` of the answer of model {model} is not finite");
        let error = StatusBuilder::new(Reason::ResultNotFinite, message);
        Err(error.model(model).into())
    }

    /// Returns whether the model is ready.
    pub async fn ready(&self, within: Duration) -> bool {
        let request = outgoing(
            ModelReadyRequest {
                name: self.name.to_string(),
                version: self.version.to_string(),
            },
            Some(Deadline::within(within)),
        );
        let mut client = self.client.clone();
        let call = async move { client.model_ready(request).await };
        Deadline::within(within)
            .run(call)
            .await
            .is_ok_and(|answer| answer.into_inner().ready)
    }

    /// Returns the signature of the model and its versions.
    ///
    /// # Errors
    /// As [`description`](Self::description).
    pub async fn signature(&self, within: Duration) -> Result<(Signature, Vec<String>), Status> {
        let description = self.description(within).await?;
        Ok((description.signature, description.versions))
    }

    /// Returns what the service states of the model.
    ///
    /// # Errors
    /// The service's own status, or FAILED_PRECONDITION when its metadata makes no signature.
    pub async fn description(&self, within: Duration) -> Result<ModelDescription, Status> {
        let deadline = Deadline::within(within);
        let request = outgoing(
            ModelMetadataRequest {
                name: self.name.to_string(),
                version: self.version.to_string(),
            },
            Some(deadline),
        );
        let mut client = self.client.clone();
        let call = async move { client.model_metadata(request).await };
        let mut metadata = deadline
            .run(call)
            .await
            .map_err(|e| for_operator(&e, "model", &self.model, &self.address))?
            .into_inner();
        let signature = Signature::from_metadata(&metadata).map_err(|e| {
            Status::from(
                status::failed_precondition(format!("model {}: {e}", self.model))
                    .model(&*self.model),
            )
        })?;
        Ok(ModelDescription {
            signature,
            versions: metadata.versions,
            instance: metadata.properties.remove(INSTANCE_PROPERTY),
        })
    }

    /// Triton's model configuration, as the service states it.
    ///
    /// # Errors
    /// The service's own status.
    pub async fn config(&self, within: Duration) -> Result<ModelConfigResponse, Status> {
        let deadline = Deadline::within(within);
        let request = outgoing(
            ModelConfigRequest {
                name: self.name.to_string(),
                version: self.version.to_string(),
            },
            Some(deadline),
        );
        let mut client = self.client.clone();
        let call = async move { client.model_config(request).await };
        deadline
            .run(call)
            .await
            .map(tonic::Response::into_inner)
            .map_err(|e| self.error(&e))
    }

    /// Counts and durations since the service started.
    ///
    /// # Errors
    /// The service's own status.
    pub async fn statistics(&self, within: Duration) -> Result<Vec<ModelStatistics>, Status> {
        let deadline = Deadline::within(within);
        let request = outgoing(
            ModelStatisticsRequest {
                name: self.name.to_string(),
                version: self.version.to_string(),
            },
            Some(deadline),
        );
        let mut client = self.client.clone();
        let call = async move { client.model_statistics(request).await };
        deadline
            .run(call)
            .await
            .map(|r| r.into_inner().model_stats)
            .map_err(|e| self.error(&e))
    }

    /// An error of the model's service, or of the way to it, as callers get it. In this process it
    /// is motet's own.
    fn error(&self, error: &Status) -> Status {
        if !self.is_local {
            return self.info().error(error);
        }
        // A service names its model itself.
        if status::read(error).metadata.contains_key("model") {
            return status::annotate(error, []);
        }
        status::annotate(error, [("model", &*self.model)])
    }
}

impl Upstream for Backend {
    type Request = ModelInferRequest;
    type Response = ModelInferResponse;

    fn kind(&self) -> &'static str {
        "model"
    }

    fn label(&self) -> &str {
        &self.model
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn info(&self) -> UpstreamInfo<'_> {
        UpstreamInfo {
            kind: "model",
            name: Some(&self.model),
            subject: &self.shown,
            message_bytes_max: self.message_bytes_max,
            errors: self.errors,
        }
    }

    fn limits(&self) -> &SharedLimits {
        &self.limits
    }

    async fn send(
        &self,
        message: ModelInferRequest,
        deadline: Deadline,
    ) -> Result<ModelInferResponse, CallError> {
        match self.request(message, Some(deadline)).await {
            Ok(answer) => {
                self.answered(&answer);
                Ok(answer)
            }
            Err(error) => Err(CallError {
                status: self.error(&error),
                failure: match self.is_local {
                    true => Failure::Answered,
                    false => Failure::of(&error, deadline),
                },
            }),
        }
    }
}

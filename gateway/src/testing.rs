//! Fake models behind real gRPC in this process, and pipelines that call them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use motet_config::{Colour, Diagnostics, Sources};
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{self, Encoding};
use motet_proto::signature::{Port, Signature};
use motet_proto::tensor::Tensor;
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::Metrics;
use tokio::time::Duration;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, ConnectError, Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::call::transport::{BoxError, TransportError};
use crate::check::{self, CheckedPipeline, SignatureError, SignatureSource};
use crate::exec::{
    OutputSelection, RequestLimits, RequestOutcome, bind_inputs, run, violation_status,
};
use crate::model::Backend;
use crate::plan::{Bind, Plan};
use crate::syntax;

/// Behaviour of a fake model: the answer to a request.
type Behaviour = Arc<
    dyn Fn(ModelInferRequest) -> BoxFuture<'static, Result<ModelInferResponse, Status>>
        + Send
        + Sync,
>;

/// State of the way to a fake model that is in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Requests arrive.
    Open,
    /// Connections are refused.
    Refused,
    /// Requests are swallowed.
    Silent,
}

/// The error of tonic's transport, of which a refused connection is the source.
#[derive(Debug, thiserror::Error)]
#[error("transport error")]
struct Refused(#[source] ConnectError);

/// A model behind a real gRPC service, whose behaviour the test supplies.
#[derive(Clone)]
pub(crate) struct FakeModel {
    behaviour: Behaviour,
    calls: Arc<Mutex<Vec<Seen>>>,
    way: Arc<Mutex<Way>>,
    /// Number of the next requests whose connection breaks.
    breaks: Arc<AtomicUsize>,
    /// Number of requests of any kind, probes included.
    arrivals: Arc<AtomicUsize>,
}

/// One call as the fake model received it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) inputs: Vec<(String, Tensor)>,
    pub(crate) timeout: Option<String>,
    pub(crate) parameters: Vec<String>,
    pub(crate) outputs: Vec<String>,
}

impl FakeModel {
    pub(crate) fn new<F>(behaviour: impl Fn(ModelInferRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<ModelInferResponse, Status>> + Send + 'static,
    {
        Self {
            behaviour: Arc::new(move |request| Box::pin(behaviour(request))),
            calls: Arc::default(),
            way: Arc::new(Mutex::new(Way::Open)),
            breaks: Arc::default(),
            arrivals: Arc::default(),
        }
    }

    /// Changes the way to the model, as [`remote`] sees it.
    pub(crate) fn set_way(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// Breaks the connections of the next `count` requests.
    pub(crate) fn break_next(&self, count: usize) {
        self.breaks.store(count, Ordering::SeqCst);
    }

    /// Returns the number of requests that were sent, probes included.
    pub(crate) fn arrivals(&self) -> usize {
        self.arrivals.load(Ordering::SeqCst)
    }

    /// Returns a model that answers each row with the length of its text in bytes.
    pub(crate) fn lengths() -> Self {
        Self::new(async |request| Ok(lengths_of(request)))
    }

    pub(crate) fn failing(code: Code) -> Self {
        Self::new(move |_| async move { Err(Status::new(code, "it broke")) })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.calls.lock().unwrap().clone()
    }
}

pub(crate) fn lengths_of(mut request: ModelInferRequest) -> ModelInferResponse {
    let (inputs, _) = oip::take_inputs(&mut request).unwrap();
    let text = &inputs.iter().find(|(name, _)| name == "text").unwrap().1;
    let lengths: Vec<f32> = text
        .as_strings()
        .unwrap()
        .iter()
        .map(|s| s.len() as f32)
        .collect();
    let size = Tensor::from_values(text.shape().to_vec(), lengths).unwrap();
    answer_with(&[("size", &size)])
}

pub(crate) fn answer_with(tensors: &[(&str, &Tensor)]) -> ModelInferResponse {
    let mut response = ModelInferResponse::default();
    oip::put_outputs(&mut response, tensors.iter().copied(), Encoding::Raw);
    response
}

impl tower::Service<http::Request<Body>> for FakeModel {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<http::Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let model = self.clone();
        self.arrivals.fetch_add(1, Ordering::SeqCst);
        match *self.way.lock().unwrap() {
            Way::Open => {}
            Way::Refused => {
                let refused = ConnectError("connection refused".into());
                return Box::pin(async { Err(Refused(refused).into()) });
            }
            Way::Silent => return Box::pin(std::future::pending()),
        }
        let breaks = |left: usize| left.checked_sub(1);
        if (self.breaks)
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, breaks)
            .is_ok()
        {
            let broken = std::io::Error::other("the connection broke");
            return Box::pin(async { Err(std::io::Error::other(broken).into()) });
        }
        if request.uri().path().ends_with("/Check") {
            return Box::pin(async { Ok(Status::unimplemented("no health").into_http()) });
        }
        let codec = ProstCodec::<ModelInferResponse, ModelInferRequest>::default();
        Box::pin(async move { Ok(Grpc::new(codec).unary(model, request).await) })
    }
}

impl UnaryService<ModelInferRequest> for FakeModel {
    type Response = ModelInferResponse;
    type Future = BoxFuture<'static, Result<Response<ModelInferResponse>, Status>>;

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let timeout = request
            .metadata()
            .get("grpc-timeout")
            .map(|t| t.to_str().unwrap().to_owned());
        let request = request.into_inner();
        let mut parameters: Vec<String> = request.parameters.keys().cloned().collect();
        parameters.sort();
        self.calls.lock().unwrap().push(Seen {
            inputs: oip::take_inputs(&mut request.clone()).unwrap().0,
            timeout,
            parameters,
            outputs: request.outputs.iter().map(|o| o.name.clone()).collect(),
        });
        let answer = (self.behaviour)(request);
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

/// Signatures of the pipelines that were checked before, and of models of [`OneSignature`].
#[derive(Default)]
struct KnownPlans(Vec<Arc<Plan>>);

impl KnownPlans {
    fn find(&self, name: &str) -> Option<&Arc<Plan>> {
        self.0.iter().find(|plan| plan.pipeline.name == name)
    }
}

impl SignatureSource for KnownPlans {
    fn model(&self, name: &str) -> Result<Arc<Signature>, SignatureError> {
        OneSignature.model(name)
    }

    fn pipeline(&self, name: &str) -> Result<Arc<CheckedPipeline>, SignatureError> {
        let plan = self.find(name);
        plan.map(|plan| plan.pipeline.clone())
            .ok_or_else(|| SignatureError::Unknown { known: Vec::new() })
    }
}

/// Bind targets: backends, and pipelines that were bound before.
struct Targets<'a> {
    backends: &'a [Backend],
    known: &'a KnownPlans,
}

impl Bind for Targets<'_> {
    fn model(&self, name: &str) -> Option<Backend> {
        self.backends.iter().find(|b| b.model() == name).cloned()
    }

    fn pipeline(&self, name: &str) -> Option<Arc<Plan>> {
        self.known.find(name).cloned()
    }
}

/// Signatures of models that map `text: string[N]` to `size: float[N]` and `spare: float[N]`.
pub(crate) struct OneSignature;

impl SignatureSource for OneSignature {
    fn model(&self, _: &str) -> Result<Arc<Signature>, SignatureError> {
        let port = |name: &str, ty: &str| Port::new(name, ty.parse().unwrap());
        Ok(Arc::new(Signature {
            inputs: vec![port("text", "string[N]")],
            outputs: vec![port("size", "float[N]"), port("spare", "float[N]")],
            parameters: vec![motet_proto::signature::Parameter::int("limit", 8, 1, 16)],
        }))
    }
}

pub(crate) fn plan(yaml: &str, models: &[(&str, &FakeModel)]) -> Arc<Plan> {
    let backends: Vec<Backend> = models
        .iter()
        .map(|(name, model)| backend(name, model))
        .collect();
    plan_over(yaml, &backends)
}

/// Returns the backend of a model in this process.
pub(crate) fn backend(name: &str, model: &FakeModel) -> Backend {
    Backend::local(name, model.clone(), 1 << 20)
}

/// Returns the backend of a model in another process.
pub(crate) fn remote(name: &str, model: &FakeModel) -> Backend {
    let transport = BoxCloneSyncService::new(model.clone().map_err(TransportError::new));
    Backend::over(name, "grpc://elsewhere:1", transport, 1 << 20)
}

/// Returns a pipeline over backends that may be shared.
pub(crate) fn plan_over(yaml: &str, backends: &[Backend]) -> Arc<Plan> {
    plan_counted(yaml, backends, &Metrics::new("test").unwrap())
}

/// Returns a pipeline with the metrics of the test.
pub(crate) fn plan_counted(yaml: &str, backends: &[Backend], metrics: &Metrics) -> Arc<Plan> {
    plan_calling(yaml, backends, &KnownPlans::default(), metrics)
}

/// Returns the last of some pipelines, each of which may call those before it.
pub(crate) fn plans_over(yaml: &[&str], backends: &[Backend]) -> Arc<Plan> {
    let metrics = Metrics::new("test").unwrap();
    let mut known = KnownPlans::default();
    for yaml in yaml {
        let plan = plan_calling(yaml, backends, &known, &metrics);
        known.0.push(plan);
    }
    known.0.pop().unwrap()
}

fn plan_calling(
    yaml: &str,
    backends: &[Backend],
    known: &KnownPlans,
    metrics: &Metrics,
) -> Arc<Plan> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add("test", "", yaml);
    let checked = motet_config::parse(&sources, file, &mut diagnostics)
        .and_then(|root| syntax::parse(&root, &mut diagnostics))
        .and_then(|spec| check::check(&spec, known, &mut diagnostics));
    let Some(checked) = checked.filter(|_| !diagnostics.has_errors()) else {
        panic!("{}", diagnostics.render(&sources, Colour::Never));
    };
    Plan::new(checked, Targets { backends, known }, metrics).unwrap()
}

pub(crate) async fn run_plan(
    plan: &Arc<Plan>,
    inputs: &[Tensor],
) -> Result<RequestOutcome, Status> {
    run_within(plan, inputs, Duration::from_secs(5)).await
}

/// Runs a plan like [`run_plan`], with a deadline.
pub(crate) async fn run_within(
    plan: &Arc<Plan>,
    inputs: &[Tensor],
    time: Duration,
) -> Result<RequestOutcome, Status> {
    let given = inputs.iter().cloned().map(Some).collect();
    let inputs = bind_inputs(plan, given).map_err(|m| violation_status(&plan.pipeline.name, &m))?;
    let limits = RequestLimits {
        deadline: Deadline::within(time),
        priority: Some(1),
    };
    run(plan, inputs, OutputSelection::All, limits).await
}

pub(crate) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.values::<f32>().unwrap().to_vec()
}

/// Returns the first value of an output.
pub(crate) fn value(outcome: &RequestOutcome, output: usize) -> Tensor {
    outcome.outputs[output][0].clone().unwrap()
}

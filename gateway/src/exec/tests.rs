use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use motet_proto::inference::{ModelInferRequest, ModelInferResponse};
use motet_proto::oip::{self, Form};
use motet_proto::signature::{Port, Signature};
use motet_proto::tensor::Tensor;
use motet_runtime::config::{Colour, Diagnostics, Sources};
use motet_runtime::deadline::Deadline;
use motet_runtime::metrics::Metrics;
use motet_runtime::status;
use tokio::sync::Barrier;
use tokio::time::Duration;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::*;
use crate::backend::Backend;
use crate::check::{self, SignatureError, SignatureSource};
use crate::spec;

/// What a fake model does with a request.
type Behaviour = Arc<
    dyn Fn(ModelInferRequest) -> BoxFuture<'static, Result<ModelInferResponse, Status>>
        + Send
        + Sync,
>;

/// A model behind a real gRPC service, with a behaviour that the test gives.
#[derive(Clone)]
struct FakeModel {
    behaviour: Behaviour,
    calls: Arc<Mutex<Vec<Seen>>>,
}

/// What a fake model saw of one call.
#[derive(Debug, Clone)]
struct Seen {
    inputs: Vec<(String, Tensor)>,
    timeout: Option<String>,
    parameters: Vec<String>,
    outputs: Vec<String>,
}

impl FakeModel {
    fn new<F>(behaviour: impl Fn(ModelInferRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<ModelInferResponse, Status>> + Send + 'static,
    {
        Self {
            behaviour: Arc::new(move |request| Box::pin(behaviour(request))),
            calls: Arc::default(),
        }
    }

    /// One float a row: the number of bytes of its text.
    fn lengths() -> Self {
        Self::new(async |request| Ok(lengths_of(request)))
    }

    fn failing(code: Code) -> Self {
        Self::new(move |_| async move { Err(Status::new(code, "it broke")) })
    }

    fn seen(&self) -> Vec<Seen> {
        self.calls.lock().unwrap().clone()
    }
}

fn lengths_of(mut request: ModelInferRequest) -> ModelInferResponse {
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

fn answer_with(tensors: &[(&str, &Tensor)]) -> ModelInferResponse {
    let mut response = ModelInferResponse::default();
    oip::put_outputs(&mut response, tensors.iter().copied(), Form::Raw);
    response
}

impl tower::Service<http::Request<Body>> for FakeModel {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let model = self.clone();
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

/// Every model takes `text: string[N]` and gives `size: float[N]` (and `spare: float[N]`).
struct OneSignature;

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

fn plan(yaml: &str, models: &[(&str, &FakeModel)]) -> Arc<Plan> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add("test", "", yaml);
    let checked = motet_runtime::config::parse(&sources, file, &mut diagnostics)
        .and_then(|root| spec::parse(&root, &mut diagnostics))
        .and_then(|spec| check::check(&spec, &OneSignature, &mut diagnostics));
    let Some(checked) = checked.filter(|_| !diagnostics.has_errors()) else {
        panic!("{}", diagnostics.render(&sources, Colour::Never));
    };
    let backends: HashMap<&str, Backend> = models
        .iter()
        .map(|(name, model)| (*name, Backend::local(name, (*model).clone(), 1 << 20)))
        .collect();
    let metrics = Metrics::new("test").unwrap();
    Plan::new(checked, |name| backends.get(name).cloned(), &metrics).unwrap()
}

async fn run_plan(plan: &Arc<Plan>, inputs: &[Tensor]) -> Result<Outcome, Status> {
    let given = inputs.iter().cloned().map(Some).collect();
    let inputs = bind_inputs(plan, given).map_err(|m| refuse(&plan.pipeline.name, &m))?;
    let terms = Terms {
        deadline: Deadline::within(Duration::from_secs(5)),
        priority: Some(1),
    };
    run(plan, inputs, terms).await
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.values::<f32>().unwrap().to_vec()
}

const TWO_SIDES: &str = "
pipeline: sides
inputs: { text: \"string[N]\" }
nodes:
  a: { model: left, in: { text: $text } }
  b: { model: right, in: { text: $text } }
outputs: { a: $a.size, b: $b.size }
";

#[tokio::test]
async fn independent_nodes_run_at_the_same_time() {
    // Neither answers before both were asked.
    let barrier = Arc::new(Barrier::new(2));
    let meet = FakeModel::new(move |request| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Ok(lengths_of(request))
        }
    });
    let plan = plan(TWO_SIDES, &[("left", &meet), ("right", &meet)]);
    let outcome = run_plan(&plan, &[Tensor::strings(["ab", ""])])
        .await
        .unwrap();
    assert_eq!(floats(&outcome.outputs[0][0]), [2.0, 0.0]);
    assert_eq!(floats(&outcome.outputs[1][0]), [2.0, 0.0]);
    assert_eq!(outcome.records.len(), 2);
}

#[tokio::test]
async fn a_list_of_none_is_answered_without_a_call() {
    let model = FakeModel::lengths();
    let plan = plan(TWO_SIDES, &[("left", &model), ("right", &model)]);
    let outcome = run_plan(&plan, &[Tensor::strings::<&str>([])])
        .await
        .unwrap();
    assert_eq!(outcome.outputs[0][0].shape(), [0]);
    assert!(model.seen().is_empty());
}

#[tokio::test]
async fn a_scalar_goes_as_a_list_of_one_and_comes_back_as_a_scalar() {
    let model = FakeModel::lengths();
    let plan = plan(
        "
pipeline: lifted
inputs: { text: string, limit: { type: int, default: 3 } }
nodes:
  a: { model: m, in: { text: $text }, with: { limit: $limit } }
outputs: { size: $a.size }
",
        &[("m", &model)],
    );
    let outcome = run_plan(&plan, &[Tensor::scalar_string("abc"), Tensor::scalar(4i64)])
        .await
        .unwrap();
    assert_eq!(outcome.outputs[0][0].shape(), [0; 0]);
    assert_eq!(floats(&outcome.outputs[0][0]), [3.0]);
    let seen = &model.seen()[0];
    assert_eq!(seen.inputs[0].1.shape(), [1]);
    assert_eq!(seen.parameters, ["limit", "priority"]);
    assert_eq!(
        seen.outputs,
        ["size"],
        "what nothing reads is not asked for"
    );
    assert!(
        seen.timeout.is_some(),
        "what is left of the deadline goes along"
    );

    let error = run_plan(
        &plan,
        &[Tensor::scalar_string("abc"), Tensor::scalar(17i64)],
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(
        error.message(),
        "limit: 17 is out of range: it must be from 1 to 16, as node a needs it"
    );
}

#[tokio::test]
async fn a_failure_names_pipeline_node_and_model_and_ends_the_rest() {
    /// Counts when it is dropped.
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let endless = {
        let dropped = dropped.clone();
        FakeModel::new(move |_| {
            let guard = Dropped(dropped.clone());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
    };
    let failing = FakeModel::failing(Code::Unavailable);
    let plan = plan(TWO_SIDES, &[("left", &endless), ("right", &failing)]);
    let error = run_plan(&plan, &[Tensor::strings(["x"])])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(
        error.message(),
        "node b: model right at this process cannot be reached"
    );
    let metadata = status::read(&error).metadata;
    for (key, value) in [("pipeline", "sides"), ("node", "b"), ("model", "right")] {
        assert_eq!(metadata[key], value);
    }
    assert_eq!(
        dropped.load(Ordering::SeqCst),
        1,
        "the other call was cancelled"
    );
}

const WITH_SUBSTITUTE: &str = "
pipeline: forgiving
inputs: { text: \"string[N]\" }
nodes:
  a: { model: left, in: { text: $text } }
  b: { model: right, in: { text: $text }, on_error: { use: { size: $a.size }, mark: degraded } }
outputs: { b: $b.size }
";

#[tokio::test]
async fn a_substitute_stands_in_for_a_failed_node() {
    let failing = FakeModel::failing(Code::Internal);
    let good = FakeModel::lengths();
    let forgiving = plan(WITH_SUBSTITUTE, &[("left", &good), ("right", &failing)]);
    let outcome = run_plan(&forgiving, &[Tensor::strings(["abcd"])])
        .await
        .unwrap();
    assert_eq!(floats(&outcome.outputs[0][0]), [4.0]);
    let degraded = outcome
        .records
        .iter()
        .find(|r| r.degraded.is_some())
        .unwrap();
    assert_eq!(forgiving.pipeline.nodes[degraded.node].name, "b");
    assert_eq!(degraded.degraded.as_deref(), Some("node b: it broke"));

    let none_works = plan(WITH_SUBSTITUTE, &[("left", &failing), ("right", &failing)]);
    let error = run_plan(&none_works, &[Tensor::strings(["abcd"])])
        .await
        .unwrap_err();
    assert_eq!(error.message(), "node a: it broke");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_names_what_was_still_running() {
    let endless = FakeModel::new(|_| std::future::pending());
    let good = FakeModel::lengths();
    let plan = plan(TWO_SIDES, &[("left", &endless), ("right", &good)]);
    let error = run_plan(&plan, &[Tensor::strings(["x"])])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(status::read(&error).metadata["pipeline"], "sides");
    assert_eq!(status::read(&error).metadata["node"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_node_has_a_deadline_of_its_own() {
    let endless = FakeModel::new(|_| std::future::pending());
    let good = FakeModel::lengths();
    let yaml = WITH_SUBSTITUTE.replace("on_error:", "deadline: 20ms, on_error:");
    let plan = plan(&yaml, &[("left", &good), ("right", &endless)]);
    let started = tokio::time::Instant::now();
    let outcome = run_plan(&plan, &[Tensor::strings(["ab"])]).await.unwrap();
    assert_eq!(floats(&outcome.outputs[0][0]), [2.0]);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "in virtual time"
    );
}

#[tokio::test]
async fn answers_that_break_the_promise_are_the_models_fault() {
    let give = |name: &'static str, tensor: Tensor| {
        FakeModel::new(move |_| {
            let response = answer_with(&[(name, &tensor)]);
            async move { Ok(response) }
        })
    };
    let list = |n: usize| Tensor::from_values(vec![n], vec![0f32; n]).unwrap();
    let good = FakeModel::lengths();
    for (model, why) in [
        (
            give("other", list(1)),
            "node a got a wrong answer: tensor `size` is missing",
        ),
        (
            give("size", Tensor::scalar(1i64)),
            "node a got a wrong answer: tensor `size`: elements are int, not float",
        ),
        (
            give("size", list(3)),
            "node a gave a tensor `size` that has length 3 in dimension 0, but must have 1, \
             which is N in this request",
        ),
    ] {
        let plan = plan(TWO_SIDES, &[("left", &model), ("right", &good)]);
        let error = run_plan(&plan, &[Tensor::strings(["x"])])
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert_eq!(error.message(), format!("node a: {why}"));
    }
}

#[tokio::test]
async fn the_critical_path_follows_the_slower_side() {
    let yaml = "
pipeline: path
inputs: { text: \"string[N]\" }
nodes:
  fast: { model: left, in: { text: $text } }
  slow: { model: right, in: { text: $text } }
  all:  { op: concat, in: { a: $fast.size, b: $slow.size } }
  best: { op: topk, in: { score: $all.out }, with: { k: 2 } }
outputs: { index: $best.index }
";
    // `slow` answers only after `fast` has.
    let (done, wait) = tokio::sync::watch::channel(false);
    let done = Arc::new(done);
    let fast = FakeModel::new(move |request| {
        done.send_replace(true);
        async move { Ok(lengths_of(request)) }
    });
    let slow = FakeModel::new(move |request| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|done| *done).await.unwrap();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            Ok(lengths_of(request))
        }
    });
    let plan = plan(yaml, &[("left", &fast), ("right", &slow)]);
    let outcome = run_plan(&plan, &[Tensor::strings(["a", "bbb"])])
        .await
        .unwrap();
    let names: Vec<&str> = critical_path(&plan, &outcome.records)
        .into_iter()
        .map(|n| plan.pipeline.nodes[n].name.as_str())
        .collect();
    assert_eq!(names, ["slow", "all", "best"]);
    assert_eq!(*outcome.outputs[0][0].values::<i32>().unwrap(), [1, 3]);
}

//! One server for all tests of this binary, on one runtime.

use std::future::Future;
use std::sync::OnceLock;

use motet_config::{Diagnostics, Sources};
use motet_proto::Tensor;
use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::ModelInferResponse;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::oip;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::{Limits, Loader, LocalService, ModelServer};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// `max_batch_tokens` keeps batches small; `counted` is for the test that counts calls.
pub(crate) const CONFIG: &str = r#"
models:
  chunker:  { task: preprocess, tokenizer: minilm }
  minilm:   { task: embed, source: "builtin:all-minilm-l6-v2", batcher: { max_batch_tokens: 512 } }
  cls:
    task: embed
    source: "builtin:all-minilm-l6-v2"
    pooling: cls
    normalize: false
    batcher: { max_batch_tokens: 64 }
  tokens:
    task: embed_tokens
    source: "builtin:all-minilm-l6-v2"
    max_tokens: 8
    batcher: { max_batch_tokens: 64 }
  reranker: { task: rerank, source: "builtin:all-minilm-l6-v2", batcher: { max_batch_tokens: 64 } }
  counted:
    task: embed
    source: "builtin:all-minilm-l6-v2"
    batcher: { max_batch_tokens: 64, policy: greedy }
"#;

pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;

pub(crate) const LIMITS: Limits = Limits {
    rows: 200,
    text_bytes: 64 << 10,
    bytes: 128 << 10,
    token_vectors: 400,
};

pub(crate) type Client = GrpcInferenceServiceClient<LocalService>;

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Runtime::new().expect("a runtime"))
        .block_on(test)
}

pub(crate) async fn load(config: &str, metrics: &Metrics, health: &Health) -> ModelServer {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let tasks = motet_service::Tasks::builtin();
    let models =
        motet_service::spec::read_text("test.yaml", config, &tasks, &mut sources, &mut diagnostics);
    let resolved = motet_service::check(&models, &sources, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{:?}", diagnostics.sorted());
    let loader = Loader::new(metrics.clone(), health.clone()).unwrap();
    let models = loader.with_limits(LIMITS).load_all(resolved).await;
    ModelServer::new(models.unwrap())
}

/// Returns the server that all tests share.
pub(crate) async fn server() -> &'static ModelServer {
    static SERVER: OnceCell<ModelServer> = OnceCell::const_new();
    let load = || async { load(CONFIG, &Metrics::new("test").unwrap(), &Health::new()).await };
    SERVER.get_or_init(load).await
}

pub(crate) async fn client() -> Client {
    client_of(server().await)
}

pub(crate) fn client_of(server: &ModelServer) -> Client {
    GrpcInferenceServiceClient::new(server.local(MESSAGE_BYTES_MAX))
}

/// Returns a request with raw tensors.
pub(crate) fn request(model: &str, inputs: &[(&str, Tensor)]) -> ModelInferRequest {
    let mut request = ModelInferRequest {
        model_name: model.to_owned(),
        ..ModelInferRequest::default()
    };
    let inputs = inputs.iter().map(|(name, tensor)| (*name, tensor));
    oip::put_inputs(&mut request, inputs);
    request
}

pub(crate) fn texts(texts: &[&str]) -> (&'static str, Tensor) {
    ("text", Tensor::strings(texts))
}

pub(crate) fn query(text: &str) -> (&'static str, Tensor) {
    ("query", Tensor::strings([text]))
}

/// Returns the named tensor of a response.
pub(crate) fn output(response: &ModelInferResponse, name: &str) -> Tensor {
    let tensors = oip::take_outputs(&mut response.clone()).unwrap();
    let found = tensors.into_iter().find(|(n, _)| n == name);
    found.unwrap_or_else(|| panic!("no output {name}")).1
}

pub(crate) async fn infer(request: ModelInferRequest) -> ModelInferResponse {
    client()
        .await
        .model_infer(request)
        .await
        .unwrap()
        .into_inner()
}

pub(crate) fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0, f32::max);
    assert!(worst < 1e-5, "differ by {worst}");
}

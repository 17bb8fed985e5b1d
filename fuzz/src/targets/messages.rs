//! Messages of clients and of other servers.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use motet_gateway::check::{SignatureError, SignatureSource};
use motet_gateway::grpc::Endpoints;
use motet_gateway::protobuf::{BytesCodec, DynamicShapes, descriptors};
use motet_gateway::serve::{Gateway, GatewayParts, ReflectedServices};
use motet_proto::signature::Signature;
use motet_proto::tensor::Tensor;
use motet_proto::types::ElementType;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_runtime::routes::LiveRoutes;
use prost_reflect::DynamicMessage;
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

struct NoModels;

impl SignatureSource for NoModels {
    fn model(&self, _: &str) -> Result<Arc<Signature>, SignatureError> {
        Err(SignatureError::Unknown { known: Vec::new() })
    }
}

/// A pipeline with inputs of many types, which it also answers with.
const PIPELINE: &str = r#"
pipeline: fuzz
inputs:
  text: "string[N]"
  raw: { type: "bytes[M]", optional: true }
  small: { type: "i8[K]", optional: true }
  half: { type: "f16[L]", optional: true }
  matrix: { type: "float[A,B]", optional: true }
  cube: { type: "i64[C,D,E]", optional: true }
  flag: { type: bool, default: true }
  count: { type: i64, default: 3, min: 0, max: 10 }
nodes:
  joined: { op: template, in: { t: $text }, with: { text: "<{t}>" } }
outputs: { out: $joined.out, matrix: $matrix, cube: $cube, small: $small, half: $half, raw: $raw }
"#;

/// A gateway with one pipeline, and a runtime of this thread.
struct Server {
    runtime: Runtime,
    routes: LiveRoutes,
}

static SERVER: LazyLock<Result<Server, String>> = LazyLock::new(|| {
    let message_bytes_max = 4 << 20;
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let gateway = Gateway::new(GatewayParts {
        models: Vec::new(),
        model_service: None,
        signatures: Arc::new(NoModels),
        pipelines: Vec::new(),
        unseen: Default::default(),
        endpoints: Arc::new(Endpoints::new([], message_bytes_max)),
        message_bytes_max,
        metrics: Metrics::new("fuzz").map_err(|e| said(&e))?,
        health: Health::new(),
    });
    let gateway = gateway.map_err(|e| said(&e))?;
    let loaded = gateway.load(PIPELINE, &ReflectedServices::default());
    loaded.map_err(|e| said(&e))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    Ok(Server {
        runtime: runtime.map_err(|e| said(&e))?,
        routes: gateway.routes(),
    })
});

/// Calls a method with the bytes of a message. An error is an answer.
fn call(method: &'static str, input: &[u8]) {
    let server = match &*SERVER {
        Ok(server) => server,
        Err(error) => panic!("the gateway of the target does not start: {error}"),
    };
    let message = Bytes::copy_from_slice(input);
    let routes = server.routes.clone();
    let answer = server.runtime.block_on(async move {
        let mut grpc = Grpc::new(routes);
        let path = PathAndQuery::from_static(method);
        grpc.unary(tonic::Request::new(message), path, BytesCodec)
            .await
    });
    if let Err(error) = answer {
        let shown = error.message();
        assert!(!shown.contains("panicked"), "{shown}");
    }
}

/// A request by the Open Inference Protocol.
pub(super) fn oip_request(input: &[u8]) {
    call("/inference.GRPCInferenceService/ModelInfer", input);
}

/// A request of a typed service.
pub(super) fn typed_request(input: &[u8]) {
    call("/motet.pipeline.Fuzz/Run", input);
}

/// Raw contents of a tensor: a byte for its type, one for its dimensions, one for each of these,
/// and its elements.
pub(super) fn raw_tensor(input: &[u8]) {
    const NAMES: [&str; 14] = [
        "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16",
        "BF16", "FP32", "FP64", "BYTES",
    ];
    let [element, rank, rest @ ..] = input else {
        return;
    };
    let Some(element) = ElementType::from_oip(NAMES[usize::from(*element) % NAMES.len()]) else {
        return;
    };
    let rank = usize::from(*rank % 5).min(rest.len());
    let (dims, data) = rest.split_at(rank);
    let shape = dims.iter().map(|d| usize::from(*d)).collect();
    let Ok(tensor) = Tensor::from_raw(element, shape, Bytes::copy_from_slice(data)) else {
        return;
    };
    if let Ok(rows) = tensor.to_rows() {
        assert_eq!(rows.len(), tensor.rows());
        if !rows.is_empty() {
            assert_eq!(Tensor::stack(rows).ok().as_ref(), Some(&tensor));
        }
    }
    if let Ok(text) = tensor.clone().into_text(ElementType::String) {
        let _ = text.as_strings().map(|strings| strings.texts().count());
    }
}

/// A file of descriptors, and a message of each of its types.
pub(super) fn descriptors(input: &[u8]) {
    let Ok(pool) = descriptors::from_bytes(input) else {
        return;
    };
    for service in pool.services() {
        let json = descriptors::to_json(&service);
        let _ = descriptors::from_json(service.full_name(), json);
    }
    for message in pool.all_messages().take(16) {
        if DynamicShapes::new(&message).scan(input).is_ok() {
            let _ = DynamicMessage::decode(message, input);
        }
    }
}

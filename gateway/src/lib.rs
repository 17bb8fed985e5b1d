//! Pipelines: parse, check, plan, execute and serve graphs of model calls.
//!
//! The rooms, from the ground up. A room imports only from rooms that stand on a lower floor;
//! `tests/rooms.rs` checks it.
//!
//! | floor | room | what it holds |
//! |---|---|---|
//! | 0 | [`scalar`] | a single value of no element type yet |
//! | 0 | [`compute`] | computations beside the async runtime, and their cancellation |
//! | 0 | [`policy`] | policies of calls as plain state: backoff, breaker, token bucket, latencies |
//! | 0 | [`protobuf`] | messages whose type is known at run time, and tensors in them |
//! | 1 | [`call`] | the policies and their settings, and one call under them |
//! | 2 | [`syntax`] | a pipeline file as written |
//! | 3 | [`grpc`] | methods of gRPC servers outside |
//! | 3 | [`ops`] | steps that run inside the gateway |
//! | 4 | [`check`] | a pipeline's meaning: every mistake of a file, or a checked pipeline |
//! | 4 | [`schema`] | the JSON schema of pipeline files |
//! | 5 | [`model`] | models as nodes call them: client, cache, backend |
//! | 6 | [`plan`] | a checked pipeline bound to what it calls, with what is learnt of its nodes |
//! | 7 | [`exec`] | the run of one request through a plan |
//! | 8 | [`serve`] | the gRPC surfaces, and loading pipelines |
//!
//! # Example
//!
//! A gateway without models, and a pipeline of one op, called without a port:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use motet_gateway::check::{SignatureError, SignatureSource};
//! use motet_gateway::grpc::Endpoints;
//! use motet_gateway::serve::{Gateway, GatewayParts, ReflectedServices};
//! use motet_proto::Tensor;
//! use motet_proto::inference::ModelInferRequest;
//! use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
//! use motet_proto::oip::{put_inputs, take_outputs};
//! use motet_proto::signature::Signature;
//! use motet_runtime::health::Health;
//! use motet_runtime::metrics::Metrics;
//!
//! struct NoModels;
//!
//! impl SignatureSource for NoModels {
//!     fn model(&self, _: &str) -> Result<Arc<Signature>, SignatureError> {
//!         Err(SignatureError::Unknown { known: Vec::new() })
//!     }
//! }
//!
//! let message_bytes_max = 4 << 20;
//! let gateway = Gateway::new(GatewayParts {
//!     models: Vec::new(),
//!     model_service: None,
//!     signatures: Arc::new(NoModels),
//!     pipelines: Vec::new(),
//!     unseen: Default::default(),
//!     endpoints: Arc::new(Endpoints::new([], message_bytes_max)),
//!     message_bytes_max,
//!     metrics: Metrics::new("example")?,
//!     health: Health::new(),
//! })?;
//! let yaml = r#"
//! pipeline: best
//! inputs: { score: "float[N]" }
//! nodes: { top: { op: topk, in: { score: $score }, with: { k: 1 } } }
//! outputs: { index: $top.index }
//! "#;
//! gateway.load(yaml, &ReflectedServices::default())?;
//!
//! let mut request = ModelInferRequest { model_name: "best".to_owned(), ..Default::default() };
//! put_inputs(&mut request, [("score", &Tensor::from_values(vec![3], vec![0.1f32, 0.9, 0.4])?)]);
//! let mut client = GrpcInferenceServiceClient::new(gateway.routes());
//! let mut response = client.model_infer(request).await?.into_inner();
//! let outputs = take_outputs(&mut response)?;
//! assert_eq!(outputs, [("index".to_owned(), Tensor::from_values(vec![1], vec![1i32])?)]);
//! # Ok(())
//! # }
//! ```

// Before the rooms, which apply its list of kinds.
#[macro_use]
pub mod kinds;

pub mod call;
pub mod check;
pub mod compute;
pub mod exec;
pub mod grpc;
pub mod model;
pub mod ops;
pub mod plan;
pub mod policy;
pub mod protobuf;
pub mod scalar;
pub mod schema;
pub mod serve;
pub mod syntax;

#[cfg(test)]
mod testing;

//! The model service: models of a configuration, each behind its own batcher, served over the
//! Open Inference Protocol.
//!
//! The modules in the order in which a request passes them. Each uses only those below it, which a
//! test holds (`tests/directions.rs`):
//!
//! * `server`: [`ModelServer`], the gRPC service for a set of models, and [`LocalService`] for
//!   callers in the same process.
//! * `repository`: [`Repository`], which loads, replaces and unloads models meanwhile.
//! * `registry`: [`Models`], the models of this moment.
//! * `loader`: [`Loader`], from a [`ResolvedModel`] to a running [`Model`].
//! * `memory_budget`: whether a model fits into memory, before it is read.
//! * `model`: [`Model`], which admits, times and counts calls.
//! * `resolve`: [`Resolver`] and [`check`], a model of the configuration against the model's own
//!   files, without reading weights.
//! * [`spec`]: the key `models` of a configuration.
//! * `text`, `image`: the tasks that come with motet, on texts and on images.
//! * [`task`]: a task as a type, and calls and batches of any.
//! * `request`: parameters and tensors of a request against the signature, and its response.
//! * `observer`: the batcher's events as metrics and health.
//! * `model_health`: the health entry of a model's name, which its successor takes over.
//! * `identity`: [`Identity`], what a model was loaded from.
//! * `statistics`: the protocol's totals of a model; `status_of`: failures as gRPC statuses.
//!
//! The ground, which uses none of the above:
//!
//! * `limits`: [`Limits`] of a call; `call_cost`: where the time of a call went.
//! * `cpu_pool`: threads for tokenizing and other work that must not run on the async runtime.
//! * `core_permits`: the processor's cores, which batches acquire before they compute.
//! * `hub_sources`: [`HubSources`], repositories of a hub.
//! * `in_flight`: calls in flight, which a drain waits for; `trace`: the spans of a call.
//!
//! # Example
//!
//! One model from a configuration to an answer, without a port:
//!
//! ```
//! # #[cfg(feature = "builtin")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use motet_config::{Diagnostics, Sources};
//! use motet_proto::Tensor;
//! use motet_proto::inference::ModelInferRequest;
//! use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
//! use motet_proto::oip::{put_inputs, take_outputs};
//! use motet_runtime::health::Health;
//! use motet_runtime::metrics::Metrics;
//! use motet_service::{Loader, ModelServer, Tasks, check, spec};
//!
//! let yaml = r#"models: { minilm: { task: embed, source: "builtin:all-minilm-l6-v2" } }"#;
//! let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
//! let tasks = Tasks::builtin();
//! let models = spec::read_text("example.yaml", yaml, &tasks, &mut sources, &mut diagnostics);
//! let resolved = check(&models, &sources, &mut diagnostics);
//! assert!(!diagnostics.has_errors());
//!
//! let loader = Loader::new(Metrics::new("example")?, Health::new())?;
//! let server = ModelServer::new(loader.load_all(resolved).await?);
//!
//! let mut request = ModelInferRequest { model_name: "minilm".to_owned(), ..Default::default() };
//! put_inputs(&mut request, [("text", &Tensor::strings(["How do vaccines work?"]))]);
//! let mut client = GrpcInferenceServiceClient::new(server.local(4 << 20));
//! let mut response = client.model_infer(request).await?.into_inner();
//! let outputs = take_outputs(&mut response)?;
//! assert_eq!(outputs[0].0, "embedding");
//! assert_eq!(outputs[0].1.shape(), [1, 384]);
//! server.drain().await;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "builtin"))]
//! # fn main() {}
//! ```

mod call_cost;
mod core_permits;
mod cpu_pool;
mod hub_sources;
mod identity;
mod image;
mod in_flight;
mod limits;
mod loader;
mod memory_budget;
mod model;
mod model_health;
mod observer;
mod per_encoder;
mod registry;
mod repository;
mod request;
mod resolve;
mod server;
pub mod spec;
mod statistics;
mod status_of;
pub mod task;
mod text;
mod token_vectors;
mod trace;

#[cfg(test)]
mod tests;

pub use motet_models::TokenizerCache;

pub use hub_sources::{HubSources, UsedRepository};
pub use identity::Identity;
pub use limits::Limits;
pub use loader::{LoadError, Loader};
pub use memory_budget::{MemoryLimit, NotEnoughMemory};
pub use model::Model;
pub use registry::Models;
pub use repository::{Batch, Change, FindModel, FoundModel, Loaded, ModelUsers, Repository};
pub use resolve::{ResolvedModel, Resolver, check};
pub use server::{LocalService, ModelServer};
pub use task::{Problem, TaskKind, Tasks};
pub use text::{HypothesisTemplate, Truncate};

//! Memory that small pipelines take while they are loaded, and what is left of them in memory and
//! in the metrics once they are unloaded:
//!
//! ```sh
//! cargo run --release -p motet-gateway --example pipeline_memory -- 1000
//! ```

use std::alloc::System;
use std::error::Error;
use std::sync::Arc;

use motet_gateway::check::{SignatureError, SignatureSource};
use motet_gateway::grpc::Endpoints;
use motet_gateway::serve::{Gateway, GatewayParts, ReflectedServices};
use motet_proto::Tensor;
use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::oip::put_inputs;
use motet_proto::signature::Signature;
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Memory that a small pipeline may take.
const BYTES_MAX: isize = 100_000;

struct NoModels;

impl SignatureSource for NoModels {
    fn model(&self, _: &str) -> Result<Arc<Signature>, SignatureError> {
        Err(SignatureError::Unknown { known: Vec::new() })
    }
}

fn held(region: &Region<'_, System>) -> isize {
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(200), |n| n.parse())?;
    let message_bytes_max = 4 << 20;
    let metrics = Metrics::new("pipeline_memory")?;
    let gateway = Gateway::new(GatewayParts {
        models: Vec::new(),
        model_service: None,
        signatures: Arc::new(NoModels),
        pipelines: Vec::new(),
        unseen: Default::default(),
        endpoints: Arc::new(Endpoints::new([], message_bytes_max)),
        message_bytes_max,
        metrics: metrics.clone(),
        health: Health::new(),
    })?;
    let yaml = |name: &str| {
        format!(
            "pipeline: {name}\ninputs: {{ score: \"float[N]\" }}\n\
             nodes: {{ top: {{ op: topk, in: {{ score: $score }}, with: {{ k: 1 }} }} }}\n\
             outputs: {{ index: $top.index }}\n"
        )
    };
    // Memory that is taken once is not counted.
    gateway.load(&yaml("first"), &ReflectedServices::default())?;
    let lines_before = metrics.render()?.lines().count();
    let region = Region::new(ALLOCATOR);
    let names: Vec<String> = (0..count).map(|i| format!("p{i}")).collect();
    for name in &names {
        gateway.load(&yaml(name), &ReflectedServices::default())?;
    }
    let loaded = held(&region);
    for name in &names {
        let mut request = ModelInferRequest {
            model_name: name.clone(),
            ..Default::default()
        };
        put_inputs(
            &mut request,
            [("score", &Tensor::from_values(vec![1], vec![0.5f32])?)],
        );
        let mut client = GrpcInferenceServiceClient::new(gateway.routes());
        client.model_infer(request).await?;
    }
    let called = held(&region);
    let series = metrics.render()?.lines().count() - lines_before;
    for name in &names {
        gateway.unload(name)?;
    }
    let unloaded = held(&region);
    let kept = metrics.render()?.lines().count() - lines_before;
    let each = |bytes: isize| bytes / count as isize;
    println!("{count} pipelines of one node");
    println!("loaded        {:>9} bytes each", each(loaded));
    println!(
        "called once   {:>9} bytes each, {series} lines of metrics",
        each(called)
    );
    println!(
        "unloaded      {:>9} bytes each, {kept} lines of metrics",
        each(unloaded)
    );
    match each(called) <= BYTES_MAX && kept == 0 {
        true => Ok(()),
        false => Err(format!("more than {BYTES_MAX} bytes each, or lines that stay").into()),
    }
}

//! Measures how long the built-in models take to be ready, and whether their first responses are as
//! fast as later ones.
//!
//!     cargo run --release -p motet-service --example first_answers

use std::time::{Duration, Instant};

use motet_config::{Diagnostics, Sources};
use motet_proto::Tensor;
use motet_proto::inference::ModelInferRequest;
use motet_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use motet_proto::oip::{cost, integer_parameter, put_inputs};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;
use motet_service::{Loader, ModelServer};

const CONFIG: &str = r#"
models:
  chunker:  { task: preprocess, tokenizer: minilm }
  minilm:   { task: embed, source: "builtin:all-minilm-l6-v2" }
  reranker: { task: rerank, source: "builtin:all-minilm-l6-v2" }
"#;
const CALLS: usize = 30;
const PASSAGE: &str =
    "A vaccine shows the immune system a harmless part of a germ, so that it learns to fight it. ";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let tasks = motet_service::Tasks::builtin();
    let models =
        motet_service::spec::read_text("built-in", CONFIG, &tasks, &mut sources, &mut diagnostics);
    let resolved = motet_service::check(&models, &sources, &mut diagnostics);
    println!("{:<24} {:>8.0?}", "checked", started.elapsed());
    let loader = Loader::new(Metrics::new("example")?, Health::new())?;
    let mut models = Vec::new();
    for model in resolved {
        let (name, started) = (model.name().to_owned(), Instant::now());
        models.push(loader.load(model).await?);
        println!(
            "{:<24} {:>8.0?}",
            format!("{name} ready"),
            started.elapsed()
        );
    }
    println!("{:<24} {:>8.0?}", "all ready", started.elapsed());
    let server = ModelServer::new(models);
    let mut client = GrpcInferenceServiceClient::new(server.local(64 << 20));
    println!(
        "\n{:<24} {:>9} {:>9} {:>9}   outside the model",
        "", "first", "tenth", "median"
    );
    let passages = |n: usize| ("text", Tensor::strings(vec![PASSAGE; n]));
    let query = ("query", Tensor::strings(["how do vaccines work"]));
    let long = ("text", Tensor::strings([PASSAGE.repeat(100)]));
    let cases = [
        ("chunker", "a long text", vec![long]),
        ("minilm", "1 text", vec![passages(1)]),
        ("minilm", "32 texts", vec![passages(32)]),
        ("reranker", "50 texts", vec![query, passages(50)]),
    ];
    for (model, what, inputs) in cases {
        let mut times = Vec::new();
        let mut outside = Vec::new();
        for _ in 0..CALLS {
            let mut request = ModelInferRequest {
                model_name: model.to_owned(),
                ..ModelInferRequest::default()
            };
            put_inputs(&mut request, inputs.iter().map(|(n, t)| (*n, t)));
            let started = Instant::now();
            let response = client.model_infer(request).await?.into_inner();
            let elapsed = started.elapsed();
            let spent = |name| integer_parameter(&response.parameters, name);
            let model = spent(cost::COMPUTE_US)?.unwrap_or(0);
            times.push(elapsed);
            outside.push(elapsed.saturating_sub(Duration::from_micros(model.unsigned_abs())));
        }
        let (first, tenth) = (times[0], times[9]);
        times.sort_unstable();
        outside.sort_unstable();
        let title = format!("{model}, {what}");
        let (median, outside) = (times[CALLS / 2], outside[CALLS / 2]);
        println!("{title:<24} {first:>9.2?} {tenth:>9.2?} {median:>9.2?} {outside:>9.2?}");
    }
    server.drain().await;
    Ok(())
}

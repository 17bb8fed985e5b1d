//! The engine that a configuration chooses.

use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;

use crate::harness::*;

const CONFIG: &str = r#"
models:
  packed: { task: embed, source: "builtin:all-minilm-l6-v2", engine: packed }
  candle: { task: embed, source: "builtin:all-minilm-l6-v2", engine: candle, device: cpu }
"#;

#[test]
fn both_engines_answer_alike_on_a_cpu() {
    block_on(async {
        let server = load(CONFIG, &Metrics::new("test").unwrap(), &Health::new()).await;
        let mut embeddings = Vec::new();
        for model in ["packed", "candle"] {
            let request = request(model, &[texts(&["How do vaccines work?", "", "a"])]);
            let response = client_of(&server).model_infer(request).await;
            let embedding = output(&response.unwrap().into_inner(), "embedding");
            embeddings.push(embedding.values::<f32>().unwrap().into_owned());
        }
        assert_close(&embeddings[1], &embeddings[0]);
        assert_ne!(embeddings[1], embeddings[0], "they add up in other orders");
    });
}

//! The protocol's statistics and the metrics count the calls made.

use motet_proto::inference::{ModelStatistics, ModelStatisticsRequest};
use motet_runtime::health::Health;
use motet_runtime::metrics::Metrics;

use crate::harness::*;

async fn statistics(client: &mut Client, name: &str) -> Vec<ModelStatistics> {
    let request = ModelStatisticsRequest {
        name: name.to_owned(),
        version: String::new(),
    };
    let response = client.model_statistics(request).await.unwrap();
    response.into_inner().model_stats
}

#[test]
fn every_call_is_counted() {
    block_on(async {
        let mut client = client().await;
        for rows in [1, 3, 0] {
            let given = vec!["one two"; rows];
            client
                .model_infer(request("counted", &[texts(&given)]))
                .await
                .unwrap();
        }
        client
            .model_infer(request("counted", &[]))
            .await
            .unwrap_err();
        let [counted] = &statistics(&mut client, "counted").await[..] else {
            panic!("one model was asked for")
        };
        assert_eq!(
            (counted.name.as_str(), counted.version.as_str()),
            ("counted", "1")
        );
        assert_eq!((counted.inference_count, counted.execution_count), (4, 2));
        assert!(counted.last_inference > 0);
        let total = counted.inference_stats.as_ref().unwrap();
        assert_eq!(total.success.unwrap().count, 3);
        assert_eq!(total.fail.unwrap().count, 1);
        assert!(total.compute_infer.unwrap().ns > 0);
        let sizes: Vec<_> = counted.batch_stats.iter().map(|b| b.batch_size).collect();
        assert_eq!(sizes, [1, 3]);
        assert_eq!(statistics(&mut client, "").await.len(), 6);
    });
}

#[test]
fn metrics_and_health_follow_a_model() {
    block_on(async {
        let (metrics, health) = (Metrics::new("test").unwrap(), Health::new());
        let config = r#"
models:
  m:
    task: embed
    source: "builtin:all-minilm-l6-v2"
    batcher: { max_batch_tokens: 32, executors: 2 }
"#;
        let server = load(config, &metrics, &health).await;
        assert_eq!(health.is_serving("m"), Some(true));
        let mut client = client_of(&server);
        client
            .model_infer(request("m", &[texts(&["a", "b"])]))
            .await
            .unwrap();
        client.model_infer(request("m", &[])).await.unwrap_err();
        // A batch is counted after its callers have their responses.
        let waits = "motet_queue_wait_seconds_count{model=\"m\"} 2\n";
        while !metrics.render().unwrap().contains(waits) {
            tokio::task::yield_now().await;
        }
        let page = metrics.render().unwrap();
        for line in [
            r#"motet_model_requests_total{code="OK",model="m"} 1"#,
            r#"motet_model_errors_total{code="INVALID_ARGUMENT",model="m"} 1"#,
            r#"motet_batch_rows_sum{model="m"} 2"#,
            r#"motet_batch_tokens_sum{model="m"} 6"#,
            r#"motet_queue_wait_seconds_count{model="m"} 2"#,
            r#"motet_batch_starts_total{cause="ready",model="m"} 1"#,
            r#"motet_executor_alive{model="m"} 2"#,
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        // Its cost was measured when it was loaded.
        for gauge in ["cost_token_seconds", "cost_error_ratio"] {
            let name = format!("motet_{gauge}{{model=\"m\"}} ");
            let value = page.lines().find_map(|line| line.strip_prefix(&name));
            let value: f64 = value.expect(gauge).parse().unwrap();
            assert!(value > 0.0, "{gauge} is {value}");
        }
        server.drain().await;
        assert_eq!(health.is_serving("m"), Some(false));
        let error = client
            .model_infer(request("m", &[texts(&["a"])]))
            .await
            .unwrap_err();
        assert_eq!(error.code(), tonic::Code::Unavailable);
        assert_eq!(motet_runtime::status::read(&error).reason, "DRAINING");
        server.drain().await;
    });
}

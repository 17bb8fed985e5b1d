//! `grpc.health.v1`, as load balancers call it.

use motet_tests::in_process;
use motet_tests::reflected::Service;
use serde_json::json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn the_server_its_models_and_its_pipelines_are_serving() {
    let mut client = in_process::connect().await.health();
    for name in [
        "",
        "rag",
        "motet.pipeline.Rag",
        "minilm",
        "chunker",
        "reranker",
    ] {
        let answer = client
            .check(request(name))
            .await
            .expect("known")
            .into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name:?}");
        let mut watch = client
            .watch(request(name))
            .await
            .expect("known")
            .into_inner();
        let first = watch.message().await.expect("no error").expect("an answer");
        assert_eq!(first.status(), ServingStatus::Serving, "{name:?}");
    }
    let error = client.check(request("nothing")).await.expect_err("unknown");
    assert_eq!(error.code(), Code::NotFound);
}

#[tokio::test]
async fn every_name_is_listed_with_its_status() {
    let health = Service::learn(&in_process::connect().await, "grpc.health.v1.Health").await;
    let list = health
        .expect("known")
        .call("List", json!({}))
        .await
        .expect("a list");
    for name in [
        "",
        "rag",
        "motet.pipeline.Rag",
        "minilm",
        "chunker",
        "reranker",
    ] {
        assert_eq!(list["statuses"][name]["status"], "SERVING", "{list}");
    }
}

use std::collections::BTreeMap;

use http::uri::PathAndQuery;
use motet_runtime::health::{Health, HealthListRequest, HealthListResponse, OVERALL};
use motet_runtime::serve::Drained;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;

use crate::harness::{TestServer, start};

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn list(server: &TestServer) -> BTreeMap<String, ServingStatus> {
    let mut grpc = tonic::client::Grpc::new(server.channel().await);
    grpc.ready().await.expect("connected");
    let codec = ProstCodec::<HealthListRequest, HealthListResponse>::default();
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/List");
    let request = tonic::Request::new(HealthListRequest {});
    let answer = grpc.unary(request, path, codec).await.expect("listed");
    let statuses = answer.into_inner().statuses.into_iter();
    statuses
        .map(|(name, answer)| (name, answer.status()))
        .collect()
}

#[tokio::test]
async fn each_name_has_its_own_status() {
    let server = start().await;
    let mut client = HealthClient::new(server.channel().await);
    let unknown = client.check(named("minilm")).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    server.health.set("minilm", true);
    server.health.set("bge", false);
    for (name, expected) in [
        ("", ServingStatus::NotServing),
        ("minilm", ServingStatus::Serving),
        ("bge", ServingStatus::NotServing),
    ] {
        let answer = client.check(named(name)).await.expect("known").into_inner();
        assert_eq!(answer.status(), expected, "{name}");
    }
    let listed = list(&server).await;
    let listed: Vec<_> = listed
        .iter()
        .map(|(name, status)| (name.as_str(), *status))
        .collect();
    assert_eq!(
        listed,
        [
            ("", ServingStatus::NotServing),
            ("bge", ServingStatus::NotServing),
            ("minilm", ServingStatus::Serving)
        ]
    );
    assert_eq!(server.health.not_ready(), ["server", "bge"]);
    server.health.remove("bge");
    server.health.set("", true);
    assert_eq!(server.health.not_ready(), [] as [String; 0]);
}

#[tokio::test]
async fn a_watch_tells_each_change_and_ends_when_the_server_drains() {
    let server = start().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut changes = client
        .watch(named("minilm"))
        .await
        .expect("watched")
        .into_inner();
    let mut next = async || {
        changes
            .message()
            .await
            .expect("no error")
            .map(|m| m.status())
    };
    assert_eq!(next().await, Some(ServingStatus::ServiceUnknown));
    server.health.set("minilm", true);
    assert_eq!(next().await, Some(ServingStatus::Serving));
    server.health.set("other", true); // no change for this name
    server.health.set("minilm", false);
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    server.health.set("minilm", true);
    assert_eq!(next().await, Some(ServingStatus::Serving));
    server.health.drain();
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(next().await, None);
    server.health.set("minilm", true);
    assert_eq!(server.health.is_serving("minilm"), Some(false));
    server.shutdown.cancel();
    assert_eq!(server.task.await.expect("ran"), Drained::default());
}

#[test]
fn one_truth_over_all_states() {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    // A pipeline, a model of this process and one of another, the server's own entry, draining;
    // then what keeps the server from being ready, and what it does without.
    for (pipeline, local, remote, own, draining, not_ready, spared) in [
        (true, true, true, true, false, &[][..], &[][..]),
        // An optional model is away: the pipeline can answer.
        (true, true, false, true, false, &[], &["remote"]),
        // A required one is away.
        (false, true, false, true, false, &["rag"], &["remote"]),
        // A model of this process is dead.
        (true, false, true, true, false, &["local"], &[]),
        (true, true, true, false, false, &["server"], &[]),
        (
            true,
            true,
            true,
            true,
            true,
            &["server", "local", "rag"],
            &[],
        ),
    ] {
        let health = Health::new();
        health.set("rag", pipeline);
        health.set("local", local);
        health.set_spared("remote", remote);
        health.set(OVERALL, own);
        if draining {
            health.drain();
        }
        assert_eq!(health.not_ready(), names(not_ready));
        assert_eq!(health.spared(), names(spared));
        assert_eq!(health.is_serving(OVERALL), Some(not_ready.is_empty()));
        assert_eq!(health.is_serving("remote"), Some(remote && !draining));
    }
}
